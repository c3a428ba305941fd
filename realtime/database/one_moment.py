"""Consistent reads: several queries that all see the database as it was at one moment."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from django.db import DatabaseError, connection

#: SQLite keeps what the first read saw until the end; a deferred transaction never waits for a writer.
_BEGIN = {
    "sqlite": "BEGIN DEFERRED",
    "postgresql": "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
}


@contextmanager
def one_moment() -> Iterator[None]:
    """Let all reads in the block see one moment. They write nothing, and open no transaction or other moment.

    Inside of an open transaction, that transaction's isolation applies instead.
    """
    if connection.in_atomic_block:
        yield
        return
    with connection.cursor() as cursor:
        cursor.execute(_BEGIN[connection.vendor])
    try:
        yield
    finally:
        with suppress(DatabaseError), connection.cursor() as cursor:  # a lost connection has forgotten it
            cursor.execute("ROLLBACK")
