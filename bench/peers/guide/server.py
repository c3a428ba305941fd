"""The guide's server as a measured process.

It takes no tokens: its `AuthMiddlewareStack` reads only cookies, and every user is anonymous. That is less
work per connection than Relais does, so the comparison favours the guide.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from bench.crowd import Place
from bench.machine import ROOT
from bench.relais import run_in
from tests.processes import Process, accepts


class GuideServer(Process):
    """`daphne` on the guide's application."""

    name = "guide"
    working_directory = ROOT

    def __init__(self, *, redis_url: str, database: Path | None = None, port: int | None = None) -> None:
        super().__init__(port=port)
        #: The file of its messages; processes that share it are one server.
        self.database = database or self.directory / "db.sqlite3"
        self._environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "bench.peers.guide.settings",
            "GUIDE_DATABASE": str(self.database),
            "GUIDE_REDIS": redis_url,
            "PYTHONPATH": str(ROOT),
        }
        if database is None:
            self._migrate()

    def _migrate(self) -> None:
        run_in(ROOT, self._environment, "-m", "django", "migrate", "--run-syncdb", "--verbosity", "0")

    def command(self) -> list[str]:
        application = "bench.peers.guide.asgi:application"
        return [sys.executable, "-m", "daphne", "-b", "127.0.0.1", "-p", str(self.port), application]

    def environment(self) -> Mapping[str, str]:
        return self._environment

    def answers(self) -> bool:
        return accepts(self.port)

    def places(self, members: int, *, speakers: int) -> list[Place]:
        """The members of one conversation; each number of members has its own conversation."""
        path = f"/ws/chat/{members * 1000 + speakers}/"
        return [Place(path, speaks=index < speakers) for index in range(members)]
