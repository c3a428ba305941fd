"""The database threads: they run functions that use the ORM, for sockets that await them (`run_in_thread`).

Channels' own `database_sync_to_async` puts every socket of a process into one thread, and takes a new
connection for each call unless connections are kept. Here a fixed number of threads keep one connection each,
so a process never holds more connections than it has threads.

A caller is answered in time, also while the database is frozen: the thread gives its connection up at a
deadline, and the caller does not wait for a thread that hangs all the same (`time_budget`).
"""

from __future__ import annotations

import asyncio
import contextvars
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

from realtime.database import metrics, outages
from realtime.database.time_budget import (
    ANSWER_SECONDS,
    BACKGROUND_SECONDS,
    DATABASE_SECONDS,
    LOCK_SECONDS,
    deadline_in,
    remaining,
)
from realtime.defaults import conf
from realtime.errors import UnavailableError, UncertainError, is_outage

P = ParamSpec("P")
T = TypeVar("T")

#: Seconds of rest after which a connection is tested before it is used: it may have been cut meanwhile.
REST_SECONDS = 1.0
RETRY_MS = 1_000
#: Seconds until a thread that wants the interpreter's lock gets it. A database thread releases it at every
#: call of the driver; with Python's own 5 ms it would wait that long each time, for a loop that is busy
#: writing.
SWITCH_SECONDS = 0.0005

_pool: ThreadPoolExecutor | None = None
#: The threads that run a call at this moment.
_busy: set[int] = set()


def _executor() -> ThreadPoolExecutor:
    global _pool  # noqa: PLW0603 - one per process, made on first use so that settings are known
    if _pool is None:
        sys.setswitchinterval(SWITCH_SECONDS)
        _pool = ThreadPoolExecutor(conf.database_threads, thread_name_prefix="database")
    return _pool


class _LastUse(threading.local):
    """The time at which this thread last used the database."""

    at = 0.0


_last_use = _LastUse()


def _drop_dead_connections() -> None:
    """Test this thread's connections after a rest; Django tests only those that its pool hands out."""
    if time.monotonic() - _last_use.at > REST_SECONDS:
        for connection in connections.all(initialized_only=True):
            if connection.connection is not None and not connection.is_usable():
                connection.close()


def _keep_usable_connections() -> None:
    """Close connections that a failed call left unusable; keep the others for the next call."""
    _last_use.at = time.monotonic()
    for connection in connections.all(initialized_only=True):
        connection.close_at = None  # these threads live as long as the process: nothing to expire
        if not connection.in_atomic_block:
            connection.close_if_unusable_or_obsolete()


def _guarded(seconds: float, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    thread = threading.get_ident()
    _busy.add(thread)
    with deadline_in(seconds):
        try:
            _drop_dead_connections()
            result = function(*args, **kwargs)
            outages.DATABASE.over()
            return result
        except Exception as error:
            if is_outage(error):
                metrics.DATABASE_FAILED.add()
                outages.DATABASE.noticed(error)
                raise UnavailableError(retry_after_ms=RETRY_MS) from error
            raise
        finally:
            _keep_usable_connections()
            _busy.discard(thread)


def _submit(seconds: float, function: Callable[..., Any], args: Any, kwargs: Any) -> Future[Any]:
    context = contextvars.copy_context()
    return _executor().submit(context.run, _guarded, seconds, function, args, kwargs)


async def run_in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Await a synchronous function that uses the ORM, for a client that waits for the answer.

    Raises UnavailableError while the database is away, and UncertainError when it falls silent: then nobody
    knows whether what was begun is stored.
    """
    call = _submit(DATABASE_SECONDS, function, args, kwargs)
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            return await asyncio.wrap_future(call)
    except TimeoutError as error:
        outages.DATABASE.noticed(TimeoutError(f"no answer within {ANSWER_SECONDS:g} s"))
        # A call that still waited for a thread was cancelled, and never runs.
        kind = UnavailableError if call.cancelled() else UncertainError
        raise kind(retry_after_ms=RETRY_MS) from error


async def run_in_background(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Await a synchronous function that uses the ORM, for work that no client waits for: it has more time."""
    return await asyncio.wrap_future(_submit(BACKGROUND_SECONDS, function, args, kwargs))


def _be_prompt(*, connection: BaseDatabaseWrapper, **_: object) -> None:
    left = remaining()
    if connection.vendor == "sqlite" and left is not None:
        is_ours = (
            threading.get_ident() in _busy
        )  # these threads keep their connection; an HTTP request's ends with the request
        seconds = LOCK_SECONDS if is_ours else left
        with connection.cursor() as cursor:
            cursor.execute(f"PRAGMA busy_timeout = {round(seconds * 1000)}")


connection_created.connect(_be_prompt, dispatch_uid="realtime.database.threads")


metrics.DATABASE_BUSY.reads(lambda: len(_busy))
metrics.DATABASE_WAITING.reads(lambda: _pool._work_queue.qsize() if _pool is not None else 0)  # noqa: SLF001 - nothing else says it


def close_threads() -> None:
    """Finish the calls that run, and close all threads with their connections; the next call starts anew."""
    global _pool
    pool, _pool = _pool, None
    if pool is None:
        return
    # Each thread closes its own connections and waits for the others, so that no thread is left out.
    everybody = threading.Barrier(pool._max_workers)  # noqa: SLF001 - a number that we gave it

    def close() -> None:
        connections.close_all()
        everybody.wait()

    calls = [pool.submit(close) for _ in range(everybody.parties)]
    for call in calls:
        call.result()
    pool.shutdown()
