"""Relais as a measured server: one process on Daphne or uvicorn, or several workers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.crowd import Place
from bench.machine import ROOT
from tests.processes import ServerError
from tests.servers import Kind, ServerProcess

#: The environment of a server, and of the commands that fill its database.
ENVIRONMENT = {
    "ENV_FILE": os.devnull,  # a developer's .env is about their own server
    "DJANGO_SETTINGS_MODULE": "config.settings",  # and a developer's shell about their tests
    "SECRET_KEY": "only-for-benchmarks-and-as-long-as-a-real-one-has-to-be-0123456789",
    "SECRET_KEY_FALLBACKS": "",
    "DEBUG": "0",
    "DEMO_ENABLED": "0",
    "ALLOWED_HOSTS": "127.0.0.1",
    "ACCESS_TOKEN_TTL": "86400",  # a token must outlive the longest run
    "LOG_LEVEL": "WARNING",
    **{
        f"LIMIT_{name}": "off"
        for name in (
            "SENDS",
            "FRAMES",
            "TYPING",
            "SOCKETS",
            "SOCKETS_PER_USER",
            "SOCKETS_PER_ADDRESS",
            "PENDING_SOCKETS",
            "CONNECTIONS",
            "CONNECTIONS_PER_ADDRESS",
            "HANDSHAKES",
            "REST",
            "LOGINS",
            "LOGINS_PER_ADDRESS",
            "REGISTRATIONS",
        )
    },
}


@dataclass(frozen=True)
class Conversation:
    """One conversation of a fixture, with a token for each member."""

    conversation_id: int
    tokens: list[str]

    def places(self, *, speakers: int = 0, number: int = 0, query: str = "v=1") -> list[Place]:
        """A socket for each member; the first `speakers` speak. With `v=1`, each is told when it is live."""
        path = f"/ws/chat/{self.conversation_id}/?{query}&token="
        return [
            Place(path + token, conversation=number, speaks=index < speakers)
            for index, token in enumerate(self.tokens)
        ]


def native_places(
    conversations: Sequence[Conversation], *, subscribed_to: int | None = None, speakers: int = 0
) -> list[Place]:
    """A native socket for each member of these conversations, which have the same members.

    Each socket subscribes at once to all conversations, or to the first `subscribed_to`; the first members
    speak in the first conversation.
    """
    topics = [f"conversation.{each.conversation_id}" for each in conversations[:subscribed_to]]
    opening = [json.dumps({"type": "subscribe", "topic": topic}) for topic in topics]
    first = conversations[0]
    return [
        Place(f"/ws/?token={token}", first.conversation_id, speaks=index < speakers, opening=opening)
        for index, token in enumerate(first.tokens)
    ]


class Relais(ServerProcess):
    """A running Relais of this checkout or of another one (`tree`), with all limits off."""

    def __init__(
        self,
        kind: Kind,
        *,
        database_url: str,
        redis_url: str,
        workers: int = 1,
        tree: Path = ROOT,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.workers, self.working_directory = workers, tree
        super().__init__(
            kind,
            database_url=database_url,
            redis_url=redis_url,
            env={
                **ENVIRONMENT,
                "PYTHONPATH": str(tree),
                "SERVER": kind,
                "WORKERS": str(workers),
                **(env or {}),
            },
        )
        self._environment |= {"HOST": "127.0.0.1", "PORT": str(self.port)}

    def command(self) -> list[str]:
        """The command from the documents: that of the ASGI server, or `scripts/serve` for several workers."""
        return ["scripts/serve"] if self.workers > 1 else super().command()

    def environment(self) -> Mapping[str, str]:
        return self._environment

    def fixture(self, *, shared: bool = False, **options: int) -> list[Conversation]:
        """Users in conversations, made by bench/fixture.py, as anybody could make them."""
        arguments = [part for name, value in options.items() for part in (f"--{name}", str(value))]
        arguments += ["--shared"] * shared
        made = json.loads(run_in(self.working_directory, self._environment, "bench/fixture.py", *arguments))
        return [Conversation(**each) for each in made["conversations"]]


def migrate(*, database_url: str, tree: Path = ROOT) -> None:
    """Create the tables of a checkout in a database."""
    environment = os.environ | ENVIRONMENT | {"DATABASE_URL": database_url, "PYTHONPATH": str(tree)}
    run_in(tree, environment, "manage.py", "migrate", "--verbosity", "0")


def run_in(tree: Path | None, environment: Mapping[str, Any], *command: str) -> str:
    """Run a Python program of a checkout; returns its output."""
    done = subprocess.run(
        [sys.executable, *command], cwd=tree, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise ServerError(f"{' '.join(command)} ended with {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout
