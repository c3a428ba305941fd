"""Batch loading: what many sockets ask the database at about the same time is looked up together.

When a thousand sockets come back at once, each wants to know who it is and what it may hear. Asked one by one
that is a thousand short queries, whose threads mostly wait for each other; asked together it is a few.

To put a query together takes many times longer than to answer it for one socket more. A loop accepts one
connection in each of its turns, so a batch is loaded once a turn brought no further key.
"""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from itertools import islice
from typing import Generic, TypeVar

from realtime.database.threads import run_in_thread
from realtime.errors import RealtimeError
from realtime.process import background

logger = logging.getLogger(__name__)

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

#: Keys in one batch: enough to share the cost of a query, few enough to keep it short.
MAX_BATCH = 128
#: Seconds that a key waits for others at most, while each turn of the loop brings some: thirty handshakes.
GATHER_SECONDS = 0.02


class BatchLoader(Generic[K, V]):
    """Loads values by key, many keys together: `await loader(key)` returns the value, or raises its error.

    A batch is loaded when none is in flight and no other key comes, and the keys that come meanwhile are the
    next one: an idle server adds a turn of its loop, and no delay. A key that several ask for is loaded once,
    and always after the last of them asked.
    """

    def __init__(
        self,
        load: Callable[[Collection[K]], Mapping[K, V | RealtimeError]],
        *,
        max_batch: int = MAX_BATCH,
    ) -> None:
        self._load = load
        self._max_batch = max_batch
        self._queues: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Queue[K, V]] = (
            weakref.WeakKeyDictionary()
        )

    async def __call__(self, key: K) -> V:
        loop = asyncio.get_running_loop()
        queue = self._queues.get(loop)
        if queue is None:
            queue = self._queues[loop] = _Queue(self._load, self._max_batch)
        value = await queue.value_of(key)
        if isinstance(value, Exception):
            raise value
        return value


class _Queue(Generic[K, V]):
    """The queue of keys that the tasks of one loop wait for."""

    def __init__(
        self, load: Callable[[Collection[K]], Mapping[K, V | RealtimeError]], max_batch: int
    ) -> None:
        self._load = load
        self._max_batch = max_batch
        #: The futures that await each key: one each, so that a caller who is cancelled cancels nobody else.
        self._waiting: dict[K, list[asyncio.Future[V | Exception]]] = {}
        self._task: asyncio.Task[None] | None = None

    def value_of(self, key: K) -> asyncio.Future[V | Exception]:
        future: asyncio.Future[V | Exception] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, []).append(future)
        if self._task is None:
            self._task = background.start(self._load_batches())
        return future

    async def _load_batches(self) -> None:
        try:
            while self._waiting:
                await self._gather()
                # The longest waiting first: under load the newest would keep the oldest waiting for ever.
                first = list(islice(self._waiting, self._max_batch))
                batch = [(key, self._waiting.pop(key)) for key in first]
                values = await self._load_together([key for key, _ in batch])
                for key, futures in batch:
                    _answer(futures, values[key])
        finally:
            self._task = None

    async def _gather(self) -> None:
        """Wait for as long as each turn of the loop brings another key."""
        clock = asyncio.get_running_loop().time
        until, known = clock() + GATHER_SECONDS, 0
        while known < len(self._waiting) < self._max_batch and clock() < until:
            known = len(self._waiting)
            await asyncio.sleep(0)

    async def _load_together(self, keys: list[K]) -> Mapping[K, V | Exception]:
        try:
            return await run_in_thread(self._load, keys)
        except RealtimeError as error:  # the database is away
            # The keys behind would wait as long for the same error: a frozen database makes each batch slow.
            waiting, self._waiting = self._waiting, {}
            for futures in waiting.values():
                _answer(futures, error)
            return dict.fromkeys(keys, error)
        except Exception as error:
            if len(keys) == 1:
                return {keys[0]: error}
            # One key that cannot be loaded must not fail the others.
            logger.exception("%d keys could not be loaded together", len(keys))
            return {key: (await self._load_together([key]))[key] for key in keys}


def _answer(futures: Iterable[asyncio.Future[V | Exception]], value: V | Exception) -> None:
    for future in futures:
        if not future.done():
            future.set_result(value)
