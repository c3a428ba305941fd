"""Background work: coroutines that run beside the sockets of a server process, as long as its hub does."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from realtime.errors import UnavailableError

logger = logging.getLogger(__name__)

Work = Callable[[], Coroutine[Any, Any, None]]

#: Seconds after which work that failed begins again.
RESTART_SECONDS = 5.0

_works: list[Work] = []
_last_works: list[Work] = []


def runs_with_hub(work: Work) -> Work:
    """Register an endless coroutine function; every process runs it, so several may run at once."""
    if work not in _works:
        _works.append(work)
    return work


def registered() -> list[Work]:
    """All endless coroutine functions, in the order of their registration."""
    return list(_works)


def runs_at_end(work: Work) -> Work:
    """Register a coroutine function that is awaited when the hub stops; it has a second or two."""
    if work not in _last_works:
        _last_works.append(work)
    return work


async def finish() -> None:
    """Await the works that were registered for the end; one that fails is logged and delays no other."""
    for work in _last_works:
        try:
            await work()
        except Exception:
            logger.exception("Work at the end of the process failed: %s", work.__name__)


def start(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """Run a task in an empty context, so that its log lines carry no ids of the socket that caused it."""
    return asyncio.get_running_loop().create_task(work, context=contextvars.Context())


async def keep_running(work: Work) -> None:
    """Run work for ever; an unexpected error is logged, and the work starts again."""
    while True:
        try:
            await work()
        except UnavailableError:
            pass  # the database is away, and the thread that found it so has logged it
        except Exception:
            logger.exception("Background work %s failed; it begins again", work.__name__)
        await asyncio.sleep(RESTART_SECONDS)
