"""The echo as a process, in each of the ways to run Relais."""

import http.client
import os
import sys
from typing import Any, Literal

from websockets.sync.client import ClientConnection, connect

from tests.processes import Process
from tests.servers import PLAIN, product_environment

APPLICATION = "tests.realtime.servers.echo:application"
#: The path that answers with the seconds that the server has been on a CPU.
WORKED = b"worked?"
Kind = Literal["daphne", "uvicorn", "h11", "fallback"]

#: Options that our adapters must overrule.
WRONG_FOR_DAPHNE = ("--websocket_timeout", "1")
WRONG_FOR_UVICORN = ("--ws-max-size", "4096", "--ws-per-message-deflate", "true", "--ws-ping-interval", "1")


class EchoServer(Process):
    """One of the servers, running the echo; its access log is on."""

    def __init__(self, kind: Kind, *, database_url: str, env: dict[str, str] | None = None) -> None:
        self.name = f"echo-{kind}"
        self.kind = kind
        self.database_url = database_url
        self.more_environment = env or {}
        super().__init__()

    def command(self) -> list[str]:
        if self.kind == "daphne":
            address = ("-b", "127.0.0.1", "-p", str(self.port))
            return [sys.executable, "-m", "daphne", *address, *WRONG_FOR_DAPHNE, APPLICATION]
        ours = "realtime.servers.uvicorn"
        protocol: tuple[str, ...] = (
            "--ws",
            f"{ours}:PreparedProtocol",
            "--loop",
            "uvloop",
            *WRONG_FOR_UVICORN,
        )
        if self.kind == "h11":
            protocol += ("--http", "h11")
        return [
            sys.executable,
            "-m",
            "uvicorn",
            APPLICATION,
            "--port",
            str(self.port),
            *(PLAIN.split() if self.kind == "fallback" else protocol),
            "--timeout-graceful-shutdown",
            "5",
        ]

    def environment(self) -> dict[str, str]:
        return product_environment(database_url=self.database_url) | {
            "PYTHONUNBUFFERED": "1",
            "ENV_FILE": os.devnull,
            **self.more_environment,
        }

    def answers(self) -> bool:
        try:
            return self.get("/") == b"done"
        except OSError:
            return False

    def get(self, path: str) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", path)
            return connection.getresponse().read()
        finally:
            connection.close()

    def connect(self, path: str, **options: Any) -> ClientConnection:
        return connect(f"ws://127.0.0.1:{self.port}{path}", max_size=None, **options)
