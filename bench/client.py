"""One socket of the generator: connecting, shaking hands, open, closed."""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Sequence

from bench.counting import Inbound, Saw
from bench.wire import CLOSE, PONG, frame, handshake, status_of

#: A handshake's answer is a few hundred bytes; more is not an answer.
MAX_ANSWER = 8_192


class Client(Inbound):
    """One of thousands, so it holds no more than it must. What it is told goes through `Inbound.take`."""

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
        #: What it says, in one piece, as soon as it is open.
        self.opening = b"".join([frame(text.encode()) for text in opening])
        self.conversation = conversation
        #: Its number among those who speak; -1 only listens.
        self.sender = sender
        self.echo_marker = b""
        self.number = 0
        #: When the message whose echo it waits for was said; 0 when it waits for none.
        self.awaiting_since = 0
        #: Of the messages those that were told, without acks and the like; counted where they differ.
        self.message_count = 0
        #: The seq of the message that must come next; None before the first.
        self.next_seq: int | None = None
        #: For the few whose every frame is read: the number that each sender was last heard with.
        self.watch: dict[int, int] | None = None
        self.is_open = False
        self.started_at = 0
        #: Why it is closed, in a few words.
        self.why = ""

    def connect(self, host: str, port: int, *, source: str | None, now: int) -> None:
        """Begin; the socket becomes writable when the connection stands."""
        self.started_at = now
        self.socket = socket.socket()
        self.socket.settimeout(0)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if source is not None:
            # The port is chosen at connect, when the other end is known: else each serves one socket only.
            self.socket.setsockopt(socket.IPPROTO_IP, getattr(socket, "IP_BIND_ADDRESS_NO_PORT", 24), 1)
            self.socket.bind((source, 0))
        failure = self.socket.connect_ex((host, port))
        if failure not in (0, errno.EINPROGRESS):
            raise OSError(failure, errno.errorcode.get(failure, "connect"))

    def ask(self, host: str) -> None:
        """The connection stands: send the handshake."""
        failure = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if failure:
            raise OSError(failure, errno.errorcode.get(failure, "connect"))
        self.socket.send(handshake(self.path, host=host))

    def answered(self, data: bytes, saw: Saw, buffer: bytearray) -> None:
        """Bytes that came before the socket was open: the answer, and perhaps the first frames."""
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
        """A pong for each ping, or the server would take us for gone."""
        for payload in self.pings:
            self.say(frame(payload, PONG))
        self.pings.clear()

    def close(self, why: str) -> None:
        """Gone, with a close frame where there is somebody to tell."""
        if self.is_open:
            with contextlib.suppress(OSError):
                self.socket.send(frame(b"\x03\xe8", CLOSE))
        self.is_open = False
        self.why = why
        with contextlib.suppress(OSError, AttributeError):
            self.socket.close()
