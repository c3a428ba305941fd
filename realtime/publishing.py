"""Publishing an event: `publish_on_commit` stores it and tells its topic, `publish_now` only tells it.

Transactions that publish to several topics must all lock them in one order, or two of them wait for each
other. So services run inside `announcing()`: a transaction that collects what is published in it, and appends
all of it to the log just before it ends.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from realtime import events, log
from realtime.bells.local_hubs import deliver
from realtime.database.write_lock import write_lock
from realtime.events import Event, Logged


class _Collecting(threading.local):
    """Whether this thread is inside `announcing()`, whose outermost block appends what is published.

    Of the thread and not of the context: a context is copied into whatever is started meanwhile.
    """

    is_on = False


_collecting = _Collecting()


class _Announcement:
    """An event waiting to be logged, kept in Django's own list of things to do on commit.

    Django drops the entries of a savepoint that is rolled back, and so the events of work that was undone: no
    list of ours can disagree.
    """

    def __init__(self, topic: str, event: Event) -> None:
        self.entry = (topic, event)
        self.is_logged = False

    def __call__(self) -> None:
        """Do nothing on commit: `announce` put the delivery into the same list."""


def publish_on_commit(topic: str, event: Event) -> None:
    """Log an event with the caller's transaction, and tell its topic once that is committed."""
    events.require_seq(event)
    if _collecting.is_on:
        transaction.on_commit(_Announcement(topic, event))
    else:
        with announcing():
            transaction.on_commit(_Announcement(topic, event))


def publish_now(topic: str, event: Event) -> None:
    """Tell a topic at once an event that is not kept, whatever becomes of the caller's transaction."""
    if events.is_durable(event):
        raise TypeError(f"{type(event).__name__} has a seq: it must be logged, use publish_on_commit")
    deliver([Logged(topic, None, events.encode(event))])


def announce(logged: list[Logged]) -> None:
    """Deliver what the caller appended to the log, once its transaction is committed."""
    if logged:
        transaction.on_commit(partial(deliver, logged))


@contextmanager
def announcing() -> Iterator[None]:
    """Open a transaction whose events are appended to the log together, just before it ends."""
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


def _append_collected(connection: BaseDatabaseWrapper) -> None:
    waiting = [
        call
        for _, call, *_ in connection.run_on_commit
        if isinstance(call, _Announcement) and not call.is_logged
    ]
    announce(log.append([call.entry for call in waiting]))
    for call in waiting:
        call.is_logged = True
