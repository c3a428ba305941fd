"""The sockets that wait for their first frame, `auth`: so many in a process, and fairly by address.

Whoever they are, nobody knows yet. When all places are taken, the one that has waited longest makes room, at
the address that has the most: strangers who open sockets and say nothing keep nobody else out.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from realtime import OverloadedError, RealtimeError, UnauthenticatedError, conf

#: Seconds that a socket has to say who is there.
AUTH_SECONDS = 10.0
RETRY_MS = 2_000


class Waiting(Protocol):
    """A socket that waits."""

    def refuse(self, error: RealtimeError) -> None: ...
    def __hash__(self) -> int: ...


class WaitingRoom:
    """The places of a process."""

    def __init__(self) -> None:
        self.count = 0
        #: By address, and in the order in which they came.
        self._waiting: dict[str, dict[Waiting, asyncio.TimerHandle]] = {}

    def enter(self, socket: Waiting, address: str) -> None:
        """Give a socket its time; its place is taken from another where none is left."""
        if 0 < conf.limit_pending_sockets <= self.count:
            most = max(self._waiting, key=lambda each: len(self._waiting[each]))
            oldest = next(iter(self._waiting[most]))
            self.leave(oldest, most)
            oldest.refuse(OverloadedError(retry_after_ms=RETRY_MS))
        late = asyncio.get_running_loop().call_later(AUTH_SECONDS, self._too_late, socket, address)
        self._waiting.setdefault(address, {})[socket] = late
        self.count += 1

    def leave(self, socket: Waiting, address: str) -> None:
        """It has said who is there, or is gone; a second time this does nothing."""
        here = self._waiting.get(address, {})
        late = here.pop(socket, None)
        if late is not None:
            late.cancel()
            self.count -= 1
            if not here:
                del self._waiting[address]

    def _too_late(self, socket: Waiting, address: str) -> None:
        self.leave(socket, address)
        socket.refuse(UnauthenticatedError(f"No `auth` came within {AUTH_SECONDS:g} s."))


WAITING = WaitingRoom()
