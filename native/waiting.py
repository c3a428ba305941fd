"""Sockets that wait for their first frame, `auth`: a limited number per process, shared fairly by address.

Nobody knows yet whose they are. When all places are taken, the address with the most sockets loses its oldest
one: strangers who open sockets and say nothing keep nobody else out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from realtime import OverloadedError, RealtimeError, UnauthenticatedError, conf

#: Seconds until a socket must have sent `auth`.
AUTH_SECONDS = 10.0
RETRY_MS = 2_000


class Waiting(Protocol):
    """A socket that waits to be authenticated."""

    def refuse(self, error: RealtimeError) -> None: ...
    def __hash__(self) -> int: ...


class WaitingRoom:
    """The waiting sockets of one kind in a process."""

    def __init__(self, seconds: Callable[[], float] = lambda: AUTH_SECONDS) -> None:
        #: How long a socket may wait.
        self._seconds = seconds
        self.count = 0
        #: By address, each in the order of arrival, with the timer that ends the wait.
        self._waiting: dict[str, dict[Waiting, asyncio.TimerHandle]] = {}

    def enter(self, socket: Waiting, address: str) -> None:
        """Let a socket wait; if no place is free, the busiest address loses its oldest socket."""
        if 0 < conf.limit_pending_sockets <= self.count:
            most = max(self._waiting, key=lambda each: len(self._waiting[each]))
            oldest = next(iter(self._waiting[most]))
            self.leave(oldest, most)
            oldest.refuse(OverloadedError(retry_after_ms=RETRY_MS))
        late = asyncio.get_running_loop().call_later(self._seconds(), self._too_late, socket, address)
        self._waiting.setdefault(address, {})[socket] = late
        self.count += 1

    def leave(self, socket: Waiting, address: str) -> None:
        """The socket was authenticated, or is closed; a second call does nothing."""
        here = self._waiting.get(address, {})
        late = here.pop(socket, None)
        if late is not None:
            late.cancel()
            self.count -= 1
            if not here:
                del self._waiting[address]

    def _too_late(self, socket: Waiting, address: str) -> None:
        self.leave(socket, address)
        socket.refuse(UnauthenticatedError(f"No `auth` came within {self._seconds():g} s."))


WAITING = WaitingRoom()
