"""An HTTP peer that may say anything: requests are bytes here, and nothing is put right for it."""

from __future__ import annotations

import contextlib
import json
import re
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

#: Long enough for a busy machine; a server that says nothing at all fails the test with it.
PATIENCE_SECONDS = 30.0


@dataclass(frozen=True)
class Answer:
    """One response, and what came behind it."""

    status: int
    head: str
    body: bytes

    @property
    def code(self) -> str | None:
        """Of a problem document."""
        problem: dict[str, Any] = json.loads(self.body)
        assert problem["status"] == self.status
        return problem["code"]

    def header(self, name: str) -> str | None:
        """The first of this name."""
        found = re.search(rf"^{name}: *(.*?)\r?$", self.head, re.IGNORECASE | re.MULTILINE)
        return found[1] if found else None


def request(target: str = "/health/live", *headers: str, method: str = "GET", version: str = "1.1") -> bytes:
    """A head that asks the server itself; more headers are added as they are."""
    lines = [f"{method} {target} HTTP/{version}", "Host: localhost", *headers]
    return "\r\n".join([*lines, "", ""]).encode()


@contextlib.contextmanager
def line_to(
    port: int, *, source: str | None = None, receive_bytes: int = 0, patience: float = PATIENCE_SECONDS
) -> Iterator[socket.socket]:
    """A connection; `source` is another address of this machine."""
    with socket.socket() as line:
        line.settimeout(patience)
        if receive_bytes:  # before the handshake of TCP: it tells the other side how much we take
            line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        if source is not None:
            line.bind((source, 0))
        line.connect(("127.0.0.1", port))
        # Each write becomes a packet of its own, so that a request arrives in the pieces that are sent.
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield line


def send_until_refused(line: socket.socket, pieces: Iterable[bytes]) -> int:
    """Write to a server that may end the line meanwhile; how many pieces it let us write."""
    sent = 0
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        for piece in pieces:
            line.sendall(piece)
            sent += 1
    return sent


def everything(line: socket.socket) -> bytes:
    """What the server says until it ends the line."""
    heard = b""
    with contextlib.suppress(ConnectionResetError):
        while more := line.recv(65536):
            heard += more
    return heard


def answer_of(heard: bytes) -> Answer:
    """The first response in what was heard."""
    head, _, body = heard.partition(b"\r\n\r\n")
    first = head.split(b"\r\n", 1)[0].split(b" ")
    assert first[0] == b"HTTP/1.1", heard[:200]
    text = head.decode("latin1")
    size = re.search(r"^content-length: *(\d+)", text, re.IGNORECASE | re.MULTILINE)
    return Answer(int(first[1]), text, body[: int(size[1])] if size else body)


def ask(port: int, *pieces: bytes, source: str | None = None) -> Answer:
    """Say something, until the server ends the line; what it answered."""
    with line_to(port, source=source) as line:
        send_until_refused(line, pieces)
        return answer_of(everything(line))
