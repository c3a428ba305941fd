"""The load generator: one process with one epoll loop and thousands of sockets; `bench.crowd` starts it.

It reads lines of JSON from its standard input (its sockets first, then the orders `connect` and `load`), and
answers each with a line. It answers pings between orders. It ends with its input, or after LIFETIME_SECONDS.
"""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import time
from collections import Counter
from typing import Any

from bench.client import Client
from bench.connecting import Connecting
from bench.counting import MAX_FRAME, MalformedStreamError
from bench.loads import Load

#: No measurement takes longer; a forgotten generator must not live on.
LIFETIME_SECONDS = 3_600
#: Bytes of one read. The largest frame fits behind the rest of the read before.
READ_BYTES = 256 * 1024
MAX_SOCKETS = 50_000
#: Client sockets per source address: the kernel has 28,000 ports for each.
PER_SOURCE = 25_000


class Generator:
    """The loop. It runs a phase: connecting, or a load; without a phase it only answers pings."""

    def __init__(self, *, port: int, sockets: list[list[Any]], host: str = "127.0.0.1") -> None:
        if not host.startswith("127."):
            raise ValueError("only this machine may be put under load")
        if len(sockets) > MAX_SOCKETS:
            raise ValueError(f"{MAX_SOCKETS} sockets at most")
        self.host, self.port = host, port
        self.clients = [
            Client(path=path, conversation=where, sender=who, opening=opening)
            for path, where, who, *opening in sockets
        ]
        self.open: dict[int, Client] = {}
        self.opening: dict[int, Client] = {}
        self.lost: Counter[str] = Counter()
        self.buffer = bytearray(MAX_FRAME + READ_BYTES)
        self._view = memoryview(self.buffer)
        self.epoll = select.epoll()
        self.phase: Connecting | Load | None = None
        self._input = 0
        self._pending = b""

    def source_of(self, number: int) -> str | None:
        """The source address of a socket; None lets the kernel choose, while one address has ports enough."""
        return None if len(self.clients) <= PER_SOURCE else f"127.0.0.{2 + number // PER_SOURCE}"

    def cpu_seconds(self) -> float:
        """CPU seconds that this process has used."""
        used = resource.getrusage(resource.RUSAGE_SELF)
        return used.ru_utime + used.ru_stime

    # --- the loop -------------------------------------------------------------------------------------

    def serve(self) -> None:
        """Obey orders until the input ends."""
        self.epoll.register(self._input, select.EPOLLIN)
        try:
            while True:
                line = self._next_line()
                if line is None:
                    return
                self._obey(json.loads(line))
        finally:
            self.close()

    def run(self, phase: Connecting | Load) -> dict[str, Any]:
        """Run one phase from its start to its end; returns its result."""
        self.phase = phase
        try:
            phase.start()
            while not phase.is_over(time.monotonic_ns()):
                self.turn(phase.patience(time.monotonic_ns()))
                phase.tick(time.monotonic_ns())
                if phase.pause:
                    time.sleep(phase.pause)
        finally:
            self.phase = None
        return phase.result()

    def turn(self, timeout: float) -> bool:
        """Wait for events and handle them; returns whether there is an order to read."""
        commanded = False
        for number, event in self.epoll.poll(timeout, 4096):
            client = self.open.get(number)
            if client is not None:
                self._read(client)
            elif number == self._input:
                commanded = True
            elif (client := self.opening.get(number)) is not None:
                self._advance(client, event)
        return commanded

    def drop(self, client: Client, why: str) -> None:
        """Close a socket that the server ended, or whose stream is broken."""
        number = client.socket.fileno()
        self.open.pop(number, None)
        self.opening.pop(number, None)
        client.close(why)
        self.lost[why] += 1
        if isinstance(self.phase, Connecting):
            self.phase.heard_from(client)

    def close(self) -> None:
        """Close every socket."""
        for client in [*self.open.values(), *self.opening.values()]:
            client.close("done")
        self.open.clear()
        self.opening.clear()

    def _read(self, client: Client) -> None:
        rest, phase = client.rest, self.phase
        kept = len(rest)
        try:
            if kept:
                self.buffer[:kept] = rest
                count = client.socket.recv_into(self._view[kept:], READ_BYTES)
            else:
                count = client.socket.recv_into(self.buffer, READ_BYTES)
            if not count:
                raise ConnectionResetError
            client.take(self.buffer, kept + count, self._ignore if phase is None else phase.listen(client))
        except BlockingIOError:
            return
        except OSError:
            self.drop(client, f"closed {client.close_code or 1006}")
            return
        except MalformedStreamError as error:
            self.drop(client, f"malformed: {error}")
            return
        if client.pings:
            client.answer_pings()
        if phase is not None:
            phase.heard_from(client)

    @staticmethod
    def _ignore(buffer: bytearray, position: int, frames: int, stride: int) -> None:
        """Ignore frames between two phases."""

    def _advance(self, client: Client, event: int) -> None:
        """Take one step of a handshake."""
        number = client.socket.fileno()
        try:
            if event & select.EPOLLOUT:
                client.ask(f"{self.host}:{self.port}")
                self.epoll.modify(number, select.EPOLLIN)
                return
            data = client.socket.recv(MAX_FRAME)
            if not data:
                raise ConnectionResetError
            client.answered(
                data, self._ignore if self.phase is None else self.phase.listen(client), self.buffer
            )
        except BlockingIOError:
            return
        except (OSError, MalformedStreamError) as error:
            self.drop(client, getattr(error, "strerror", None) or str(error) or type(error).__name__)
            return
        if not client.is_open:
            return
        self.open[number] = self.opening.pop(number)
        if client.pings:
            client.answer_pings()
        if self.phase is not None:
            self.phase.heard_from(client)

    # --- commands -------------------------------------------------------------------------------------

    def _next_line(self) -> bytes | None:
        while b"\n" not in self._pending:
            if self.turn(1.0):
                data = os.read(self._input, 1 << 20)
                if not data:
                    return None
                self._pending += data
        line, _, self._pending = self._pending.partition(b"\n")
        return line

    def _obey(self, order: dict[str, Any]) -> None:
        before, started = self.cpu_seconds(), time.monotonic()
        phase = {"connect": Connecting, "load": Load}[order.pop("do")]
        result = self.run(phase(self, **order))
        took = time.monotonic() - started
        cpu = self.cpu_seconds() - before
        print(json.dumps({**result, "cpu": cpu, "took": took, "lost": dict(self.lost)}), flush=True)


def main() -> None:
    """The command line of the process."""
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C reaches the whole group; the parent process closes the input
    signal.alarm(LIFETIME_SECONDS)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    generator = Generator(**json.loads(_first_line()))
    print(json.dumps({"ready": len(generator.clients)}), flush=True)
    generator.serve()


def _first_line() -> bytes:
    """Read the line with the sockets byte by byte, so that no later line is lost in a buffer."""
    parts = []
    while True:
        data = os.read(0, 1 << 20)
        parts.append(data)
        if not data or data.endswith(b"\n"):  # the parent sends nothing more before the answer
            return b"".join(parts)


if __name__ == "__main__":
    main()
