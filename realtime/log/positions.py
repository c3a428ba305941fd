"""Positions: how far a client is in the log of a topic, as a text that the client keeps and gives back.

`981-3f9c2a71d0` is the seq of an event and its *mark*. A seq alone would be believed by any log that is long
enough: that of another topic, or the one that a restored backup began again, where other events have the seqs
of those that were lost. The mark is a hash of the event's topic, seq and time. All three are in the log, so
no mark is stored; edits and tombstones keep it; after a restored backup the times are others.

A seq without a mark is a position too: a client of the guide knows nothing else, and nobody can tell of which
past it is.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from typing import NamedTuple

#: 40 bits: of a million positions from another past, the chance that one goes undetected is one in a million.
_MARK_BYTES = 5
_MARK_LENGTH = 2 * _MARK_BYTES
#: Sixteen digits hold every integer of JSON; a longer text is no position, and is not parsed as a number.
_TEXT = re.compile(rf"([0-9]{{1,16}})(?:-([0-9a-f]{{{_MARK_LENGTH}}}))?\Z")

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)

#: The last member of an event's JSON, from its name on: `,"position":"981-3f9c2a71d0"}`.
_MEMBER = ',"position":"'
_LONGEST_MEMBER = len(_MEMBER) + 16 + 1 + _MARK_LENGTH + 2


class Position(NamedTuple):
    """The place of an event in the log of a topic: its seq and its mark."""

    seq: int
    #: Empty where the mark is not known.
    mark: str = ""

    def __str__(self) -> str:
        return f"{self.seq}-{self.mark}" if self.mark else str(self.seq)

    def is_at(self, place: Position) -> bool:
        """Whether the two are the same place, as far as this one says: without a mark, the seq decides."""
        return self.seq == place.seq and self.mark in ("", place.mark)

    def contradicts(self, place: Position) -> bool:
        """Whether the two are different events with the same seq."""
        return self.seq == place.seq and bool(self.mark and place.mark) and self.mark != place.mark


#: The position before the first event.
START = Position(0)


def parse(text: str) -> Position | None:
    """Read the position that a client gave back; None when the text cannot be one."""
    match = _TEXT.match(text)
    if match is None or (match[2] and not int(match[1])):  # seq 0 has no event, so it has no mark
        return None
    return Position(int(match[1]), match[2] or "")


def at(topic: str, seq: int, stored_at: dt.datetime | None) -> Position:
    """The position of an event, from when it was stored; without a mark where no such event is kept."""
    return Position(seq, "" if stored_at is None else mark_of(topic, seq, stored_at))


def mark_of(topic: str, seq: int, stored_at: dt.datetime) -> str:
    """The mark of an event, from its topic, its seq and its time."""
    moment = (stored_at - _EPOCH) // _MICROSECOND
    return hashlib.blake2b(f"{topic} {seq} {moment}".encode(), digest_size=_MARK_BYTES).hexdigest()


def placed(body: str, seq: int, mark: str) -> str:
    """The JSON text of an event with its position added as the last member."""
    return f'{body[:-1]}{_MEMBER}{seq}-{mark}"}}'


def mark_in(body: str) -> str:
    """The mark in the text of an event; empty where it has none, as from a worker of an older version."""
    _, member, position = body[-_LONGEST_MEMBER:].rpartition(_MEMBER)
    return position.partition("-")[2][:-2] if member else ""
