"""What processes tell each other of who is there. None of it is kept."""

from __future__ import annotations

import msgspec

from realtime import Event

#: The topic on which processes speak of themselves.
PROCESSES = "presence"


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """Somebody in a room: under which key, and what they say of themselves, a JSON object."""

    ref: str
    key: str
    meta: msgspec.Raw
    #: The entry that this one replaces; empty for one who was not there.
    before: str = ""


class PresenceChanged(Event, tag="presence_changed", frozen=True):
    """Some came into a room, and some left, of those whose sockets are in one process. Told to the room."""

    process: str
    #: The number of this change among those of the process in this room.
    version: int
    joins: list[Entry]
    leaves: list[Entry]


class PresenceAlive(Event, tag="presence_alive", frozen=True):
    """A process is there, and at these versions in rooms; not in all of them each time."""

    process: str
    rooms: dict[str, int]


class PresenceAsked(Event, tag="presence_asked", frozen=True):
    """A process wants to know who of the others' is in a room."""

    process: str
    room: str


class PresenceTold(Event, tag="presence_told", frozen=True):
    """The answer: all who are in a room by sockets of the process that tells it."""

    process: str
    room: str
    version: int
    entries: list[Entry]


class PresenceGone(Event, tag="presence_gone", frozen=True):
    """A process ends, and all who were there by its sockets are gone."""

    process: str
