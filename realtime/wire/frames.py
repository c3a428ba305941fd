"""WebSocket frames (RFC 6455): how a payload becomes bytes on the wire."""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct

#: The content of a text frame, or of a binary one.
Payload = str | bytes

#: Bytes of the longest header of an unmasked frame.
MAX_HEADER = 10
#: FIN and the opcode. A server's frames are not masked (RFC 6455 §5.2).
_FINAL_TEXT, _FINAL_BINARY = 0x81, 0x82

_short, _medium, _long = Struct(">BB").pack, Struct(">BBH").pack, Struct(">BBQ").pack


def size_of(payload: Payload) -> int:
    """Bytes of a payload on the wire, where a text is UTF-8."""
    if isinstance(payload, str) and not payload.isascii():
        return len(payload.encode())
    return len(payload)


def frame_of(payload: Payload) -> bytes:
    """The frame of a payload, as a whole."""
    if isinstance(payload, str):
        first, data = _FINAL_TEXT, payload.encode()
    else:
        first, data = _FINAL_BINARY, payload
    size = len(data)
    if size < 126:
        return _short(first, size) + data
    if size < 65536:
        return _medium(first, 126, size) + data
    return _long(first, 127, size) + data


def payloads_in(frames: bytes) -> Iterator[tuple[Payload, int]]:
    """The payloads in joined frames that `frame_of` made, each with the bytes of its frame."""
    begin = 0
    while begin < len(frames):
        size, header = frames[begin + 1], 2
        if size >= 126:
            header = 4 if size == 126 else 10
            size = int.from_bytes(frames[begin + 2 : begin + header], "big")
        data = frames[begin + header : begin + header + size]
        yield (data.decode() if frames[begin] == _FINAL_TEXT else data), header + size
        begin += header + size
