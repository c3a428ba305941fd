"""A raw WebSocket peer: its frames are bytes, sent as they are, valid or not.

The *server's* frames are checked against RFC 6455: one that it may not send raises `ServerMisspokeError`.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import socket
from dataclasses import dataclass
from typing import Self

from contract.testing import Witness

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
MASK = bytes.fromhex("37fa213d")
#: Long enough for a busy machine; a server that sends nothing at all fails the test after this time.
PATIENCE_SECONDS = 20.0


class ServerMisspokeError(AssertionError):
    """The server sent what RFC 6455 forbids a server to send."""


@dataclass(frozen=True)
class Frame:
    """One frame, as the server sent it."""

    opcode: int
    payload: bytes = b""
    fin: bool = True

    @property
    def code(self) -> int | None:
        """The code in a close frame; None when it has none."""
        return int.from_bytes(self.payload[:2], "big") if self.payload else None


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    masked: bool = True,
    claims: int | None = None,
) -> bytes:
    """The bytes of one frame; `claims` is the length that its header gives, whatever the payload is."""
    size = len(payload) if claims is None else claims
    mask_bit = 0x80 if masked else 0
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    if size < 126:
        head += bytes([mask_bit | size])
    elif size < 1 << 16:
        head += bytes([mask_bit | 126]) + size.to_bytes(2, "big")
    else:
        head += bytes([mask_bit | 127]) + size.to_bytes(8, "big")
    return head + (MASK + masked_payload(payload) if masked else payload)


def masked_payload(payload: bytes) -> bytes:
    """The masked payload (RFC 6455 §5.3)."""
    mask = int.from_bytes((MASK * (len(payload) // 4 + 1))[: len(payload)], "big")
    return (int.from_bytes(payload, "big") ^ mask).to_bytes(len(payload), "big")


def close_frame(code: int | None = 1000, reason: bytes = b"") -> bytes:
    """A close frame; None leaves out the code."""
    return frame(CLOSE, b"" if code is None else code.to_bytes(2, "big") + reason)


def handshake(port: int, path: str, *, key: str = "dGhlIHNhbXBsZSBub25jZQ==", headers: str = "") -> bytes:
    """The request for a WebSocket."""
    return (
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n{headers}\r\n"
    ).encode()


class Peer:
    """One connection after its handshake."""

    def __init__(self, port: int, path: str = "/", *, headers: str = "", receive_bytes: int = 0) -> None:
        self._socket = socket.socket()
        if receive_bytes:  # before TCP's handshake, which tells the other side how much this one takes
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self._socket.settimeout(PATIENCE_SECONDS)
        self._socket.connect(("127.0.0.1", port))
        # Each write becomes a packet of its own, so that a frame can arrive in as many pieces as we like.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._read = b""
        self._witness = Witness(path, ["relais.v1"])  # what the peer says is bytes, and may opt in
        self._is_inside_message = False
        self._has_closed = False
        self.response = self._shake_hands(port, path, headers)

    def _shake_hands(self, port: int, path: str, headers: str) -> str:
        key = base64.b64encode(os.urandom(16)).decode()
        self._socket.sendall(handshake(port, path, key=key, headers=headers))
        while b"\r\n\r\n" not in self._read:
            self._more()
        response, _, self._read = self._read.partition(b"\r\n\r\n")
        text = response.decode("latin1")
        # §4.2.2, 5.4
        accept = base64.b64encode(
            hashlib.sha1(
                f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode(), usedforsecurity=False
            ).digest()
        ).decode()
        if (
            not text.startswith("HTTP/1.1 101")
            or f"sec-websocket-accept: {accept}".lower() not in text.lower()
        ):
            raise ServerMisspokeError(text)
        return text

    def send(self, *pieces: bytes, chop: int = 0) -> None:
        """Write each piece by itself; `chop` cuts all of them into pieces of so many bytes."""
        data = b"".join(pieces)
        for piece in [data[i : i + chop] for i in range(0, len(data), chop)] if chop else pieces:
            self._socket.sendall(piece)

    def send_until_refused(self, *pieces: bytes, chop: int = 0) -> None:
        """Write as `send` does, to a server that may end the connection meanwhile."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.send(*pieces, chop=chop)

    def frame(self) -> Frame:
        """The next frame from the server; EOFError at the end of the connection."""
        head = self._take(2)
        opcode, fin, size = head[0] & 15, bool(head[0] & 0x80), head[1] & 127
        if size == 126:
            size = self._extended(2, smallest=126)
        elif size == 127:
            size = self._extended(8, smallest=1 << 16)
        if head[0] & 0x70:
            raise ServerMisspokeError("a reserved bit is set: §5.2")
        if head[1] & 0x80:
            raise ServerMisspokeError("a server does not mask: §5.1")
        got = Frame(opcode, self._take(size), fin)
        self._check(got)
        return got

    def frames(self, count: int) -> list[Frame]:
        """The next so many frames."""
        return [self.frame() for _ in range(count)]

    def rest(self) -> list[Frame]:
        """Every frame until the server ends the connection."""
        got = []
        try:
            while True:
                got.append(self.frame())
        except (EOFError, ConnectionResetError):
            return got

    def read_some(self, size: int) -> bytes:
        """Raw bytes; empty at the end."""
        return self._socket.recv(size)

    def patience(self, seconds: float) -> None:
        """Set how long each read and write may take from now on."""
        self._socket.settimeout(seconds)

    def end(self) -> None:
        """Send no more, and stay."""
        self._socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Disappear without a close frame."""
        linger_not = b"\1\0\0\0\0\0\0\0"
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_not)
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._socket.close()

    def _check(self, got: Frame) -> None:
        if self._has_closed:
            raise ServerMisspokeError(f"{got} after the close frame: §5.5.1")
        if got.opcode >= CLOSE:
            if not got.fin or len(got.payload) > 125 or (len(got.payload) == 1 and got.opcode == CLOSE):
                raise ServerMisspokeError(f"{got}: §5.5")
            self._has_closed = got.opcode == CLOSE
        elif (got.opcode == CONTINUATION) != self._is_inside_message:
            raise ServerMisspokeError(f"{got} inside another message: §5.4")
        else:
            self._is_inside_message = not got.fin
        if got.opcode not in (CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG):
            raise ServerMisspokeError(f"{got}: §5.2")
        if got.opcode == TEXT and got.fin:
            self._witness.told(got.payload.decode())

    def _extended(self, count: int, *, smallest: int) -> int:
        size = int.from_bytes(self._take(count), "big")
        if size < smallest:
            raise ServerMisspokeError("a length in more bytes than it needs: §5.2")
        return size

    def _take(self, count: int) -> bytes:
        while len(self._read) < count:
            self._more()
        taken, self._read = self._read[:count], self._read[count:]
        return taken

    def _more(self) -> None:
        data = self._socket.recv(1 << 18)
        if not data:
            raise EOFError
        self._read += data
