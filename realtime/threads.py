"""The threads in which sockets use the database: the border between `await` and the ORM.

Channels' own `database_sync_to_async` puts every socket of a process into one thread, and takes a
new connection for each call unless connections are kept. Here a fixed number of threads keep one
connection each, so a process never holds more connections than it has threads.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

from django.db import InterfaceError, OperationalError, connections

from realtime.conf import conf
from realtime.errors import UnavailableError

P = ParamSpec("P")
T = TypeVar("T")

#: A connection that rested longer may have been cut meanwhile; one in constant use would have said so.
REST_SECONDS = 1.0

_pool: ThreadPoolExecutor | None = None


def _executor() -> ThreadPoolExecutor:
    global _pool  # noqa: PLW0603 - one per process, made on first use so that settings are known
    if _pool is None:
        _pool = ThreadPoolExecutor(conf.database_threads, thread_name_prefix="database")
    return _pool


class _LastUse(threading.local):
    """When this thread used the database last."""

    at = 0.0


_last_use = _LastUse()


def _drop_dead_connections() -> None:
    """After a rest, try what was kept: Django leaves that to its pool, which kept ones do not pass."""
    if time.monotonic() - _last_use.at > REST_SECONDS:
        for connection in connections.all(initialized_only=True):
            if connection.connection is not None and not connection.is_usable():
                connection.close()


def _keep_usable_connections() -> None:
    """Drop what a failed call left behind; keep healthy connections for the next call."""
    _last_use.at = time.monotonic()
    for connection in connections.all(initialized_only=True):
        connection.close_at = None  # these threads live as long as the process: nothing to expire
        if not connection.in_atomic_block:
            connection.close_if_unusable_or_obsolete()


def _guarded(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    try:
        _drop_dead_connections()
        return function(*args, **kwargs)
    except (OperationalError, InterfaceError) as error:
        raise UnavailableError(retry_after_ms=1000) from error
    finally:
        _keep_usable_connections()


async def run_in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Await a synchronous function that uses the ORM; a database that is away is an UnavailableError."""
    context = contextvars.copy_context()
    call = functools.partial(context.run, _guarded, function, args, kwargs)
    return await asyncio.get_running_loop().run_in_executor(_executor(), call)


def close_threads() -> None:
    """Finish what runs, close the threads' connections, and start afresh at the next call."""
    global _pool
    pool, _pool = _pool, None
    if pool is None:
        return
    # Each thread closes its own and waits for the others: so none does it twice, and none is left out.
    everybody = threading.Barrier(pool._max_workers)  # noqa: SLF001 - a number that we gave it

    def close() -> None:
        connections.close_all()
        everybody.wait()

    calls = [pool.submit(close) for _ in range(everybody.parties)]
    for call in calls:
        call.result()
    pool.shutdown()
