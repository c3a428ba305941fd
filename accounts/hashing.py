"""Password hashing: one hash at a time in a process, whatever asks for it.

A hash takes tens of milliseconds of a core and tens of megabytes, and anybody may ask for one: signing in
does, also under a name that nobody has. Django computes every hash in a hasher, so here all of them pass:
signing in, registering, a new password, the admin's forms, the renewal of an old hash.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from django.contrib.auth import hashers
from django.db import connections

from accounts import metrics
from accounts.errors import TooManyPasswordsError
from accounts.turns import NoTurnError, Turns
from realtime import REQUESTS_REFUSED, conf, counted_address, time_budget

#: The smallest Retry-After of a refusal, in seconds.
RETRY_SECONDS = 1.0

turns = Turns(
    places=lambda: conf.limit_passwords_waiting,
    places_per_address=lambda: conf.limit_passwords_waiting_per_address,
)
metrics.PASSWORDS_WAITING.reads(lambda: len(turns))

#: The request on whose behalf this thread works; None in a command.
_request: ContextVar[object | None] = ContextVar("request", default=None)


class _Held(threading.local):
    """Counts how often this thread has entered `turn`, since nested turns are free."""

    times = 0


_held = _Held()


@contextmanager
def on_behalf_of(request: object) -> Iterator[None]:
    """In the block, count this thread's hashes for the address that the request comes from."""
    before = _request.set(request)
    try:
        yield
    finally:
        _request.reset(before)


@contextmanager
def turn(*, waits: bool = True) -> Iterator[None]:
    """Take the turn to hash for the block; raises TooManyPasswordsError when there is none.

    Nobody waits inside of a transaction: its locks, and its connection, would wait along.
    """
    if not _held.times:
        _take(waits=waits)
    _held.times += 1
    try:
        yield
    finally:
        _held.times -= 1
        if not _held.times:
            turns.give_back()


def _take(*, waits: bool) -> None:
    request = _request.get()
    address = "" if request is None else counted_address(request)
    if turns.take_if_free(address):
        return
    if not waits:
        raise TooManyPasswordsError
    try:
        if not _let_go_of_the_database():
            raise NoTurnError
        with time_budget.paused():
            turns.take(address, seconds=conf.limit_password_seconds)
    except NoTurnError:
        REQUESTS_REFUSED.add("passwords")
        wait = max(RETRY_SECONDS, turns.seconds_of_queue())
        raise TooManyPasswordsError(retry_after_ms=round(wait * 1000)) from None


def _let_go_of_the_database() -> bool:
    """Give this thread's connections back for others to use; False inside of a transaction."""
    opened = connections.all(initialized_only=True)
    if any(connection.in_atomic_block for connection in opened):
        return False
    for connection in opened:
        connection.close()
    return True


class Argon2Hasher(hashers.Argon2PasswordHasher):
    """Argon2id with the parameters that OWASP recommends, a tenth of the work of Django's (ADR 23)."""

    time_cost = 2
    memory_cost = 19 * 1024  # KiB
    parallelism = 1  # one core, so that a server of two has one left for its sockets

    def encode(self, password: str, salt: str) -> str:
        with turn():
            return super().encode(password, salt)

    def verify(self, password: str, encoded: str) -> bool:
        with turn():
            return super().verify(password, encoded)


class PBKDF2Hasher(hashers.PBKDF2PasswordHasher):
    """The hasher of passwords that an older Django stored; its `verify` encodes."""

    def encode(self, password: str, salt: str, iterations: int | None = None) -> str:
        with turn():
            return super().encode(password, salt, iterations)
