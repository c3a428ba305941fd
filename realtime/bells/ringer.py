"""Bells: how processes tell each other that there is something new.

A bell carries the events of one batch. It may be lost, doubled or late: the database is the truth,
and every hub compares itself with it. Nothing else talks to the channel layer: here it is told, and in
`hearing` it is heard.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import sys
import threading
import time
import uuid
import zlib
from collections import deque
from collections.abc import Sequence
from functools import partial
from typing import Any, Protocol

import msgspec
from channels.layers import InMemoryChannelLayer, get_channel_layer

from realtime.bells import hosts, metrics, seals
from realtime.conf import conf
from realtime.events import Logged
from realtime.metrics.outages import Outage
from realtime.process import background

logger = logging.getLogger(__name__)

#: Events waiting to be told to others, and their bytes. Past either the oldest are dropped: the log has them.
MAX_WAITING = 10_000
MAX_WAITING_BYTES = 8 * 1024 * 1024
#: Bodies in one bell. A larger batch travels in several, so that none holds a connection for long.
MAX_BELL_BYTES = 512 * 1024
#: Seconds that a process which ends gives to the last bells.
FAREWELL_SECONDS = 2.0


class Ring(msgspec.Struct, array_like=True):
    """One event in a bell."""

    topic: str
    seq: int | None
    body: str


class Bell(msgspec.Struct):
    """What travels between processes; anything else that arrives is ignored."""

    origin: str
    #: None at all from a process that has just begun, maybe in the place of one that died before it rang.
    rings: list[Ring]
    #: The ringer's clock when the oldest of them was told; 0 where that is not known.
    told_at: float = 0.0


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Bell)

#: This process, among the ringers of bells.
_origin = uuid.uuid4().hex


def origin() -> str:
    """This process, among the ringers of bells; a forked child is another one."""
    return _origin


def shard_of(topic: str) -> int:
    """The shard whose group carries the bells of a topic."""
    return zlib.crc32(topic.encode()) % conf.bell_shards


def group_of(shard: int) -> str:
    """The group of the channel layer that carries a shard."""
    return f"relais.bells.{shard}"


def layer() -> Any:
    """The channel layer; a system check refuses a project without one."""
    return get_channel_layer()


def layer_is_shared() -> bool:
    """Whether other processes can hear our bells."""
    return not isinstance(layer(), InMemoryChannelLayer)


def message(rings: list[Ring], *, told_at: float = 0.0) -> dict[str, Any]:
    """A bell of ours as the layer carries it."""
    return {"type": "bell", "bell": seals.sealed(_encoder.encode(Bell(origin(), rings, told_at)))}


def read(message: Any) -> Bell:
    """The bell in a message of the layer; an error where there is none that one of ours sealed."""
    return _decoder.decode(seals.opened(message["bell"]) or b"")


def decode(message: Any) -> Bell | None:
    """A bell that arrived; None when it is our own, or none of ours rang it."""
    try:
        bell = read(message)
    except (KeyError, TypeError, msgspec.MsgspecError):
        logger.warning("Something that is no bell arrived through the channel layer; ignored")
        metrics.BELLS.add("unreadable")
        return None
    if bell.origin == origin():
        return None
    metrics.BELLS.add("heard")
    return bell


class Ringer:
    """Rings the bells of one event loop: in order, one at a time, everything that waits in each."""

    def __init__(self) -> None:
        #: Each with the time at which it was told.
        self._waiting: deque[tuple[Logged, float]] = deque()
        self._bytes = 0
        self._task: asyncio.Task[None] | None = None
        #: By the number of the layer's server.
        self._outages: dict[int, Outage] = {}

    @property
    def waiting(self) -> int:
        """Events that no bell has taken yet."""
        return len(self._waiting)

    def ring(self, events: Sequence[Logged], *, told_at: float = 0.0) -> None:
        """Tell the other processes soon."""
        for event in events:
            self._waiting.append((event, told_at))
            self._bytes += sys.getsizeof(event.body)
        while len(self._waiting) > MAX_WAITING or self._bytes > MAX_WAITING_BYTES:
            self._next()
            metrics.BELL_EVENTS_DROPPED.value += 1
        if self._task is None:
            self._task = background.start(self._ring_all())

    async def drained(self) -> None:
        """Wait until everything that waited has been rung or given up."""
        if self._task is not None:
            await asyncio.wait([self._task])

    async def _ring_all(self) -> None:
        carrier = layer()
        try:
            while self._waiting:
                told_at = self._waiting[0][1]
                for shard, rings in self._take().items():
                    group = group_of(shard)
                    outage = self._outage(carrier, group)
                    try:
                        await carrier.group_send(group, message(rings, told_at=told_at))
                        outage.over()
                        metrics.BELLS.add("rung")
                    except Exception as error:  # noqa: BLE001 - the layer's clients raise what they like
                        # Not sent again: hubs find what is stored by looking at the heads.
                        outage.noticed(error)
                        metrics.BELLS.add("failed")
        finally:
            self._task = None

    def _take(self) -> dict[int, list[Ring]]:
        shards: dict[int, list[Ring]] = {}
        size = 0
        while self._waiting and size < MAX_BELL_BYTES:
            event = self._next()
            size += len(event.body)
            shards.setdefault(shard_of(event.topic), []).append(Ring(*event))
        return shards

    def _outage(self, carrier: Any, group: str) -> Outage:
        number = hosts.host_of(carrier, group)
        outage = self._outages.get(number)
        if outage is None:
            name, about = hosts.host_names(carrier)[number], ", for what we tell other processes,"
            outage = self._outages[number] = hosts.layer_outage(name, counted_as="layer_out", about=about)
        return outage

    def _next(self) -> Logged:
        event, _ = self._waiting.popleft()
        self._bytes -= sys.getsizeof(event.body)
        return event


class _Outpost(threading.Thread):
    """Rings for a process that has no hub: a command, a task queue. One connection, kept."""

    def __init__(self) -> None:
        super().__init__(name="bells", daemon=True)
        self.loop = asyncio.new_event_loop()
        self.ringer = Ringer()
        self.start()
        atexit.register(self._finish)

    def run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()

    def ring(self, events: Sequence[Logged]) -> None:
        ring = partial(self.ringer.ring, events, told_at=time.time())
        self.loop.call_soon_threadsafe(ring)

    def _finish(self) -> None:
        """Let the last bells out before the process ends; what is stored is found without them."""
        if not self.is_alive():
            return  # a forked child: its parent has them
        try:
            asyncio.run_coroutine_threadsafe(self.ringer.drained(), self.loop).result(
                timeout=FAREWELL_SECONDS
            )
        except Exception:
            logger.debug("The last bells were not rung", exc_info=True)


_outpost: _Outpost | None = None
_outpost_lock = threading.Lock()


class Hearer(Protocol):
    """A hub, as far as this module knows one."""

    def tell(self, events: Sequence[Logged], *, also_others: bool) -> None: ...


#: The hubs that run in this process: one in a server, none in a command, several in some tests.
hearers: list[Hearer] = []


def ring(events: Sequence[Logged]) -> None:
    """Hand events to this process's hub and, once, to all other processes; from any thread."""
    if hearers:
        for index, hub in enumerate(list(hearers)):
            hub.tell(events, also_others=index == 0)
    elif layer_is_shared():
        _from_outpost(events)


def _begin_anew() -> None:
    """In a forked child: the hubs and the outpost of the parent exist here, but do not run."""
    global _origin, _outpost, _outpost_lock
    hearers.clear()
    _origin, _outpost, _outpost_lock = uuid.uuid4().hex, None, threading.Lock()


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(after_in_child=_begin_anew)


def _from_outpost(events: Sequence[Logged]) -> None:
    global _outpost  # noqa: PLW0603 - one per process, made when a process without hub first tells
    with _outpost_lock:
        if _outpost is None or not _outpost.is_alive():
            _outpost = _Outpost()
    _outpost.ring(events)
