"""WebSocket frames (RFC 6455): what a payload becomes on the wire."""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct

#: What a text frame holds, or a binary one.
Payload = str | bytes

#: Bytes of the longest header of an unmasked frame.
MAX_HEADER = 10
#: FIN, and the opcode. What a server sends is not masked (RFC 6455 §5.2).
_FINAL_TEXT, _FINAL_BINARY = 0x81, 0x82

_short, _medium, _long = Struct(">BB").pack, Struct(">BBH").pack, Struct(">BBQ").pack


def size_of(payload: Payload) -> int:
    """Bytes of a payload as it travels: a text in UTF-8."""
    if isinstance(payload, str) and not payload.isascii():
        return len(payload.encode())
    return len(payload)


def frame_of(payload: Payload) -> bytes:
    """One whole frame."""
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
    """Each payload of joined frames that `frame_of` made, and the bytes that its frame takes."""
    begin = 0
    while begin < len(frames):
        size, header = frames[begin + 1], 2
        if size >= 126:
            header = 4 if size == 126 else 10
            size = int.from_bytes(frames[begin + 2 : begin + header], "big")
        data = frames[begin + header : begin + header + size]
        yield (data.decode() if frames[begin] == _FINAL_TEXT else data), header + size
        begin += header + size
