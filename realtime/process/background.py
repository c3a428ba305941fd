"""Work that runs beside the sockets of every server process, for as long as its hub does."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from realtime.errors import UnavailableError

logger = logging.getLogger(__name__)

Work = Callable[[], Coroutine[Any, Any, None]]

#: Seconds before work that failed is begun again.
RESTART_SECONDS = 5.0

_works: list[Work] = []
_last_works: list[Work] = []


def runs_with_hub(work: Work) -> Work:
    """Register an endless coroutine function; it must stand being run in several processes at once."""
    if work not in _works:
        _works.append(work)
    return work


def registered() -> list[Work]:
    """Everything registered."""
    return list(_works)


def runs_at_end(work: Work) -> Work:
    """Register a coroutine function that is awaited when the process ends; it has a second or two."""
    if work not in _last_works:
        _last_works.append(work)
    return work


async def finish() -> None:
    """Await what was registered for the end; what fails is logged and keeps nothing else from ending."""
    for work in _last_works:
        try:
            await work()
        except Exception:
            logger.exception("The last work %s failed", work.__name__)


def start(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """Run something in nobody's name: what it logs and calls carries no ids of whoever caused it."""
    return asyncio.get_running_loop().create_task(work, context=contextvars.Context())


async def keep_running(work: Work) -> None:
    """Run work for ever; an error that it did not expect is logged, and the work begins again."""
    while True:
        try:
            await work()
        except UnavailableError:
            pass  # the database is away, and the thread that found it so has logged it
        except Exception:
            logger.exception("Background work %s failed; it begins again", work.__name__)
        await asyncio.sleep(RESTART_SECONDS)
