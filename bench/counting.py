"""Counting the frames of a server without parsing them: far below a microsecond for each.

What a busy server writes to one socket is a run of equally long messages. Where the first header says "text,
n bytes", the next header must stand n bytes further, and so on: the columns of such a run are compared in C,
with a slice per header byte. A frame counted this way was proven to begin where the one before it ended, so
the count is exact, not an estimate.
"""

from __future__ import annotations

from collections.abc import Callable

from bench.wire import CLOSE, PING, PONG, TEXT

#: No server under measurement sends longer messages; a header that claims more is a broken stream.
MAX_FRAME = 512 * 1024

#: Called for each run of messages: buffer, position of the first, how many, bytes of each.
Saw = Callable[[bytearray, int, int, int], None]


class MalformedStreamError(ValueError):
    """The server sent what no WebSocket server may send."""


def next_run(buffer: bytearray, position: int, end: int) -> tuple[int, int]:
    """How many equally long text messages stand at `position`, and the bytes of each with its header.

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
        # What is left after the leading bytes like the first one begins where the run ends.
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
    """What one socket has received: how many messages, pings, the close."""

    __slots__ = ("close_code", "messages", "pings", "rest")

    def __init__(self) -> None:
        self.messages = 0
        #: The beginning of a frame whose end has not arrived.
        self.rest = b""
        #: Payloads that wait for their pong.
        self.pings: list[bytes] = []
        self.close_code: int | None = None

    def take(self, buffer: bytearray, end: int, saw: Saw) -> None:
        """Count what stands in the first `end` bytes, which begin with our own `rest`."""
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
        """A complete frame that is not a whole text message."""
        match frame[0]:
            case kind if kind == PING:
                self.pings.append(frame[2:])
            case kind if kind == CLOSE:
                self.close_code = int.from_bytes(frame[2:4], "big") if len(frame) >= 4 else 1005
            case kind if kind != PONG and kind & 0x80:
                self.messages += 1  # binary, or the end of a message in several frames


def events_in(buffer: bytes | bytearray, position: int, frames: int, stride: int) -> int:
    """How many of a run of the native socket's frames are events: they begin with their topic.

    All others, answers to what a client said among them, begin with their type: `{"type":`.
    """
    header = 2 if stride < 128 else 4 if stride < 65_540 else 10
    column = position + header + len(b'{"t')
    return buffer[column : position + frames * stride : stride].count(b"o")


def whole_number(frame: bytes, name: bytes) -> tuple[int, int] | None:
    """The value of a number in a JSON frame, and where its last digit stands; found without parsing."""
    start = frame.rfind(b'"' + name + b'":')
    if start < 0:
        return None
    start += len(name) + 3
    digits = frame[start : start + 20]
    kept = len(digits) - len(digits.lstrip(b" 0123456789"))
    return (int(digits[:kept]), start + kept - 1) if digits[:kept].strip() else None
