"""The ringer sends bells: waiting events leave together, in order, one bell at a time.

Each hub has a ringer. A process without a hub (a command, a task queue) rings from its outpost.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from functools import partial
from typing import Any

from realtime.bells import bell, hosts, metrics
from realtime.bells.bell import Ring
from realtime.events import Logged
from realtime.metrics.outages import Outage
from realtime.process import background

logger = logging.getLogger(__name__)

#: Events that wait for a bell, and their bytes. Past either the oldest are dropped: the log has them.
MAX_WAITING = 10_000
MAX_WAITING_BYTES = 8 * 1024 * 1024
#: Bytes of bodies in one bell. A larger batch travels in several, so that none holds a connection for long.
MAX_BELL_BYTES = 512 * 1024
#: Seconds that a process without a hub gives to its last bells when it ends.
FAREWELL_SECONDS = 2.0


class Ringer:
    """Rings the bells of one event loop."""

    def __init__(self) -> None:
        #: The events that wait, each with the time at which it was told.
        self._waiting: deque[tuple[Logged, float]] = deque()
        self._bytes = 0
        self._task: asyncio.Task[None] | None = None
        #: The outages of hosts, by the host's number.
        self._outages: dict[int, Outage] = {}

    @property
    def waiting(self) -> int:
        """The number of events that wait for a bell."""
        return len(self._waiting)

    def ring(self, events: Sequence[Logged], *, told_at: float = 0.0) -> None:
        """Send events to the other processes, soon."""
        for event in events:
            self._waiting.append((event, told_at))
            self._bytes += sys.getsizeof(event.body)
        while len(self._waiting) > MAX_WAITING or self._bytes > MAX_WAITING_BYTES:
            self._next()
            metrics.BELL_EVENTS_DROPPED.value += 1
        if self._task is None:
            self._task = background.start(self._ring_all())

    async def drained(self) -> None:
        """Wait until every event that waited has been rung or given up."""
        if self._task is not None:
            await asyncio.wait([self._task])

    async def _ring_all(self) -> None:
        layer = hosts.channel_layer()
        try:
            while self._waiting:
                told_at = self._waiting[0][1]
                for shard, rings in self._take().items():
                    group = bell.group_of(shard)
                    outage = self._outage(layer, group)
                    try:
                        await layer.group_send(group, bell.encode(rings, told_at=told_at))
                        outage.over()
                        metrics.BELLS.add("rung")
                    except Exception as error:  # noqa: BLE001 - the layer's clients raise what they like
                        # Not sent again: hubs find what is stored by comparing themselves with the database.
                        outage.noticed(error)
                        metrics.BELLS.add("failed")
        finally:
            self._task = None

    def _take(self) -> dict[int, list[Ring]]:
        """The events of the next bells, by shard."""
        shards: dict[int, list[Ring]] = {}
        size = 0
        while self._waiting and size < MAX_BELL_BYTES:
            event = self._next()
            size += len(event.body)
            shards.setdefault(bell.shard_of(event.topic), []).append(Ring(*event))
        return shards

    def _outage(self, layer: Any, group: str) -> Outage:
        number = hosts.host_of(layer, group)
        outage = self._outages.get(number)
        if outage is None:
            name, about = hosts.host_names(layer)[number], ", for what we tell other processes,"
            outage = self._outages[number] = hosts.layer_outage(name, counted_as="layer_out", about=about)
        return outage

    def _next(self) -> Logged:
        event, _ = self._waiting.popleft()
        self._bytes -= sys.getsizeof(event.body)
        return event


class _Outpost(threading.Thread):
    """A thread with an event loop and a ringer, for a process without a hub: one connection, kept."""

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
        """Send the last bells before the process ends; stored events are found without them."""
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


def ring_from_outpost(events: Sequence[Logged]) -> None:
    """Send events to the other processes, from a process that has no hub; from any thread."""
    global _outpost  # noqa: PLW0603 - one per process, made when a process without hub first rings
    with _outpost_lock:
        if _outpost is None or not _outpost.is_alive():
            _outpost = _Outpost()
    _outpost.ring(events)


def _forget_outpost() -> None:
    """In a forked child the outpost of the parent exists, but does not run."""
    global _outpost, _outpost_lock
    _outpost, _outpost_lock = None, threading.Lock()


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(after_in_child=_forget_outpost)
