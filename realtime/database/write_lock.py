"""The write lock: the threads of a process write to SQLite in turn; on PostgreSQL it does nothing.

SQLite has one writer. Its busy handler polls with growing sleeps; a lock of our own is fair and prompt.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import OperationalError
from django.db.backends.base.base import BaseDatabaseWrapper

from realtime.database.time_budget import remaining

_sqlite_writer = threading.RLock()


@contextmanager
def write_lock(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Hold the write lock; raises OperationalError, as SQLite does, when the thread's time is over first."""
    if connection.vendor != "sqlite" or connection.in_atomic_block:
        # Inside a transaction the database's own lock is held: waiting for ours would be deadlock.
        yield
        return
    patience = remaining()
    if patience is None:
        patience = connection.settings_dict["OPTIONS"].get("timeout", 5)
    if not _sqlite_writer.acquire(timeout=patience):
        raise OperationalError("database is locked")
    try:
        yield
    finally:
        _sqlite_writer.release()
