"""The time budget of a database call: the promise to clients, its parts, and the deadline of a thread.

Every command is answered within PROMISE_SECONDS, also while the database is away, frozen or busy. Each stage
gives up a little earlier than the one that waits for it, so that it can still report what went wrong:

    2.0  PROMISE     the client has its answer
    1.8  ANSWER      the server gives the best answer that it has; 0.2 are the way from the client and back
    1.6  DATABASE    a thread gives up its connection; 0.2, so that mostly the database's own error is told
    1.5  CONNECTION  the pool has no connection; 0.1 for the thread to pass that on
    1.4  LOCK        a lock is still held; 0.2 for the rest of the transaction
    0.8  QUEUE       a send is still not being stored; 1.0 to store it. If this were longer, most of what is
                     stored would be for senders who were told to come back, and who send it again

A shorter promise is a smaller PROMISE_SECONDS: all the others follow from it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

PROMISE_SECONDS = 2.0
ANSWER_SECONDS = PROMISE_SECONDS - 0.2
DATABASE_SECONDS = ANSWER_SECONDS - 0.2
CONNECTION_SECONDS = DATABASE_SECONDS - 0.1
LOCK_SECONDS = DATABASE_SECONDS - 0.2
QUEUE_SECONDS = ANSWER_SECONDS - 1.0
#: Seconds of a thread's time that are kept for the answer of a statement that waited for a lock.
LOCK_MARGIN_SECONDS = 0.1
#: Seconds of the first wait for a lock where other callers must not wait too: long enough for the commit of
#: another process, short enough that a lock which stays held does not matter.
SHORT_LOCK_SECONDS = 0.1
#: Seconds after which an attempt to connect is given up, and so the longest pause between two: callers that
#: wait for a connection must see several, or they fail with the database back.
RECONNECT_SECONDS = 0.5
#: Seconds that the database has for work that no client waits for, so that nothing keeps a thread for good.
BACKGROUND_SECONDS = 30.0


class _Deadline(threading.local):
    at: float | None = None


_deadline = _Deadline()


@contextmanager
def deadline_in(seconds: float) -> Iterator[None]:
    """Bound the time that this thread waits for the database in the block."""
    before, _deadline.at = _deadline.at, time.monotonic() + seconds
    try:
        yield
    finally:
        _deadline.at = before


@contextmanager
def paused() -> Iterator[None]:
    """Stop this thread's clock in the block: it waits for something else than the database."""
    began = time.monotonic()
    try:
        yield
    finally:
        if _deadline.at is not None:
            _deadline.at += time.monotonic() - began


def remaining() -> float | None:
    """Seconds until this thread's deadline, never below zero; None without one."""
    return None if _deadline.at is None else max(0.0, _deadline.at - time.monotonic())
