"""Head checks compare each audience's position with the head of its topic in the database.

A bell is only a hint and may be lost; a head check finds what it would have told. Topics are checked on
request: with their first subscriber, and all of them after a silence of the layer. And a sweep checks all of
them in turn, so that none waits longer than promised.
"""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Callable, Iterable, Mapping
from itertools import islice

from django.db import connection

from realtime import log
from realtime.bells.hosts import layer_is_shared
from realtime.database import outages
from realtime.database.threads import run_in_thread
from realtime.defaults import conf
from realtime.hub.audience import Audience

#: Seconds before a failed reading of heads is repeated.
RETRY_SECONDS = 1.0
#: Seconds in which requests gather: the topics of one socket come one after the other.
GATHER_SECONDS = 0.005
#: Seconds between two looks at the database under the memory layer, which has no bells from other processes.
POLL_SECONDS = 0.5


#: The share of the promised time that may pass between two checks of a topic. The rest, one of five seconds,
#: is for the query and for reading what a lost bell should have brought.
SWEEP_SHARE = 0.8
#: Seconds until the sweep looks again, while there is no topic.
NO_TOPIC_SECONDS = 0.5


class SweepOrder:
    """The topics of a hub, the one checked longest ago first."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        #: When each topic was last checked, or added.
        self._checked_at: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._checked_at)

    def add(self, topic: str) -> None:
        """Add a topic whose head is known at this moment."""
        self._checked_at[topic] = self._clock()

    def remove(self, topic: str) -> None:
        """Remove a topic that has no subscriber any more."""
        self._checked_at.pop(topic, None)

    def take(self, count: int) -> list[str]:
        """The topics to check now; they go to the end of the order, at the moment their check begins."""
        taken = list(islice(self._checked_at, count))
        for topic in taken:
            del self._checked_at[topic]
            self.add(topic)
        return taken

    def wait(self, began: float, *, seconds: float, count: int) -> float:
        """Seconds until the next query of the sweep, after one that began at `began`.

        Queries are spread evenly over the time in which each topic has one, and none comes later than that
        time after the last check of the first in turn, whichever topics came and went meanwhile.
        """
        if not self._checked_at:
            return NO_TOPIC_SECONDS
        queries = math.ceil(len(self._checked_at) / count)
        due = min(began + seconds / queries, next(iter(self._checked_at.values())) + seconds)
        return max(0.0, due - self._clock())


class HeadChecks:
    """The head checks of one hub: `requested` and `sweep` run as long as the hub does."""

    def __init__(self, audiences: Mapping[str, Audience], clock: Callable[[], float]) -> None:
        self._audiences = audiences
        self._clock = clock
        self._order = SweepOrder(clock)
        self._requests: set[str] = set()
        self._has_requests = asyncio.Event()

    def watch(self, topic: str) -> None:
        """Check a topic from now on; its position is known, and bells may have been lost since."""
        self._order.add(topic)
        self.request([topic])

    def forget(self, topic: str) -> None:
        """Stop checking a topic, which has no subscriber left."""
        self._order.remove(topic)

    def request(self, topics: Iterable[str]) -> None:
        """Have these topics checked within the next turns of the loop."""
        self._requests.update(topics)
        if self._requests:
            self._has_requests.set()

    async def requested(self) -> None:
        """Check topics soon after they were requested, many in one query."""
        while True:
            await self._has_requests.wait()
            await asyncio.sleep(GATHER_SECONDS)
            self._has_requests.clear()
            topics, self._requests = list(self._requests), set()
            for start in range(0, len(topics), conf.head_check_batch):
                await self._check(topics[start : start + conf.head_check_batch])

    async def sweep(self) -> None:
        """Check all durable topics in turn; where no bells come, whenever the database changed."""
        while True:
            if layer_is_shared():
                await self._sweep_on()
            else:
                await asyncio.sleep(POLL_SECONDS)
                if await self._database_may_have_changed():
                    for _ in range(math.ceil(len(self._order) / conf.head_check_batch)):
                        await self._check(self._order.take(conf.head_check_batch))

    async def _sweep_on(self) -> None:
        began = self._clock()
        await self._check(self._order.take(conf.head_check_batch))
        seconds = SWEEP_SHARE * conf.head_check_seconds
        await asyncio.sleep(self._order.wait(began, seconds=seconds, count=conf.head_check_batch))

    async def _database_may_have_changed(self) -> bool:
        try:
            return await run_in_thread(_database_changed)
        except Exception as error:  # noqa: BLE001 - whatever it is, the next look will tell
            outages.DATABASE.noticed(error)
            return False

    async def _check(self, topics: list[str]) -> None:
        if not topics:
            return
        known = {
            topic: (audience, audience.timeline, audience.position)
            for topic in topics
            if (audience := self._audiences.get(topic))
        }
        try:
            ends = await run_in_thread(log.ends, topics)
        except Exception as error:  # noqa: BLE001 - they are requested again until they are known
            outages.DATABASE.noticed(error)
            self.request(topics)
            await asyncio.sleep(RETRY_SECONDS)
            return
        outages.DATABASE.over()
        for topic, end in ends.items():
            audience = self._audiences.get(topic)
            if audience is not None:
                # If two checks overlap and the first went back, the second finds another timeline, or another
                # audience if all subscriptions had left.
                asked, timeline, position = known.get(topic, (None, 0, None))
                is_as_it_was = audience is asked and audience.timeline == timeline
                if is_as_it_was and end.seq < (position or 0):
                    audience.go_back(end.seq)
                audience.compare(end)
                audience.expect(end.seq)


_versions = threading.local()


def _database_changed() -> bool:
    """Whether the database changed since this thread last asked; always true where it cannot tell."""
    if connection.vendor != "sqlite":
        return True
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA data_version")  # meaningful only within one connection, and so one thread
        seen = (connection.connection, cursor.fetchone()[0])
    changed = seen != getattr(_versions, "seen", None)
    _versions.seen = seen
    return changed
