"""Expiries end things at a set second, tokens for example: by one look a second, not by a timer each."""

from __future__ import annotations

import asyncio
import heapq
import logging
import math
from typing import Protocol

logger = logging.getLogger(__name__)

#: Seconds between two looks: nothing outlives its end by more.
LOOK_SECONDS = 1.0


class Expiring(Protocol):
    """Something with an end."""

    def expire(self) -> None:
        """Called at the end."""

    def __hash__(self) -> int: ...


class Expiries:
    """The expiring things by the second of their end, on the loop's monotonic clock."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._ending: dict[int, set[Expiring]] = {}
        #: The seconds in use, the next one first.
        self._seconds: list[int] = []

    def add(self, expiring: Expiring, *, seconds: float) -> int:
        """Let something expire after so many seconds, and never before; `forget` takes the result."""
        second = math.ceil(self._loop.time() + seconds)
        if second not in self._ending:
            self._ending[second] = set()
            heapq.heappush(self._seconds, second)
        self._ending[second].add(expiring)
        return second

    def forget(self, expiring: Expiring, second: int) -> None:
        """Forget something that has ended otherwise, or ends later."""
        self._ending.get(second, set()).discard(expiring)

    async def run(self) -> None:
        """Expire what is due, for ever."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            while self._seconds and self._seconds[0] <= self._loop.time():
                for expiring in self._ending.pop(heapq.heappop(self._seconds)):
                    try:
                        expiring.expire()
                    except Exception:  # one that fails must not let the others outlive their end
                        logger.exception("%r could not be ended in time", expiring)
