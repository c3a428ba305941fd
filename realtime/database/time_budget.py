"""Until when the work of this thread waits for the database; without a deadline, as long as it takes."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class _Deadline(threading.local):
    at: float | None = None


_deadline = _Deadline()


@contextmanager
def deadline_in(seconds: float) -> Iterator[None]:
    """Give what runs in this thread meanwhile so much time with the database."""
    before, _deadline.at = _deadline.at, time.monotonic() + seconds
    try:
        yield
    finally:
        _deadline.at = before


@contextmanager
def paused() -> Iterator[None]:
    """Do not count what this thread does meanwhile: it waits, and not for the database."""
    began = time.monotonic()
    try:
        yield
    finally:
        if _deadline.at is not None:
            _deadline.at += time.monotonic() - began


def remaining() -> float | None:
    """Seconds until the deadline, never below zero; None without one."""
    return None if _deadline.at is None else max(0.0, _deadline.at - time.monotonic())
