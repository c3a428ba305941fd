"""Positions: how far a client is in the log of a topic, as a text that it keeps and gives back.

`981-3f9c2a71d0` is the seq of an event and its *mark*. A seq alone would be believed by any log that is long
enough: the one of another topic, or the one that a restored backup began again, where other events have the
places of those that were lost. The mark is a hash of where and when the event was stored. All of that stands
in the log, so no mark is stored; edits and tombstones keep it; a new past has other times.

A number without a mark is a position too: it is all that a client of the guide knows, and nobody can tell
whose it is.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from typing import NamedTuple

#: Of a million positions of another past, one has a chance of one in a million to be taken for one of ours.
_MARK_BYTES = 5
_MARK_LENGTH = 2 * _MARK_BYTES
#: Sixteen digits hold every integer of JSON; what is longer is no position, and is not made a number.
_TEXT = re.compile(rf"([0-9]{{1,16}})(?:-([0-9a-f]{{{_MARK_LENGTH}}}))?\Z")

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)

#: The last member of an event's JSON, from its name on: `,"position":"981-3f9c2a71d0"}`.
_MEMBER = ',"position":"'
_LONGEST_MEMBER = len(_MEMBER) + 16 + 1 + _MARK_LENGTH + 2


class Position(NamedTuple):
    """A place in the log of a topic."""

    seq: int
    #: Empty where it is not known.
    mark: str = ""

    def __str__(self) -> str:
        return f"{self.seq}-{self.mark}" if self.mark else str(self.seq)

    def is_at(self, place: Position) -> bool:
        """Whether it is this place, as far as it says: without a mark, whoever has the same seq is right."""
        return self.seq == place.seq and self.mark in ("", place.mark)

    def contradicts(self, place: Position) -> bool:
        """Whether another event has the same seq."""
        return self.seq == place.seq and bool(self.mark and place.mark) and self.mark != place.mark


#: Before the first event.
START = Position(0)


def parse(text: str) -> Position | None:
    """The position that a client gave back; None when the text cannot be one."""
    match = _TEXT.match(text)
    if match is None or (match[2] and not int(match[1])):  # no event is at 0 that could have a mark
        return None
    return Position(int(match[1]), match[2] or "")


def at(topic: str, seq: int, stored_at: dt.datetime | None) -> Position:
    """The position of an event, from when it was stored; without a mark where no such event is kept."""
    return Position(seq, "" if stored_at is None else mark_of(topic, seq, stored_at))


def mark_of(topic: str, seq: int, stored_at: dt.datetime) -> str:
    """The mark of an event."""
    moment = (stored_at - _EPOCH) // _MICROSECOND
    return hashlib.blake2b(f"{topic} {seq} {moment}".encode(), digest_size=_MARK_BYTES).hexdigest()


def placed(body: str, seq: int, mark: str) -> str:
    """The JSON text of an event, with its position as the last member."""
    return f'{body[:-1]}{_MEMBER}{seq}-{mark}"}}'


def mark_in(body: str) -> str:
    """The mark in the text of an event; empty where it has none, as that of a worker of an older version."""
    _, member, position = body[-_LONGEST_MEMBER:].rpartition(_MEMBER)
    return position.partition("-")[2][:-2] if member else ""
