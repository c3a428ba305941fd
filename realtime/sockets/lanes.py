"""Lanes: the requests of one socket that are under way, in order within a lane, lanes beside each other."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable

from realtime.sockets.dialect import Request

#: Requests of one socket that run or wait; with that many, the socket reads no more until one is done.
MAX_UNDER_WAY = 64

#: Obeys a request: returns None if that is done, else something to await. It raises nothing.
Obey = Callable[[Request], Awaitable[None] | None]


class Lanes:
    """The requests of one socket. A request that need not wait costs no task."""

    __slots__ = ("_count", "_obey", "_room", "_tasks", "_waiting")

    def __init__(self, obey: Obey) -> None:
        self._obey = obey
        #: The waiting requests of each lane in use.
        self._waiting: dict[Hashable, deque[Request]] = {}
        #: The task of each lane in use.
        self._tasks: dict[Hashable, asyncio.Task[None]] = {}
        self._count = 0
        self._room: asyncio.Event | None = None

    def take(self, request: Request) -> None:
        """Obey a request as soon as those before it in its lane are done."""
        waiting = self._waiting.get(request.lane)
        if waiting is not None:
            waiting.append(request)
            self._count += 1
            return
        work = self._obey(request)
        if work is not None:
            self._waiting[request.lane] = deque()
            self._count += 1
            run = self._run(request.lane, work)
            self._tasks[request.lane] = asyncio.get_running_loop().create_task(run)

    @property
    def is_full(self) -> bool:
        """Whether the next request has to wait before it is read."""
        return self._count >= MAX_UNDER_WAY

    async def room(self) -> None:
        """Wait until there is room for another request."""
        while self.is_full:
            self._room = asyncio.Event()
            await self._room.wait()

    async def done(self) -> None:
        """Wait until no request is under way."""
        while self._tasks:
            await asyncio.wait(self._tasks.values())

    def cancel(self) -> None:
        """Cancel the requests that are under way."""
        for task in list(self._tasks.values()):
            task.cancel()

    async def _run(self, lane: Hashable, work: Awaitable[None] | None) -> None:
        waiting = self._waiting[lane]
        try:
            while True:
                if work is not None:
                    await work
                self._finished()
                if not waiting:
                    return
                work = self._obey(waiting.popleft())
        finally:
            del self._waiting[lane], self._tasks[lane]
            self._count -= len(waiting)

    def _finished(self) -> None:
        self._count -= 1
        if self._room is not None:
            self._room.set()
