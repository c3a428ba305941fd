"""When something is told: `publish_on_commit` for what is stored, `publish_now` for what is not.

A transaction that tells several topics something must lock them in one order, or two of them wait
for each other. So services run inside `announcing()`: a transaction that collects what was published
in it and appends all of it to the log just before it ends.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from django.db import OperationalError, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from realtime import events
from realtime.bells import ringer as bells
from realtime.database.time_budget import remaining
from realtime.events import Event, Logged
from realtime.log import log


class _Collecting(threading.local):
    """Whether this thread is inside `announcing()`: the outermost one appends what is published now.

    Of the thread and not of the context: a context is copied into whatever is started meanwhile.
    """

    is_on = False


_collecting = _Collecting()

#: SQLite has one writer. Its busy handler polls with growing sleeps; a lock of our own is fair and prompt.
_sqlite_writer = threading.RLock()


class _Announcement:
    """An event waiting to be logged, kept in Django's own list of things to do on commit.

    Django drops the entries of a savepoint that is rolled back; so an event of work that was undone
    disappears with it, and no list of ours can disagree.
    """

    def __init__(self, topic: str, event: Event) -> None:
        self.entry = (topic, event)
        self.is_logged = False

    def __call__(self) -> None:
        """Nothing to do on commit: the log told the hub already."""


def publish_on_commit(topic: str, event: Event) -> None:
    """Log the event with the caller's transaction, and tell the topic once it is committed."""
    if not events.is_durable(event):
        raise TypeError(f"{type(event).__name__} has no seq: it is ephemeral, use publish_now")
    if _collecting.is_on:
        transaction.on_commit(_Announcement(topic, event))
    else:
        with announcing():
            transaction.on_commit(_Announcement(topic, event))


def publish_now(topic: str, event: Event) -> None:
    """Tell the topic at once, whatever becomes of the caller's transaction; nothing is kept."""
    if events.is_durable(event):
        raise TypeError(f"{type(event).__name__} has a seq: it must be logged, use publish_on_commit")
    bells.ring([Logged(topic, None, events.encode(event))])


def announce(logged: list[Logged]) -> None:
    """Tell everyone what the caller appended to the log, once its transaction is committed."""
    if logged:
        transaction.on_commit(partial(bells.ring, logged))


@contextmanager
def announcing() -> Iterator[None]:
    """A transaction whose events are appended to the log together, just before it ends."""
    connection = transaction.get_connection()
    with write_lock(connection), transaction.atomic():
        if _collecting.is_on:
            yield
            return
        _collecting.is_on = True
        try:
            yield
        finally:
            _collecting.is_on = False
        _append_collected(connection)


@contextmanager
def write_lock(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """The turn to write, where the database has only one; free of charge elsewhere."""
    if connection.vendor != "sqlite" or connection.in_atomic_block:
        # Inside a transaction the database's own lock is held: waiting for ours would be deadlock.
        yield
        return
    patience = remaining()
    if patience is None:
        patience = connection.settings_dict["OPTIONS"].get("timeout", 5)
    if not _sqlite_writer.acquire(timeout=patience):
        raise OperationalError("database is locked")  # as SQLite itself would say
    try:
        yield
    finally:
        _sqlite_writer.release()


def _append_collected(connection: BaseDatabaseWrapper) -> None:
    waiting = [
        call
        for _, call, *_ in connection.run_on_commit
        if isinstance(call, _Announcement) and not call.is_logged
    ]
    announce(log.append([call.entry for call in waiting]))
    for call in waiting:
        call.is_logged = True
