"""Connections to PostgreSQL that keep to the deadline of their thread, and a pool that reconnects at once.

No setting makes a connection keep to a deadline. `connect_timeout` ends with the handshake, the timeouts of
the server do not pass while the server is frozen, and TCP sees nothing wrong: the kernel of a frozen server
still acknowledges.
"""

from __future__ import annotations

from typing import Any, ClassVar, Self, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg_pool import ConnectionPool, PoolTimeout
from psycopg_pool.base import AttemptWithBackoff

from realtime.database.time_budget import remaining

T = TypeVar("T")

#: Seconds of the pool's first pause between two attempts to connect; each pause is twice the one before. With
#: the pool's own 1 s, a caller who meets three dead connections has waited too long before the fourth.
AttemptWithBackoff.INITIAL_DELAY = 0.002


class PunctualConnection(psycopg.Connection[Any]):
    """A connection that closes itself when an answer does not come before the thread's deadline."""

    #: The reason why the last attempt to connect failed; the pool tells its callers only that they waited.
    last_failure: ClassVar[str] = ""

    @classmethod
    def connect(cls, conninfo: str = "", **options: Any) -> Self:
        """Connect as psycopg does, but close an attempt that fails at once.

        The frame of the attempt holds the half-made connection and the error, which holds the frame: a cycle
        for the garbage collector, which does not look at what `process.garbage` has frozen. A database that
        was frozen for an hour would cost a descriptor for each attempt, and find them all connected
        afterwards.
        """
        try:
            return super().connect(conninfo, **options)
        except psycopg.Error as error:
            cls.last_failure = str(error)
            raise error.with_traceback(None)  # noqa: B904 - the same error, without the frame

    def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        left = remaining()
        if left is None:
            return super().wait(gen, interval, timeout)
        try:
            return super().wait(gen, interval, left if timeout is None else min(timeout, left))
        except psycopg.OperationalError:
            # The rest of the answer may still come: the connection cannot be used again, not even to roll
            # back.
            if not remaining():
                self.close()
            raise


def explained(error: BaseException) -> str:
    """The text of a database error; where the pool has no connection, with the reason, which it omits."""
    if isinstance(error.__cause__ or error, PoolTimeout) and PunctualConnection.last_failure:
        return f"{error!r}, because: {' '.join(PunctualConnection.last_failure.split())}"
    return repr(error)


def try_on(pool: ConnectionPool[Any]) -> None:
    """Start another attempt to connect, after the pool gave one up, if callers wait for a connection.

    By itself the pool would leave the next attempt to the next caller.
    """
    if pool.get_stats().get("requests_waiting"):
        pool.check()  # starts an attempt
