"""Prepared frames: finished WebSocket bytes, many joined, written in one call.

An optional ASGI extension of ours. A server that has it (`realtime/servers/`) puts a `Wire` into
`scope["extensions"]["relais.prepared_frames"]`; on any other server the same events leave one by one through
`websocket.send`. A frame is made once for everybody who is told it; that is where the speed comes from.
"""

from __future__ import annotations

from typing import Any, Protocol

EXTENSION = "relais.prepared_frames"

_MAX_HEADER = 10  # bytes
_FINAL_TEXT = 0x81  # RFC 6455 §5.2: FIN, opcode 1; what a server sends is not masked


class Wire(Protocol):
    """One open connection of a server, below ASGI."""

    def write(self, data: bytes) -> None:
        """Send finished frames after everything sent before; nothing when the connection is not open."""

    def waiting(self) -> int:
        """Bytes that were written and that the kernel has not taken yet."""

    def abort(self) -> None:
        """Cut the connection without waiting for what is left."""


def wire_of(scope: dict[str, Any]) -> Wire | None:
    """The wire below a socket, where its server offers one."""
    wire: Wire | None = scope.get("extensions", {}).get(EXTENSION)
    return wire


def size_of(text: str) -> int:
    """Bytes of a text as it travels, in UTF-8."""
    return len(text) if text.isascii() else len(text.encode())


def text_frame(text: str) -> bytes:
    """One whole text frame."""
    payload = text.encode()
    size = len(payload)
    if size < 126:
        return bytes((_FINAL_TEXT, size)) + payload
    if size < 65536:
        return bytes((_FINAL_TEXT, 126)) + size.to_bytes(2, "big") + payload
    return bytes((_FINAL_TEXT, 127)) + size.to_bytes(8, "big") + payload


class Batch:
    """What one kind of socket is told at once: texts, and the bytes they become, made once."""

    __slots__ = ("_entries", "_joined", "_spared", "has_exceptions", "is_droppable", "size")

    def __init__(self) -> None:
        self._entries: list[tuple[str, int | None]] = []
        self._joined: bytes | None = None
        #: Bytes that it takes at most.
        self.size = 0
        #: Frames that were not for those who were just given theirs.
        self._spared = 0
        #: Whether somebody is left out of something.
        self.has_exceptions = False
        #: Whether a slow reader may be spared all of it.
        self.is_droppable = True

    def add(self, text: str, *, left_out: int | None, droppable: bool) -> None:
        """One more frame; `left_out` is the user who is not told."""
        self.size += size_of(text) + _MAX_HEADER
        self._entries.append((text, left_out))
        self._joined = None
        self.has_exceptions = self.has_exceptions or left_out is not None
        self.is_droppable = self.is_droppable and droppable

    def __len__(self) -> int:
        return len(self._entries)

    def texts(self, user_id: int) -> list[str]:
        """The frames for one user."""
        texts = [text for text, left_out in self._entries if left_out is None or left_out != user_id]
        self._spared += len(self._entries) - len(texts)
        return texts

    def told_to(self, sockets: int) -> int:
        """How many frames so many sockets were given just now."""
        told = len(self._entries) * sockets - self._spared
        self._spared = 0
        return told

    def data(self, user_id: int) -> bytes:
        """The frames for one user, joined; made once for all to whom no exception applies."""
        if self.has_exceptions and any(left_out == user_id for _, left_out in self._entries):
            return b"".join(text_frame(text) for text in self.texts(user_id))
        if self._joined is None:
            self._joined = b"".join([text_frame(text) for text, _ in self._entries])
        return self._joined
