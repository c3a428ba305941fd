"""When the sockets of a process end because their tokens do: one look a second, not a timer for each."""

from __future__ import annotations

import asyncio
import heapq
import logging
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from realtime.sockets.consumer import JsonSocket

logger = logging.getLogger(__name__)

#: Seconds between two looks, and so the most by which a socket outlives its token.
LOOK_SECONDS = 1.0


class Expiries:
    """Sockets by the second in which they end, on the loop's monotonic clock."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._sockets: dict[int, set[JsonSocket]] = {}
        #: The seconds in use, the next one first.
        self._seconds: list[int] = []

    def add(self, socket: JsonSocket, *, seconds: float) -> int:
        """End a socket after so many seconds, and never before; the result forgets it again."""
        second = math.ceil(self._loop.time() + seconds)
        if second not in self._sockets:
            self._sockets[second] = set()
            heapq.heappush(self._seconds, second)
        self._sockets[second].add(socket)
        return second

    def forget(self, socket: JsonSocket, second: int) -> None:
        """It ends otherwise, or later."""
        self._sockets.get(second, set()).discard(socket)

    async def run(self) -> None:
        """End what is due, for ever."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            while self._seconds and self._seconds[0] <= self._loop.time():
                for socket in self._sockets.pop(heapq.heappop(self._seconds)):
                    self._end(socket)

    def _end(self, socket: JsonSocket) -> None:
        try:
            socket.expire()
        except Exception:  # the others of this second must not outlive their tokens for it
            logger.exception("A socket could not be ended with its token", extra=socket.about())
