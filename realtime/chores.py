"""What has to be done once a day by nobody in particular: forgetting what has expired.

An app registers its chores in its `chores.py`. Every process does them all, the first time within two hours
of its start and then once a day, at a moment of its own: there is no leader to elect, because a chore that
another process has just done finds nothing to do. `manage.py chores` does them at once.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.db import models

from realtime.database.threads import run_in_background
from realtime.errors import UnavailableError
from realtime.metrics.instruments import Gauge
from realtime.process.background import runs_with_hub

logger = logging.getLogger(__name__)

DAY_SECONDS = 24 * 3600.0
#: Between these a process begins: it has come to rest, and its neighbours have not begun with it.
FIRST_SECONDS = 600.0, 7200.0
#: Rows of one step. A step is a transaction: SQLite's one writer is kept from others for milliseconds.
ROWS = 500
#: Seconds between two steps, in which others write.
REST_SECONDS = 0.1

#: How much was done, and where the next step goes on; None when there is nothing left.
Step = Callable[[Any], tuple[int, Any]]


@dataclass(frozen=True)
class Chore:
    """One thing to forget, a step at a time; each step begins where the last one ended, the first at None."""

    name: str
    step: Step

    def do(self) -> int:
        """All of it, at once."""
        done, position = self.step(None)
        while position is not None:
            more, position = self.step(position)
            done += more
        return done

    async def do_in_background(self) -> int:
        """All of it, beside what the process serves."""
        done, position = await run_in_background(self.step, None)
        while position is not None:
            await asyncio.sleep(REST_SECONDS)
            more, position = await run_in_background(self.step, position)
            done += more
        return done


CHORE_DONE = Gauge(
    "relais_chore_done_timestamp_seconds", "When a worker last did this chore.", "chore", combine="max"
)

_chores: dict[str, Chore] = {}
_done_at: dict[tuple[str, ...], float] = {}
CHORE_DONE.reads(lambda: dict(_done_at))


def daily(name: str) -> Callable[[Step], Step]:
    """Register a step of a chore."""

    def register(step: Step) -> Step:
        _chores[name] = Chore(name, step)
        return step

    return register


def registered() -> list[Chore]:
    """All chores, by name."""
    return [_chores[name] for name in sorted(_chores)]


def delete_some(expired: models.QuerySet[Any]) -> tuple[int, Any]:
    """A step that deletes rows: how many, and whether there may be more."""
    found = list(expired.order_by("pk").values_list("pk", flat=True)[:ROWS])
    if found:
        expired.model._default_manager.filter(pk__in=found).delete()  # noqa: SLF001 - Django's documented name
    return len(found), "more" if len(found) == ROWS else None


@runs_with_hub
async def do_chores_daily() -> None:
    """For ever."""
    await asyncio.sleep(random.uniform(*FIRST_SECONDS))  # noqa: S311 - no secret
    while True:
        await do_chores()
        await asyncio.sleep(DAY_SECONDS)


async def do_chores() -> None:
    """Each of them once; one that fails keeps no other."""
    for chore in registered():
        try:
            done = await chore.do_in_background()
        except UnavailableError:
            raise  # so is everything else: the outage is told, and this begins again
        except Exception:
            logger.exception("The chore %s failed; it is done again tomorrow", chore.name)
            continue
        _done_at[chore.name,] = time.time()
        logger.info("A chore is done", extra={"chore": chore.name, "forgotten": done})
