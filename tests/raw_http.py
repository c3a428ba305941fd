"""An HTTP peer that may send anything: requests are bytes here, and nothing corrects them."""

from __future__ import annotations

import contextlib
import json
import re
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

#: Long enough for a busy machine; a server that sends nothing at all fails the test after this time.
PATIENCE_SECONDS = 30.0


@dataclass(frozen=True)
class Answer:
    """One response, and the bytes behind it."""

    status: int
    head: str
    body: bytes

    @property
    def code(self) -> str | None:
        """The code of a problem document."""
        problem: dict[str, Any] = json.loads(self.body)
        assert problem["status"] == self.status
        return problem["code"]

    def header(self, name: str) -> str | None:
        """The first header of this name."""
        found = re.search(rf"^{name}: *(.*?)\r?$", self.head, re.IGNORECASE | re.MULTILINE)
        return found[1] if found else None


def request(target: str = "/health/live", *headers: str, method: str = "GET", version: str = "1.1") -> bytes:
    """A request head addressed to the server itself; more headers are added unchanged."""
    lines = [f"{method} {target} HTTP/{version}", "Host: localhost", *headers]
    return "\r\n".join([*lines, "", ""]).encode()


@contextlib.contextmanager
def line_to(
    port: int, *, source: str | None = None, receive_bytes: int = 0, patience: float = PATIENCE_SECONDS
) -> Iterator[socket.socket]:
    """A connection; `source` is another address of this machine."""
    with socket.socket() as line:
        line.settimeout(patience)
        if receive_bytes:  # before TCP's handshake, which tells the other side how much this one takes
            line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        if source is not None:
            line.bind((source, 0))
        line.connect(("127.0.0.1", port))
        # Each write becomes a packet of its own, so that a request arrives in the pieces that are sent.
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield line


def send_until_refused(line: socket.socket, pieces: Iterable[bytes]) -> int:
    """Write to a server that may end the connection meanwhile; the number of pieces that it took."""
    sent = 0
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        for piece in pieces:
            line.sendall(piece)
            sent += 1
    return sent


def everything(line: socket.socket) -> bytes:
    """All bytes from the server until it ends the connection."""
    heard = b""
    with contextlib.suppress(ConnectionResetError):
        while more := line.recv(65536):
            heard += more
    return heard


def answer_of(heard: bytes) -> Answer:
    """The first response in these bytes."""
    head, _, body = heard.partition(b"\r\n\r\n")
    first = head.split(b"\r\n", 1)[0].split(b" ")
    assert first[0] == b"HTTP/1.1", heard[:200]
    text = head.decode("latin1")
    size = re.search(r"^content-length: *(\d+)", text, re.IGNORECASE | re.MULTILINE)
    return Answer(int(first[1]), text, body[: int(size[1])] if size else body)


def ask(port: int, *pieces: bytes, source: str | None = None) -> Answer:
    """Send a request, read until the server ends the connection, and return the answer."""
    with line_to(port, source=source) as line:
        send_until_refused(line, pieces)
        return answer_of(everything(line))
