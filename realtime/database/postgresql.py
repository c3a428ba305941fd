"""Connections to PostgreSQL that do not wait longer than their threads may, nor longer than they must.

No setting does the first. `connect_timeout` ends with the handshake, the timeouts of the server do not pass
while the server is frozen, and TCP sees nothing wrong: the kernel of a frozen server still acknowledges.
"""

from __future__ import annotations

from typing import Any, ClassVar, Self, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg_pool import ConnectionPool, PoolTimeout
from psycopg_pool.base import AttemptWithBackoff

from realtime.database.time_budget import remaining

T = TypeVar("T")

#: Seconds of the pool's first pause between two attempts; each doubles. With its own of 1 s, who meets three
#: dead connections in the pool has waited too long before the fourth.
AttemptWithBackoff.INITIAL_DELAY = 0.002


class PunctualConnection(psycopg.Connection[Any]):
    """Closes itself when an answer does not come before the thread's deadline."""

    #: Why the last attempt to connect failed: whoever waits for the pool is told only that they waited.
    last_failure: ClassVar[str] = ""

    @classmethod
    def connect(cls, conninfo: str = "", **options: Any) -> Self:
        """As psycopg does, but an attempt that fails is closed at once.

        Its frame holds the half-made connection and the error, which holds the frame: a cycle that only the
        collector ends, and what `garbage` has left out it does not look at. A database that was frozen for an
        hour would cost as many descriptors as there were attempts, and find them all connected afterwards.
        """
        try:
            return super().connect(conninfo, **options)
        except psycopg.Error as error:
            cls.last_failure = str(error)
            raise error.with_traceback(None)  # noqa: B904 - it is the same error, less the frame

    def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        left = remaining()
        if left is None:
            return super().wait(gen, interval, timeout)
        try:
            return super().wait(gen, interval, left if timeout is None else min(timeout, left))
        except psycopg.OperationalError:
            # Half an answer may still come: nobody can use this connection again, not even to roll back.
            if not remaining():
                self.close()
            raise


def explained(error: BaseException) -> str:
    """A database's error, with what the pool keeps to itself: why it has no connection."""
    if isinstance(error.__cause__ or error, PoolTimeout) and PunctualConnection.last_failure:
        return f"{error!r}, because: {' '.join(PunctualConnection.last_failure.split())}"
    return repr(error)


def try_on(pool: ConnectionPool[Any]) -> None:
    """The pool has given up an attempt to connect: it would leave the next one to the next caller."""
    if pool.get_stats().get("requests_waiting"):
        pool.check()  # which begins another
