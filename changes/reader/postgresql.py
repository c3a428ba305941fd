"""The reader's turn on PostgreSQL: an advisory lock, held by the connection that listens for changes.

The server releases it when that connection ends, however it does. A second lock belongs to each transaction:
a reader that lost its connection, and does not know yet, does not move changes beside its successor.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import psycopg
from django.db import connection

from changes.triggers.postgresql import CHANNEL
from realtime import UnavailableError, outages, run_in_background

#: The first half of the keys of our advisory locks; any number that nobody else is likely to take.
_LOCKS = 0x52656C61
_TURN, _TRANSACTION = 1, 2

#: Seconds without a notification after which the reader looks by itself, and finds out that its connection
#: is gone.
POLL_SECONDS = 1.0
#: Seconds that the server has to answer the reader's own connection.
ANSWER_SECONDS = 5.0

_SOMEBODY_READS = f"""
    SELECT EXISTS (
        SELECT FROM pg_locks JOIN pg_database ON pg_database.oid = database
        WHERE datname = current_database() AND locktype = 'advisory'
        AND classid = {_LOCKS} AND objid = {_TURN} AND objsubid = 2 AND granted
    )
"""  # noqa: S608 - two numbers


def is_alone() -> bool:
    """Take the lock of a transaction that moves changes; false where another one has it."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT pg_try_advisory_xact_lock({_LOCKS}, {_TRANSACTION})")
        return bool(cursor.fetchone()[0])


def somebody_reads() -> bool:
    """Whether a process has the turn."""
    with connection.cursor() as cursor:
        cursor.execute(_SOMEBODY_READS)
        return bool(cursor.fetchone()[0])


@asynccontextmanager
async def turn() -> AsyncIterator[Callable[[], Awaitable[None]] | None]:
    """Take the turn, if nobody has it, and yield what waits for changes; else None."""
    if await run_in_background(somebody_reads):
        yield None
        return
    try:
        async with await psycopg.AsyncConnection.connect(**_parameters(), autocommit=True) as listening:
            (is_ours,) = await _ask(listening, f"SELECT pg_try_advisory_lock({_LOCKS}, {_TURN})")
            if is_ours:
                await _ask(listening, f"LISTEN {CHANNEL}")
            yield partial(_bell, listening) if is_ours else None
    except (psycopg.Error, TimeoutError) as error:
        outages.DATABASE.noticed(error)
        raise UnavailableError from error


async def _bell(listening: psycopg.AsyncConnection[Any]) -> None:
    """Wait for a notification, or for a while."""
    async for _ in listening.notifies(timeout=POLL_SECONDS, stop_after=1):
        return
    await _ask(listening, "SELECT 1")


async def _ask(listening: psycopg.AsyncConnection[Any], statement: str) -> Any:
    async with asyncio.timeout(ANSWER_SECONDS):
        answer = await listening.execute(statement.encode())
        return await answer.fetchone() if answer.description else None


def _parameters() -> dict[str, Any]:
    """How Django connects, without what belongs to its own cursors."""
    own = {"context", "cursor_factory"}
    return {name: value for name, value in connection.get_connection_params().items() if name not in own}
