"""Chores delete what has expired, once a day; an app registers its own in its `chores.py`.

Every process does all of them, the first time within two hours of its start and then once a day, at a moment
of its own. There is no leader to elect, because a chore that another process has just done finds nothing to
do. `manage.py chores` does them at once.
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
#: Seconds after its start between which a process begins: it has settled, and its neighbours begin at others.
FIRST_SECONDS = 600.0, 7200.0
#: Rows of one step. A step is one transaction: it keeps SQLite's one writer for milliseconds.
ROWS = 500
#: Seconds between two steps, so that others can write.
REST_SECONDS = 0.1

#: A step takes the position at which the step before ended, at first None. It returns how much it deleted and
#: the position at which the next step begins, None when nothing is left.
Step = Callable[[Any], tuple[int, Any]]


@dataclass(frozen=True)
class Chore:
    """One kind of expired data, deleted step by step."""

    name: str
    step: Step

    def do(self) -> int:
        """Do all steps, without a rest; returns how much was deleted."""
        done, position = self.step(None)
        while position is not None:
            more, position = self.step(position)
            done += more
        return done

    async def do_in_background(self) -> int:
        """Do all steps on the database threads, with rests; returns how much was deleted."""
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
    """Register the step function of a chore."""

    def register(step: Step) -> Step:
        _chores[name] = Chore(name, step)
        return step

    return register


def registered() -> list[Chore]:
    """All chores, in the order of their names."""
    return [_chores[name] for name in sorted(_chores)]


def delete_some(expired: models.QuerySet[Any]) -> tuple[int, Any]:
    """Do a step of a chore that deletes rows, some of these."""
    found = list(expired.order_by("pk").values_list("pk", flat=True)[:ROWS])
    if found:
        expired.model._default_manager.filter(pk__in=found).delete()  # noqa: SLF001 - Django's documented name
    return len(found), "more" if len(found) == ROWS else None


@runs_with_hub
async def do_chores_daily() -> None:
    """Do all chores again and again, for as long as the process serves."""
    await asyncio.sleep(random.uniform(*FIRST_SECONDS))  # noqa: S311 - no secret
    while True:
        await do_chores()
        await asyncio.sleep(DAY_SECONDS)


async def do_chores() -> None:
    """Do each chore once; one that fails does not keep the others from being done."""
    for chore in registered():
        try:
            done = await chore.do_in_background()
        except UnavailableError:
            raise  # the database is away, for the other chores too; `keep_running` begins again
        except Exception:
            logger.exception("The chore %s failed; it is done again tomorrow", chore.name)
            continue
        _done_at[chore.name,] = time.time()
        logger.info("A chore is done", extra={"chore": chore.name, "forgotten": done})
