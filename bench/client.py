"""One socket of the generator, from its connection and handshake to its close."""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Sequence

from bench.counting import Inbound, Saw
from bench.wire import CLOSE, PONG, frame, handshake, status_of

#: An answer to a handshake has a few hundred bytes; more is no answer.
MAX_ANSWER = 8_192


class Client(Inbound):
    """One socket of thousands, so it holds as little as it can. `Inbound.take` counts its frames."""

    __slots__ = (
        "awaiting_since",
        "conversation",
        "echo_marker",
        "is_open",
        "kind",
        "message_count",
        "next_seq",
        "number",
        "opening",
        "path",
        "sender",
        "socket",
        "started_at",
        "watch",
        "why",
    )

    def __init__(self, *, path: str, conversation: int, sender: int, opening: Sequence[str] = ()) -> None:
        super().__init__()
        self.path = path
        #: The frames that the socket sends in one piece as soon as it is open.
        self.opening = b"".join([frame(text.encode()) for text in opening])
        self.conversation = conversation
        #: The speaker's number; -1 for a socket that only listens.
        self.sender = sender
        self.echo_marker = b""
        self.number = 0
        #: When the message was sent whose echo the speaker waits for; 0 when it waits for none.
        self.awaiting_since = 0
        #: The messages received, without acks and other answers; counted where those exist.
        self.message_count = 0
        #: The seq that the next message must have; None before the first one.
        self.next_seq: int | None = None
        #: The last number of each sender, for the few sockets whose every frame is read; else None.
        self.watch: dict[int, int] | None = None
        self.is_open = False
        self.started_at = 0
        #: Why the socket was closed, in a few words; "" while it is not.
        self.why = ""

    def connect(self, host: str, port: int, *, source: str | None, now: int) -> None:
        """Start connecting; the socket becomes writable once it is connected."""
        self.started_at = now
        self.socket = socket.socket()
        self.socket.settimeout(0)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if source is not None:
            # The port is chosen at connect, when the other end is known; otherwise a port would serve only
            # one socket.
            self.socket.setsockopt(socket.IPPROTO_IP, getattr(socket, "IP_BIND_ADDRESS_NO_PORT", 24), 1)
            self.socket.bind((source, 0))
        failure = self.socket.connect_ex((host, port))
        if failure not in (0, errno.EINPROGRESS):
            raise OSError(failure, errno.errorcode.get(failure, "connect"))

    def ask(self, host: str) -> None:
        """Send the handshake over the new connection."""
        failure = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if failure:
            raise OSError(failure, errno.errorcode.get(failure, "connect"))
        self.socket.send(handshake(self.path, host=host))

    def answered(self, data: bytes, saw: Saw, buffer: bytearray) -> None:
        """Take the bytes that arrive before the socket is open: the answer, perhaps with first frames."""
        answer = self.rest + data
        head, separator, rest = answer.partition(b"\r\n\r\n")
        if not separator:
            if len(answer) > MAX_ANSWER:
                raise OSError("an answer without an end")
            self.rest = answer
            return
        if status_of(head) != 101:
            raise OSError(f"HTTP {status_of(head)}")
        self.rest = b""
        self.is_open = True
        if self.opening and not self.say(self.opening):
            raise OSError("what it says first was not taken")
        if rest:
            buffer[: len(rest)] = rest
            self.take(buffer, len(rest), saw)

    def say(self, data: bytes) -> bool:
        """Send a frame; False when the server does not take it."""
        try:
            return self.socket.send(data) == len(data)
        except (BlockingIOError, ConnectionError):
            return False

    def answer_pings(self) -> None:
        """Answer each ping, or the server would close the socket."""
        for payload in self.pings:
            self.say(frame(payload, PONG))
        self.pings.clear()

    def close(self, why: str) -> None:
        """Close the socket, with a close frame if it is connected."""
        if self.is_open:
            with contextlib.suppress(OSError):
                self.socket.send(frame(b"\x03\xe8", CLOSE))
        self.is_open = False
        self.why = why
        with contextlib.suppress(OSError, AttributeError):
            self.socket.close()
