"""Our own server as a process of its own, started with the command lines that the documents name."""

import contextlib
import http.client
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import pytest

from tests.processes import Process, ServerError, established

Kind = Literal["daphne", "uvicorn", "runserver", "fallback", "h11"]
ROOT = Path(__file__).resolve().parent.parent

#: The options in docs/operations.md for a server without our adapter.
PLAIN = (
    "--ws-max-size 1048576 --ws-per-message-deflate false --ws-ping-interval 25 --ws-ping-timeout 10"
    " --timeout-graceful-shutdown 12"
)


def _daphne(port: int) -> list[str]:
    return ["-m", "daphne", "-b", "127.0.0.1", "-p", str(port), "config.asgi:application"]


def _uvicorn(port: int) -> list[str]:
    sockets = ["--ws", "realtime.servers.uvicorn:PreparedProtocol", "--loop", "uvloop"]
    return ["-m", "uvicorn", "config.asgi:application", "--port", str(port), *sockets]


def _h11(port: int) -> list[str]:
    """uvicorn where httptools is not installed."""
    return [*_uvicorn(port), "--http", "h11"]


def _fallback(port: int) -> list[str]:
    return ["-m", "uvicorn", "config.asgi:application", "--port", str(port), *PLAIN.split()]


def _runserver(port: int) -> list[str]:
    return ["manage.py", "runserver", "--noreload", f"127.0.0.1:{port}"]


COMMAND_LINES: dict[Kind, Callable[[int], list[str]]] = {
    "daphne": _daphne,
    "uvicorn": _uvicorn,
    "runserver": _runserver,
    "fallback": _fallback,
    "h11": _h11,
}


#: Marks a test that also holds on a server without our adapter, where frames leave through `websocket.send`.
on_any_server = pytest.mark.parametrize(
    "server", ["daphne", "uvicorn", "fallback"], indirect=True, scope="session"
)


class ServerProcess(Process):
    """One running Relais; `database_url` is migrated by the caller."""

    working_directory = ROOT

    def __init__(
        self,
        kind: Kind = "daphne",
        *,
        database_url: str,
        redis_url: str = "",
        env: Mapping[str, str] | None = None,
        port: int | None = None,
    ) -> None:
        self.name = kind
        super().__init__(port=port)
        self.kind = kind
        self.database_url = database_url
        self.redis_url = redis_url
        self._environment = product_environment(database_url=database_url, redis_url=redis_url) | dict(
            env or {}
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        return [sys.executable, *COMMAND_LINES[self.kind](self.port)]

    def environment(self) -> Mapping[str, str]:
        return self._environment

    def answers(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
        try:
            connection.request("GET", "/health/live")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


def product_environment(*, database_url: str, redis_url: str = "") -> dict[str, str]:
    """The environment for the product: its own settings, not those of the tests."""
    return {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "PYTHONPATH": str(ROOT),
    }


def manage(*arguments: str, database_url: str, redis_url: str = "") -> str:
    """Run a management command as the product would, and return its output."""
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=product_environment(database_url=database_url, redis_url=redis_url),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise ServerError(
            f"manage.py {arguments[0]} ended with {done.returncode}\n{done.stdout}{done.stderr}"
        )
    return done.stdout


class Workers(ServerProcess):
    """The processes of `scripts/serve`: a supervisor, and the workers it keeps."""

    def __init__(
        self,
        kind: Kind,
        *,
        workers: int,
        database_url: str,
        redis_url: str = "",
        env: Mapping[str, str] | None = None,
        port: int | None = None,
    ) -> None:
        super().__init__(kind, database_url=database_url, redis_url=redis_url, env=env, port=port)
        self._environment |= {
            "SERVER": kind,
            "WORKERS": str(workers),
            "HOST": "127.0.0.1",
            "PORT": str(self.port),
        }

    def command(self) -> list[str]:
        return ["scripts/serve"]

    def workers(self) -> list[int]:
        """The process ids of its workers, also of those that come and go."""
        return [int(pid) for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]

    def sockets_of(self, worker: int) -> int:
        """The number of client connections that a worker holds."""
        clients = {f"socket:[{inode}]" for inode in established(self.port)}
        held = set()
        for each in Path(f"/proc/{worker}/fd").iterdir():
            # It was closed meanwhile, so it is no client's socket.
            with contextlib.suppress(FileNotFoundError):
                held.add(str(each.readlink()))
        return len(clients & held)

    def replace_workers(self) -> None:
        """Send SIGHUP, as a release does."""
        os.kill(self.pid, signal.SIGHUP)
