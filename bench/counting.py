"""Counts a server's frames without parsing them, in far less than a microsecond each.

A busy server writes runs of equally long messages to a socket. If the first header says "text, n bytes", the
next header must stand n bytes further, and so on: the columns of such a run are compared in C, with one slice
per header byte. A frame counted in this way was proven to begin where the one before it ended, so the count
is exact, not an estimate.
"""

from __future__ import annotations

from collections.abc import Callable

from bench.wire import CLOSE, PING, PONG, TEXT

#: No measured server sends longer messages; a header that claims more belongs to a broken stream.
MAX_FRAME = 512 * 1024

#: Called for each run of messages, with the buffer, the first position, the count, and the bytes of each.
Saw = Callable[[bytearray, int, int, int], None]


class MalformedStreamError(ValueError):
    """The server sent bytes that are no valid WebSocket stream."""


def next_run(buffer: bytearray, position: int, end: int) -> tuple[int, int]:
    """The number of equally long text messages at `position`, and the bytes of each with its header.

    (0, n) is one complete frame of another kind; (0, 0) means that the frame there has not all arrived.
    """
    available = end - position
    if available < 2:
        return 0, 0
    first, length = buffer[position], buffer[position + 1]
    header = 2
    if length >= 126:
        if length > 127:
            raise MalformedStreamError("a server must not mask")
        header = 4 if length == 126 else 10
        if available < header:
            return 0, 0
        length = int.from_bytes(buffer[position + 2 : position + header], "big")
        if length > MAX_FRAME:
            raise MalformedStreamError(f"a frame of {length} bytes")
    stride = header + length
    frames = available // stride
    if first != TEXT:
        _check(first, header, length)
        return 0, stride if frames else 0
    if frames < 2:
        return frames, stride if frames else 0
    for column in range(position, position + header):
        found = buffer[column : position + frames * stride : stride]
        # The bytes left over after the last matching header begin where the run ends.
        frames = len(found) - len(found.lstrip(found[:1]))
    return frames, stride


def _check(first: int, header: int, length: int) -> None:
    if first & 0x70:
        raise MalformedStreamError("reserved bits without an extension")
    opcode = first & 0x0F
    if opcode not in (0, 1, 2, 8, 9, 10):
        raise MalformedStreamError(f"opcode {opcode}")
    if opcode >= 8 and (header > 2 or length > 125 or not first & 0x80):
        raise MalformedStreamError("a control frame that is long or fragmented")


class Inbound:
    """The received part of one socket: counts of messages and pings, and the close."""

    __slots__ = ("close_code", "messages", "pings", "rest")

    def __init__(self) -> None:
        self.messages = 0
        #: The beginning of a frame that has not arrived completely.
        self.rest = b""
        #: Payloads of pings that wait for their pong.
        self.pings: list[bytes] = []
        self.close_code: int | None = None

    def take(self, buffer: bytearray, end: int, saw: Saw) -> None:
        """Count the frames in the first `end` bytes of the buffer, which begin with this socket's `rest`."""
        position = 0
        while position < end:
            frames, stride = next_run(buffer, position, end)
            if frames:
                saw(buffer, position, frames, stride)
                self.messages += frames
                position += frames * stride
            elif stride:
                self._other(bytes(buffer[position : position + stride]))
                position += stride
            else:
                break
        self.rest = bytes(buffer[position:end])

    def _other(self, frame: bytes) -> None:
        """Take a complete frame that is not a whole text message."""
        match frame[0]:
            case kind if kind == PING:
                self.pings.append(frame[2:])
            case kind if kind == CLOSE:
                self.close_code = int.from_bytes(frame[2:4], "big") if len(frame) >= 4 else 1005
            case kind if kind != PONG and kind & 0x80:
                self.messages += 1  # binary, or the end of a fragmented message


def events_in(buffer: bytes | bytearray, position: int, frames: int, stride: int) -> int:
    """The number of events in a run of the native socket's frames; an event begins with its topic.

    All other frames, answers to commands among them, begin with their type: `{"type":`.
    """
    header = 2 if stride < 128 else 4 if stride < 65_540 else 10
    column = position + header + len(b'{"t')
    return buffer[column : position + frames * stride : stride].count(b"o")


def whole_number(frame: bytes, name: bytes) -> tuple[int, int] | None:
    """The value of a number in a JSON frame, and the place of its last digit; found without parsing."""
    start = frame.rfind(b'"' + name + b'":')
    if start < 0:
        return None
    start += len(name) + 3
    digits = frame[start : start + 20]
    kept = len(digits) - len(digits.lstrip(b" 0123456789"))
    return (int(digits[:kept]), start + kept - 1) if digits[:kept].strip() else None
