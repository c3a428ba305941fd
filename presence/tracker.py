"""The tracker of a process: it knows who is in the rooms that somebody here follows.

Each process tells the others what changes by its own sockets, and every few seconds that it lives, and at
which version its rooms are. Who follows a room asks for what it does not know. So a lost message is made good
within seconds, and those of a process that died are gone when it was silent for LOST_SECONDS.

    process A                                             process B
      join ──► presence_changed, version 7 ──────────────► applied, if somebody here follows the room
      every BEAT_SECONDS ──► presence_alive {room: 7} ───► it knows 6: presence_asked
      presence_told, version 7, all entries ◄──────────────┘
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import weakref
from typing import ClassVar

import msgspec

from presence.events import (
    PROCESSES,
    Entry,
    PresenceAlive,
    PresenceAsked,
    PresenceChanged,
    PresenceGone,
    PresenceTold,
)
from realtime import Delivery, Event, Hub, events, publish_now

logger = logging.getLogger(__name__)

#: Seconds between two signs of life, and seconds of silence after which a process counts as dead.
BEAT_SECONDS, LOST_SECONDS = 5.0, 25.0
#: Rooms whose versions a sign of life names; with more, each has its turn.
ROOMS_IN_A_BEAT = 500
#: Seconds that changes of a room wait for others, once one was told: a crowd that comes is told together.
TOGETHER_SECONDS = 0.2
#: Seconds that somebody who comes waits for what other processes know.
ANSWER_SECONDS = 1.0
#: The same while no other process is known.
FIRST_ANSWER_SECONDS = 0.3


class Room:
    """Who is in a room, as far as this process knows."""

    def __init__(self, name: str) -> None:
        self.name = name
        #: How many here follow it.
        self.followers = 0
        #: By process, and in it by ref.
        self.entries: dict[str, dict[str, Entry]] = {}
        #: The version of each process.
        self.versions: dict[str, int] = {}
        #: The processes that were asked and have not answered; None once all have.
        self.unheard: set[str] | None = None
        self.answered = asyncio.Event()
        self.joins: dict[str, Entry] = {}
        self.leaves: dict[str, Entry] = {}
        self.flush: asyncio.TimerHandle | None = None
        self.flushed_at = 0.0

    def everybody(self) -> list[Entry]:
        """All who are there, as those who follow the room were told until now."""
        found = {ref: entry for entries in self.entries.values() for ref, entry in entries.items()}
        return [entry for ref, entry in (found | self.leaves).items() if ref not in self.joins]


class Tracker:
    """Knows rooms, and the processes that speak of them."""

    _trackers: ClassVar[weakref.WeakKeyDictionary[Hub, Tracker]] = weakref.WeakKeyDictionary()
    #: Whether somebody has used it: a process that follows no room need not be heard.
    _in_use: ClassVar[weakref.WeakKeyDictionary[Hub, asyncio.Event]] = weakref.WeakKeyDictionary()

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        #: The name of this process; another one after a restart.
        self.process = secrets.token_hex(8)
        self.rooms: dict[str, Room] = {}
        #: When each other process was heard, by the loop's clock.
        self._heard: dict[str, float] = {}
        self._turn = 0
        hub.listen(PROCESSES, self._hear)
        self._used(hub).set()

    @classmethod
    def current(cls) -> Tracker:
        """The tracker of the running loop."""
        hub = Hub.current()
        tracker = cls._trackers.get(hub)
        if tracker is None:
            tracker = cls._trackers[hub] = cls(hub)
        return tracker

    @classmethod
    def _used(cls, hub: Hub) -> asyncio.Event:
        return cls._in_use.setdefault(hub, asyncio.Event())

    @classmethod
    async def keep_alive(cls) -> None:
        """Beat for as long as the hub runs, from the first use of its tracker on."""
        await cls._used(Hub.current()).wait()
        tracker = cls.current()
        try:
            while True:
                tracker.beat()
                await asyncio.sleep(BEAT_SECONDS)
        finally:
            tracker.gone()

    # --- who follows --------------------------------------------------------------------------------

    def follow(self, name: str) -> Room:
        """Know a room from now on; `leave` it as often."""
        room = self.rooms.get(name)
        if room is None:
            room = self.rooms[name] = Room(name)
            self._hub.listen(name, self._changed)
            if self._hub.layer_status() == "memory":  # there is no other process
                room.answered.set()
            else:
                self._ask(room)
        room.followers += 1
        return room

    def _ask(self, room: Room) -> None:
        """Ask the other processes who is in a room; what nobody has answered by then is learned later."""
        room.unheard = set(self._heard)
        seconds = ANSWER_SECONDS if room.unheard else FIRST_ANSWER_SECONDS
        asyncio.get_running_loop().call_later(seconds, room.answered.set)
        self._tell(PROCESSES, PresenceAsked(process=self.process, room=room.name))

    def leave(self, room: Room) -> None:
        """Follow a room no longer."""
        room.followers -= 1
        if room.followers <= 0:
            self._flush(room)
            if self.rooms.get(room.name) is room:
                del self.rooms[room.name]
                self._hub.stop_listening(room.name)

    # --- who is here --------------------------------------------------------------------------------

    def enter(self, room: Room, key: str, meta: msgspec.Raw, before: Entry | None = None) -> Entry:
        """Somebody here is in a room, or says something else of themselves than `before`."""
        replaced = "" if before is None else before.ref
        if before is not None and self._remove(room, before):
            replaced = before.before  # nobody has heard of that one
        entry = Entry(secrets.token_urlsafe(9), key, meta, replaced)
        room.entries.setdefault(self.process, {})[entry.ref] = room.joins[entry.ref] = entry
        self._flush_soon(room)
        return entry

    def exit(self, room: Room, entry: Entry) -> None:
        """Somebody here is no longer in a room."""
        self._remove(room, entry)
        self._flush_soon(room)

    def _remove(self, room: Room, entry: Entry) -> bool:
        """Remove an entry; returns whether nobody has heard of it yet."""
        room.entries.get(self.process, {}).pop(entry.ref, None)
        is_unheard = room.joins.pop(entry.ref, None) is not None
        if not is_unheard:
            room.leaves[entry.ref] = entry
        return is_unheard

    def _flush_soon(self, room: Room) -> None:
        if room.flush is None:
            loop = asyncio.get_running_loop()
            room.flush = loop.call_at(max(loop.time(), room.flushed_at + TOGETHER_SECONDS), self._flush, room)

    def _flush(self, room: Room) -> None:
        if room.flush is not None:
            room.flush.cancel()
            room.flush = None
        if not room.joins and not room.leaves:
            return
        joins, leaves = list(room.joins.values()), list(room.leaves.values())
        room.joins, room.leaves = {}, {}
        room.flushed_at = asyncio.get_running_loop().time()
        room.versions[self.process] = version = room.versions.get(self.process, 0) + 1
        told = PresenceChanged(process=self.process, version=version, joins=joins, leaves=leaves)
        self._tell(room.name, told)

    # --- what others say ----------------------------------------------------------------------------

    def _changed(self, delivery: Delivery) -> None:
        """Apply what another process told to a room."""
        told, room = _CHANGED.decode(delivery.body), self.rooms.get(delivery.topic)
        if told.process == self.process or room is None:
            return
        self._lives(told.process)
        known = room.versions.get(told.process, 0)
        if told.version > known + 1 and room.answered.is_set():  # one was lost
            self._tell(PROCESSES, PresenceAsked(process=self.process, room=room.name))
        entries = room.entries.setdefault(told.process, {})
        for entry in told.leaves:
            entries.pop(entry.ref, None)
        for entry in told.joins:
            entries[entry.ref] = entry
        if told.version in (0, known + 1):
            room.versions[told.process] = max(known, told.version)

    def _hear(self, delivery: Delivery) -> None:
        """Hear a process speak of itself, or answer what it asks."""
        said = _SAID.decode(delivery.body)
        if said.process == self.process:
            return
        if isinstance(said, PresenceGone):
            self._forget(said.process)
            return
        self._lives(said.process)
        match said:
            case PresenceAsked():
                room = self.rooms.get(said.room)
                entries = [] if room is None else list(room.entries.get(self.process, {}).values())
                self._flush_now(room)
                version = 0 if room is None else room.versions.get(self.process, 0)
                self._tell(
                    PROCESSES,
                    PresenceTold(process=self.process, room=said.room, version=version, entries=entries),
                )
            case PresenceTold():
                self._learn(said)
            case PresenceAlive():
                for name, version in said.rooms.items():
                    known = self.rooms.get(name)
                    if known is not None and known.versions.get(said.process, 0) != version:
                        self._tell(PROCESSES, PresenceAsked(process=self.process, room=name))

    def _flush_now(self, room: Room | None) -> None:
        if room is not None:
            self._flush(room)

    def _learn(self, said: PresenceTold) -> None:
        room = self.rooms.get(said.room)
        if room is None:
            return
        now = {entry.ref: entry for entry in said.entries}
        before = room.entries.get(said.process, {})
        joins = [entry for ref, entry in now.items() if ref not in before]
        leaves = [entry for ref, entry in before.items() if ref not in now]
        room.versions[said.process] = said.version
        if joins or leaves:
            self._tell_here(room, said.process, joins, leaves)
        if room.unheard is not None:
            room.unheard.discard(said.process)
            if not room.unheard:
                room.unheard = None
                room.answered.set()

    def _lives(self, process: str) -> None:
        self._heard[process] = asyncio.get_running_loop().time()

    def _forget(self, process: str) -> None:
        """All who were there by the sockets of a process are gone."""
        self._heard.pop(process, None)
        for room in list(self.rooms.values()):
            leaves = list(room.entries.get(process, {}).values())
            if leaves:
                self._tell_here(room, process, [], leaves)
            room.entries.pop(process, None)
            room.versions.pop(process, None)
            if room.unheard is not None:
                room.unheard.discard(process)
                if not room.unheard:
                    room.unheard = None
                    room.answered.set()

    def _tell_here(self, room: Room, process: str, joins: list[Entry], leaves: list[Entry]) -> None:
        """Tell those here who follow a room what another process did not tell them, and apply it."""
        told = PresenceChanged(process=process, version=0, joins=joins, leaves=leaves)
        self._hub.receive([(room.name, None, events.encode(told))])

    # --- being there --------------------------------------------------------------------------------

    def beat(self) -> None:
        """Say that this process lives, and forget those that are silent."""
        mine = [room for room in self.rooms.values() if room.versions.get(self.process)]
        start = self._turn % max(1, len(mine))
        some = (mine + mine)[start : start + min(len(mine), ROOMS_IN_A_BEAT)]
        self._turn = start + ROOMS_IN_A_BEAT
        versions = {room.name: room.versions[self.process] for room in some}
        self._tell(PROCESSES, PresenceAlive(process=self.process, rooms=versions))
        silent_since = asyncio.get_running_loop().time() - LOST_SECONDS
        for process in [each for each, heard in self._heard.items() if heard < silent_since]:
            logger.warning("A process is silent: who was there by it is gone", extra={"peer": process})
            self._forget(process)

    def gone(self) -> None:
        """Say that this process ends."""
        self._tell(PROCESSES, PresenceGone(process=self.process))

    def _tell(self, topic: str, event: Event) -> None:
        publish_now(topic, event)


_CHANGED = msgspec.json.Decoder(PresenceChanged)
_SAID = msgspec.json.Decoder(PresenceAlive | PresenceAsked | PresenceTold | PresenceGone)
