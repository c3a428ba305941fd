"""A server process that tests own: on a free port, logging to a file, and gone when the test run is gone.

The servers are in `tests.services` (Redis, PostgreSQL) and `tests.servers` (our own).
"""

import atexit
import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

# The time until a server answers. A cold PostgreSQL takes 2 s, and ten times that on a busy machine.
START_SECONDS = 60.0
# The time until a server is gone after SIGTERM; our own promises to stop within 12 s.
STOP_SECONDS = 20.0
POLL_SECONDS = 0.02
#: These lie below the ports that the kernel gives away by itself, so no other program gets ours between the
#: look at it and the start of its server. The two stacks run side by side: each has every other one.
OWN_PORTS = range(20_000 + (os.environ.get("TEST_STACK") == "full"), 32_000, 2)
_given: set[int] = set()


class ServerError(RuntimeError):
    """A server did not start or did not stop; the message ends with its log."""


def free_port() -> int:
    """A port of 127.0.0.1 that nothing listens on, and that no other program gets before our server has
    it."""
    while True:
        port = random.SystemRandom().choice(OWN_PORTS)  # not from a test's seed: two runs must not meet
        if port in _given:
            continue
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            _given.add(port)
            return port


def established(port: int) -> list[str]:
    """The clients' connections to a port of ours, by the inode of our end (0: not accepted)."""
    rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return [row[9] for row in rows if row[1].endswith(f":{port:04X}") and row[3] == "01"]


def wait_until(condition: Callable[[], bool], *, seconds: float, what: str) -> None:
    """Poll until the condition holds; TimeoutError names what was awaited."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds:g} s: {what}")
        time.sleep(POLL_SECONDS)


class Process:
    """One server in a directory of its own; `start`, `stop`, `kill` and `restart` keep its port."""

    name = "server"
    # The signal that it gets when the test run dies: no clean-up is worth waiting for then.
    last_signal = signal.SIGKILL
    # The directory in which it runs; None is the current one.
    working_directory: Path | None = None

    def __init__(self, *, port: int | None = None) -> None:
        self.port = port or free_port()
        self.directory = Path(tempfile.mkdtemp(prefix=f"relais-{self.name}-"))
        self.log_file = self.directory / "log"
        self._child: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        atexit.register(self.close)

    # Overridden by each kind of server.

    def command(self) -> Sequence[str]:
        """The command line that serves on `self.port`."""
        raise NotImplementedError

    def answers(self) -> bool:
        """Whether it serves yet."""
        raise NotImplementedError

    def environment(self) -> Mapping[str, str] | None:
        """The environment of the process; None inherits ours."""
        return None

    def user(self) -> int | None:
        """The uid and gid to run as; None keeps those of the test run."""
        return None

    # The same for all kinds.

    @property
    def pid(self) -> int:
        """The process id; only while it runs."""
        assert self._child is not None, f"{self.name} is not running"
        return self._child.pid

    @property
    def is_running(self) -> bool:
        """Whether it has been started and has not ended."""
        return self._child is not None and self._child.poll() is None

    def log(self) -> str:
        """Everything it has written so far, over all its starts."""
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def start(self) -> Self:
        """Start it and return once it answers."""
        assert not self.is_running, f"{self.name} is already running"
        uid = self.user()
        with self.log_file.open("ab") as log:
            self._child = subprocess.Popen(
                self.command(),
                cwd=self.working_directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self.environment(),
                start_new_session=True,  # Ctrl-C is for pytest, which then stops the servers in order
                user=uid,
                group=uid,
                extra_groups=None if uid is None else [],
            )
        self._watch()
        try:
            wait_until(self._answers_or_died, seconds=START_SECONDS, what=f"{self.name} answers")
        except TimeoutError as error:
            self.kill()
            raise ServerError(f"{error}\n{self.log()}") from None
        if not self.is_running:
            code = self._child.returncode
            self._forget()
            raise ServerError(f"{self.name} ended with {code} while starting\n{self.log()}")
        return self

    def stop(self, *, seconds: float = STOP_SECONDS) -> int | None:
        """SIGTERM, wait, and return the exit code; None when it was not running."""
        return self._end(signal.SIGTERM, seconds)

    def kill(self) -> None:
        """Send SIGKILL: from outside this is a crash."""
        self._end(signal.SIGKILL, STOP_SECONDS)

    def restart(self) -> Self:
        """Stop and start again on the same port and the same data."""
        self.stop()
        return self.start()

    def close(self) -> None:
        """Stop it for good and remove its directory."""
        try:
            self.stop()
        except ServerError:
            self.kill()
        finally:
            shutil.rmtree(self.directory, ignore_errors=True)
            atexit.unregister(self.close)

    def __enter__(self) -> Self:
        return self if self.is_running else self.start()

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def _answers_or_died(self) -> bool:
        return not self.is_running or self.answers()

    def _end(self, number: signal.Signals, seconds: float) -> int | None:
        if self._child is None:
            return None
        if self._child.poll() is None:
            self._child.send_signal(number)
        try:
            code = self._child.wait(seconds)
        except subprocess.TimeoutExpired:
            raise ServerError(f"{self.name} survived {number.name} for {seconds:g} s\n{self.log()}") from None
        self._forget()
        return code

    def _forget(self) -> None:
        self._child = None
        if self._guard is not None:
            self._guard.kill()
            self._guard.wait()
            assert self._guard.stdin is not None
            self._guard.stdin.close()
            self._guard = None

    def _watch(self) -> None:
        # `atexit` does not run after SIGKILL. The guard reads a pipe that only this process can write to.
        # When this process dies, in whatever way, the guard reads the end of the pipe, kills the server and
        # removes its directory.
        script = 'cat >/dev/null; kill -"$1" "$2" 2>/dev/null; sleep 1; kill -9 "$2" 2>/dev/null; rm -rf "$3"'
        self._guard = subprocess.Popen(
            [
                "/bin/sh",
                "-c",
                script,
                "guard",
                str(int(self.last_signal)),
                str(self.pid),
                str(self.directory),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )


def accepts(port: int) -> bool:
    """Whether something accepts TCP connections on this port of 127.0.0.1."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def running_as_root() -> bool:
    """Whether tests run as root. Some servers refuse to; they get another uid."""
    return os.geteuid() == 0
