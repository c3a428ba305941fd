"""The reader's turn on SQLite: a lock on a file beside the database, which ends with its process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from django.db import connection

try:
    import fcntl
except ImportError:  # Windows, where one process serves
    fcntl = None  # type: ignore[assignment]

#: Seconds between two looks: SQLite tells nobody that something was written. A look takes 0.1 ms.
POLL_SECONDS = 0.05


def is_alone() -> bool:
    """Whether this transaction is the only one that moves changes: SQLite has one writer."""
    return True


def _path() -> Path:
    return Path(f"{connection.settings_dict['NAME']}-reader")


def somebody_reads() -> bool:
    """Whether a process has the turn."""
    if fcntl is None:
        return True
    with _path().open("a") as file:
        return not _lock(file.fileno())


@asynccontextmanager
async def turn() -> AsyncIterator[Callable[[], Awaitable[None]] | None]:
    """Take the turn, if nobody has it, and yield what waits for changes; else None."""
    with _path().open("a") as file:
        yield _sleep if fcntl is None or _lock(file.fileno()) else None


async def _sleep() -> None:
    await asyncio.sleep(POLL_SECONDS)


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
