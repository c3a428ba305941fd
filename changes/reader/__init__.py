"""The reader moves noted changes into the log; of all processes that serve, one at a time does it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from django.db import connection

from changes import following, metrics, noted, rights_notes, triggers
from changes.noted import Noted
from changes.reader import postgresql, sqlite
from changes.registry import collections, topic_of
from realtime import announcing, publish_on_commit, run_in_background

logger = logging.getLogger(__name__)

#: Seconds after which a process asks again whether nobody reads: so long nobody may, after one was killed.
RETRY_SECONDS = 1.0

_DATABASES = {"postgresql": postgresql, "sqlite": sqlite}


def read_some() -> list[Noted]:
    """Move a batch of noted changes into the log, and tell their topics; returns them.

    Their removal and the events are one transaction: a change is told once, whenever a process dies.
    """
    if not noted.is_any():  # asked first: on SQLite whoever writes would wait for a transaction without rows
        return []
    with announcing():
        if not _DATABASES[connection.vendor].is_alone():
            return []
        taken = noted.take()
        rights_notes.tell(note for note in taken if note.is_about_rights)
        changes = [note for note in taken if not note.is_about_rights]
        beside = following.beside(changes)
        for change in changes:
            along = beside.get(change.id, following.NOTHING)
            publish_on_commit(topic_of(change.collection), change.event(along))
    return taken


def somebody_reads() -> bool:
    """Whether a process has the turn to read."""
    return _DATABASES[connection.vendor].somebody_reads()


async def read_changes() -> None:
    """Wait for this process's turn to read, and read for as long as that lasts; work beside the sockets."""
    turn = _DATABASES[connection.vendor].turn
    while True:
        async with turn() as bell:
            if bell is not None:
                await _read(bell)
        await asyncio.sleep(RETRY_SECONDS)


async def _read(bell: Callable[[], Awaitable[None]]) -> None:
    metrics.READER.value = 1
    try:
        await _compare_triggers()
        while True:
            while taken := await run_in_background(read_some):
                _count(taken)
            await bell()
    finally:
        metrics.READER.value = 0


async def _compare_triggers() -> None:
    """Say so once where the triggers are not as declared: some changes are then told to nobody."""
    faults = await run_in_background(triggers.faults, collections())
    if faults:
        parts = [f"{fault.part} of {fault.collection or 'none'}: {fault.what}" for fault in faults]
        logger.error("What notes changes is not as declared: run manage.py migrate", extra={"parts": parts})


def _count(taken: list[Noted]) -> None:
    for change in taken:
        metrics.CHANGES.add(change.collection)
    metrics.DELAY_SECONDS.observe(max(0.0, time.time() - taken[0].noted_at / 1000))
