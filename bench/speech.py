"""The generator's messages: makes them, and recognises them in a server's frames.

Each message holds its sender, the number of the sender's messages before, and the time, in fixed columns
after an `@`: `@00007.00000123.0000123456789012345`. JSON escapes none of these characters, so they are found
in any server's frame.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Literal

from bench.wire import frame

#: Columns after the `@`: the sender, the number, the time on the monotonic clock in nanoseconds.
_SENDER, _NUMBER, _TIME = slice(1, 6), slice(7, 15), slice(16, 35)
LENGTH = 35
#: Messages are filled up to this length: a frame of the guide then has about 200 bytes, one of Relais 270.
TEXT_LENGTH = 50

Style = Literal["plain", "acknowledged", "event", "native"]

#: For servers that pass frames on unchanged: a frame of the guide, which the client has to make.
_EVENT = (
    b'{"type":"message","message_id":123456,"sender_id":1001,"sender_username":"bench-0a1b2c-00001",'
    b'"content":"%b","created_at":"2025-12-09T10:30:00.123Z","is_read":false}'
)


def text(sender: int, number: int, now: int) -> bytes:
    """The text of one message."""
    return (b"@%05d.%08d.%019d" % (sender, number, now)).ljust(TEXT_LENGTH, b"~")


def marker(sender: int) -> bytes:
    """The bytes that all messages of a sender contain, and no other's."""
    return b"@%05d." % sender


def command(style: Style, sender: int, number: int, now: int, conversation: int = 0) -> bytes:
    """The frame of a message; `acknowledged` has a client id, and its time as the `ref` of the ack.

    `native` names the conversation; a guide socket has only one.
    """
    said = text(sender, number, now)
    if style == "plain":
        return frame(b'{"message":"%b"}' % said)
    if style == "native":
        return frame(b'{"type":"send","conversation_id":%d,"message":"%b"}' % (conversation, said))
    if style == "event":
        return frame(_EVENT % said)
    name = str(uuid.UUID(int=now << 64 | sender << 32 | number)).encode()
    return frame(b'{"message":"%b","client_id":"%b","ref":%d}' % (said, name, now // 1000))


@dataclass(frozen=True, slots=True)
class Said:
    """The sender, number and time of a message."""

    sender: int
    number: int
    time: int


def heard(buffer: bytes | bytearray, start: int, end: int) -> Said | None:
    """The message in the frame between `start` and `end`; None if it is not the generator's."""
    found = buffer.find(b"@", start, end)
    if found < 0 or found + LENGTH > end:
        return None
    columns = buffer[found : found + LENGTH]
    try:
        return Said(int(columns[_SENDER]), int(columns[_NUMBER]), int(columns[_TIME]))
    except ValueError:
        return None


def said_at(buffer: bytes | bytearray, start: int, end: int) -> int:
    """Only the time of the message; 0 if it is not the generator's."""
    found = buffer.find(b"@", start, end)
    if found < 0 or found + LENGTH > end:
        return 0
    digits = buffer[found + 16 : found + 35]
    return int(digits) if digits.isdigit() else 0
