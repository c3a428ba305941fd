"""What a hub finds by comparing itself with the database: the truth, whatever bells were lost.

Some topics are compared soon after somebody asked for it: those with a first listener, all of them after a
silence of the layer. And all of them in turn, every few seconds.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from django.db import connection

from realtime import bells, log, outages
from realtime.conf import conf
from realtime.threads import run_in_thread

if TYPE_CHECKING:
    from realtime.audience import Audience

#: Seconds before heads that could not be read are asked for again.
RETRY_SECONDS = 1.0
#: Seconds in which topics gather that are new: those of one socket come one after the other.
GATHER_SECONDS = 0.005
#: Seconds between two looks at the database when no bell can come from other processes.
POLL_SECONDS = 0.5


class Looking:
    """The looks of one hub."""

    def __init__(self, audiences: Mapping[str, Audience]) -> None:
        self._audiences = audiences
        self._topics: set[str] = set()
        self._something = asyncio.Event()

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
        """Compare all durable topics with the database, spread over the interval."""
        while True:
            if not bells.layer_is_shared():
                await asyncio.sleep(POLL_SECONDS)
                if not await self._database_may_have_changed():
                    continue
            topics = [name for name, audience in self._audiences.items() if audience.position is not None]
            batches = [
                topics[i : i + conf.head_check_batch] for i in range(0, len(topics), conf.head_check_batch)
            ]
            for batch in batches:
                await self._check(batch)
                if bells.layer_is_shared():
                    await asyncio.sleep(conf.head_check_seconds / len(batches))
            if not batches:
                await asyncio.sleep(POLL_SECONDS)

    async def _database_may_have_changed(self) -> bool:
        try:
            return await run_in_thread(_database_changed)
        except Exception as error:  # noqa: BLE001 - whatever it is, the next look will tell
            outages.DATABASE.noticed(error)
            return False

    async def _check(self, topics: list[str]) -> None:
        known = {topic: audience.position for topic in topics if (audience := self._audiences.get(topic))}
        try:
            heads = await run_in_thread(log.heads, topics)
        except Exception as error:  # noqa: BLE001 - they are asked for again until they are known
            outages.DATABASE.noticed(error)
            self.soon(topics)
            await asyncio.sleep(RETRY_SECONDS)
            return
        outages.DATABASE.over()
        for topic, head in heads.items():
            audience = self._audiences.get(topic)
            if audience is not None:
                if head < (known.get(topic) or 0):
                    audience.go_back(head)
                audience.expect(head)


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
