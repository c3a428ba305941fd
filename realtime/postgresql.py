"""A connection to PostgreSQL that does not wait longer than its thread may.

No setting does this. `connect_timeout` ends with the handshake, the timeouts of the server do not pass
while the server is frozen, and TCP sees nothing wrong: the kernel of a frozen server still acknowledges.
"""

from __future__ import annotations

from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen

from realtime.deadlines import remaining

T = TypeVar("T")


class PunctualConnection(psycopg.Connection[Any]):
    """Closes itself when an answer does not come before the thread's deadline."""

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
