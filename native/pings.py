"""Pings as frames: a browser does not show its scripts the protocol's own pings.

One task pings all native sockets of a process. Each socket belongs to one second of the interval, so that
they are not all written to at once.
"""

from __future__ import annotations

import asyncio
import weakref
from typing import TYPE_CHECKING

from native.frames import ServerPing
from realtime import FrameBatch, conf, events, runs_with_hub

if TYPE_CHECKING:
    from native.consumer import NativeConsumer

#: The interval where pings of the protocol are switched off; these go on.
DEFAULT_SECONDS = 25


def interval_seconds() -> int:
    """Seconds between two pings of a socket."""
    return int(conf.limit_ping_seconds) or DEFAULT_SECONDS


class Pings:
    """The native sockets of one event loop, by the second in which each is pinged."""

    _of_loop: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Pings] = weakref.WeakKeyDictionary()

    def __init__(self) -> None:
        self._seconds: list[set[NativeConsumer]] = [set() for _ in range(interval_seconds())]
        self._now = 0

    @classmethod
    def current(cls) -> Pings:
        """The pings of the running loop."""
        loop = asyncio.get_running_loop()
        pings = cls._of_loop.get(loop)
        if pings is None:
            pings = cls._of_loop[loop] = cls()
        return pings

    def add(self, socket: NativeConsumer) -> None:
        """Ping a socket from now on, for the first time after a whole interval."""
        self._seconds[self._now - 1].add(socket)

    def forget(self, socket: NativeConsumer) -> None:
        """Stop pinging a socket."""
        for second in self._seconds:
            second.discard(socket)

    async def run(self) -> None:
        """Ping the sockets of each second in turn, for ever."""
        while True:
            await asyncio.sleep(1)
            self.ping()

    def ping(self) -> None:
        """Ping the sockets of the next second."""
        due = self._seconds[self._now]
        self._now = (self._now + 1) % len(self._seconds)
        if due:
            batch = FrameBatch()
            batch.add(events.encode(ServerPing(server_time=events.now())), droppable_kind="ping")
            for socket in list(due):
                socket.outbox.push_batch(batch)


@runs_with_hub
async def ping_sockets() -> None:
    """Ping as long as the hub of a process runs."""
    await Pings.current().run()
