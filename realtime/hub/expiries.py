"""Expiries end what has a last second, such as a token: one look a second, not a timer for each."""

from __future__ import annotations

import asyncio
import heapq
import logging
import math
from typing import Protocol

logger = logging.getLogger(__name__)

#: Seconds between two looks, and so the most by which something outlives its end.
LOOK_SECONDS = 1.0


class Expiring(Protocol):
    """Something that ends."""

    def expire(self) -> None:
        """The time is over."""

    def __hash__(self) -> int: ...


class Expiries:
    """What ends, by the second in which it does, on the loop's monotonic clock."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._ending: dict[int, set[Expiring]] = {}
        #: The seconds in use, the next one first.
        self._seconds: list[int] = []

    def add(self, expiring: Expiring, *, seconds: float) -> int:
        """End this after so many seconds, and never before; the result forgets it again."""
        second = math.ceil(self._loop.time() + seconds)
        if second not in self._ending:
            self._ending[second] = set()
            heapq.heappush(self._seconds, second)
        self._ending[second].add(expiring)
        return second

    def forget(self, expiring: Expiring, second: int) -> None:
        """It ends otherwise, or later."""
        self._ending.get(second, set()).discard(expiring)

    async def run(self) -> None:
        """End what is due, for ever."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            while self._seconds and self._seconds[0] <= self._loop.time():
                for expiring in self._ending.pop(heapq.heappop(self._seconds)):
                    try:
                        expiring.expire()
                    except Exception:  # the others of this second must not outlive their end for it
                        logger.exception("%r could not be ended in time", expiring)
