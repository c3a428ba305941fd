"""The tested servers: Relais on both ASGI servers and on one without its adapter, and both servers alone."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from tests.processes import Process, accepts
from tests.servers import PLAIN, ROOT, product_environment

#: The largest message that the settings allow, so that no case fails for its size.
LARGEST = 16 * 1024 * 1024
OURS, BARE = "tests.realtime.servers.echo:application", "proof.autobahn.echo:application"
#: A message of 4 MiB in frames of 64 bytes has 65,537 of them, more than MAX_FRAGMENTS (16,385).
TOO_MANY_FRAGMENTS = frozenset({"9.3.1", "9.4.1"})


@dataclass(frozen=True)
class Server:
    """A tested server, on the path of foreign dialects, whose messages may be large."""

    name: str
    #: Its description in the report.
    what: str
    command: tuple[str, ...]
    application: str
    #: The cases that Relais refuses on purpose.
    by_design: frozenset[str] = frozenset()


_UVICORN = (
    "--ws",
    "realtime.servers.uvicorn:PreparedProtocol",
    "--loop",
    "uvloop",
)
SERVERS = (
    Server("daphne", "Relais on Daphne", ("daphne",), OURS, TOO_MANY_FRAGMENTS),
    Server("uvicorn", "Relais on uvicorn", ("uvicorn", *_UVICORN), OURS, TOO_MANY_FRAGMENTS),
    Server(
        "fallback",
        "Relais on a server without our adapter (uvicorn)",
        ("uvicorn", *PLAIN.split(), "--ws-max-size", str(LARGEST)),
        OURS,
    ),
    Server("stock-uvicorn", "uvicorn as it comes", ("uvicorn",), BARE),
    Server("stock-daphne", "Daphne as it comes", ("daphne",), BARE),
)


class Running(Process):
    """A tested server as a running process."""

    working_directory = ROOT

    def __init__(self, server: Server) -> None:
        self.name = f"autobahn-{server.name}"
        self.server = server
        super().__init__()

    def command(self) -> list[str]:
        program, *options = self.server.command
        port = ["-p" if program == "daphne" else "--port", str(self.port)]
        return [sys.executable, "-m", program, *port, *options, self.server.application]

    def environment(self) -> Mapping[str, str]:
        return product_environment(database_url="sqlite:///nobody-asks.sqlite3") | {
            "SECRET_KEY": secrets.token_urlsafe(48),
            "ENV_FILE": os.devnull,
            "LIMIT_FOREIGN_MESSAGE_BYTES": str(LARGEST),
        }

    def answers(self) -> bool:
        return accepts(self.port)
