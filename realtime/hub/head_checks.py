"""What a hub finds by comparing itself with the database: the truth, whatever bells were lost.

Some topics are compared soon after somebody asked for it: those with a first listener, all of them after a
silence of the layer. And all of them in turn, so that none is left alone for longer than promised.
"""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import TYPE_CHECKING

from django.db import connection

from realtime import log
from realtime.bells.hosts import layer_is_shared
from realtime.database import outages
from realtime.database.threads import run_in_thread
from realtime.defaults import conf

if TYPE_CHECKING:
    from realtime.hub.audience import Audience

#: Seconds before heads that could not be read are asked for again.
RETRY_SECONDS = 1.0
#: Seconds in which topics gather that are new: those of one socket come one after the other.
GATHER_SECONDS = 0.005
#: Seconds between two looks at the database when no bell can come from other processes.
POLL_SECONDS = 0.5


#: Of the time within which a lost bell is found, the part from one look at a topic to the next. The rest is
#: for the query that finds it and for reading what it brought: a second, where five are promised.
TURN_SHARE = 0.8
#: Seconds between two looks for who is next, where nobody listens to anything.
NOBODY_SECONDS = 0.5


class Turns:
    """The topics of a hub in the order in which they are compared with the database."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        #: When each was looked at last, or joined.
        self._looked_at: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._looked_at)

    def add(self, topic: str) -> None:
        """Somebody has come to a topic, and its head is known."""
        self._looked_at[topic] = self._clock()

    def remove(self, topic: str) -> None:
        """Nobody listens any more."""
        self._looked_at.pop(topic, None)

    def take(self, count: int) -> list[str]:
        """Those whose turn it is; they are the last from now on, counted from the beginning of the look."""
        taken = list(islice(self._looked_at, count))
        for topic in taken:
            del self._looked_at[topic]
            self.add(topic)
        return taken

    def wait(self, began: float, *, seconds: float, count: int) -> float:
        """Seconds until the next look, after one that began then.

        Looks are spread evenly over the time in which each topic has one, and none comes later than that
        time after the last look at the first in turn, whoever came and went meanwhile.
        """
        if not self._looked_at:
            return NOBODY_SECONDS
        looks = math.ceil(len(self._looked_at) / count)
        due = min(began + seconds / looks, next(iter(self._looked_at.values())) + seconds)
        return max(0.0, due - self._clock())


class Looking:
    """The looks of one hub."""

    def __init__(self, audiences: Mapping[str, Audience], clock: Callable[[], float]) -> None:
        self._audiences = audiences
        self._clock = clock
        self._turns = Turns(clock)
        self._topics: set[str] = set()
        self._something = asyncio.Event()

    def watch(self, topic: str) -> None:
        """Somebody listens to this topic, whose position is known; its bells may have rung meanwhile."""
        self._turns.add(topic)
        self.soon([topic])

    def forget(self, topic: str) -> None:
        """Nobody listens to it any more."""
        self._turns.remove(topic)

    def soon(self, topics: Iterable[str]) -> None:
        """Compare these with the database, in the next turns."""
        self._topics.update(topics)
        if self._topics:
            self._something.set()

    async def at_some(self) -> None:
        """Compare topics with the database soon after somebody asked for it, many in one query."""
        while True:
            await self._something.wait()
            await asyncio.sleep(GATHER_SECONDS)
            self._something.clear()
            topics, self._topics = list(self._topics), set()
            for start in range(0, len(topics), conf.head_check_batch):
                await self._check(topics[start : start + conf.head_check_batch])

    async def at_all(self) -> None:
        """Compare all durable topics with the database, in turn; where no bells come, whenever it changed."""
        while True:
            if layer_is_shared():
                await self._look_in_turn()
            else:
                await asyncio.sleep(POLL_SECONDS)
                if await self._database_may_have_changed():
                    for _ in range(math.ceil(len(self._turns) / conf.head_check_batch)):
                        await self._check(self._turns.take(conf.head_check_batch))

    async def _look_in_turn(self) -> None:
        began = self._clock()
        await self._check(self._turns.take(conf.head_check_batch))
        seconds = TURN_SHARE * conf.head_check_seconds
        await asyncio.sleep(self._turns.wait(began, seconds=seconds, count=conf.head_check_batch))

    async def _database_may_have_changed(self) -> bool:
        try:
            return await run_in_thread(_database_changed)
        except Exception as error:  # noqa: BLE001 - whatever it is, the next look will tell
            outages.DATABASE.noticed(error)
            return False

    async def _check(self, topics: list[str]) -> None:
        if not topics:
            return
        known = {topic: audience.position for topic in topics if (audience := self._audiences.get(topic))}
        try:
            ends = await run_in_thread(log.ends, topics)
        except Exception as error:  # noqa: BLE001 - they are asked for again until they are known
            outages.DATABASE.noticed(error)
            self.soon(topics)
            await asyncio.sleep(RETRY_SECONDS)
            return
        outages.DATABASE.over()
        for topic, end in ends.items():
            audience = self._audiences.get(topic)
            if audience is not None:
                if end.seq < (known.get(topic) or 0):
                    audience.go_back(end.seq)
                audience.compare(end)
                audience.expect(end.seq)


_versions = threading.local()


def _database_changed() -> bool:
    """Whether anybody wrote since this thread last asked; always true where a database cannot tell."""
    if connection.vendor != "sqlite":
        return True
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA data_version")  # meaningful only within one connection, and so one thread
        seen = (connection.connection, cursor.fetchone()[0])
    changed = seen != getattr(_versions, "seen", None)
    _versions.seen = seen
    return changed
