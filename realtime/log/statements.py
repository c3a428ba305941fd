"""SQL statements of the log's hot path, each for both databases; `realtime.log` has the rules.

The ORM does the same with an instance per row and with parameters written into the SQL, which was most of
the cost of storing a message (docs/adr/0014).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
from django.db import OperationalError, connection

from realtime.errors import BusyError

_as_json = msgspec.json.Encoder().encode

#: SQLSTATE of a lock that was not released within lock_timeout.
_LOCK_NOT_AVAILABLE = "55P03"
#: More bytes than any page has.
_NO_LIMIT = 2**62


def is_sqlite() -> bool:
    """Whether the database is SQLite, whose one writer holds every row: nothing to lock, wait for or skip."""
    return connection.vendor == "sqlite"


@contextmanager
def binary_cursor() -> Iterator[Any]:
    """A cursor of PostgreSQL that sends parameters (`%b`) beside the SQL, in binary.

    Django's own writes parameters into the SQL: an array of 64 texts then costs three times as much.
    """
    from django.db.backends.postgresql.base import ServerBindingCursor

    connection.ensure_connection()
    raw: Any = ServerBindingCursor  # the stubs do not know that it is one of psycopg's
    wrapped = connection.make_debug_cursor if connection.queries_logged else connection.make_cursor
    with wrapped(raw(connection.connection)) as cursor:
        yield cursor


def columns(rows: Iterable[Sequence[Any]]) -> list[list[Any]]:
    """Rows as the arrays that `unnest` wants, one for each column."""
    return [list(column) for column in zip(*rows, strict=True)]


def lock_topics(names: Sequence[str], patience: float | None) -> list[tuple[int, str, int, int]]:
    """Lock topics in the order of their names; returns the (id, name, head, floor) of those that exist.

    For `patience` see `log.lock`.
    """
    if is_sqlite():
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT id, name, head, floor FROM realtime_topic"
                " WHERE name IN (SELECT value FROM json_each(%s))",
                [_as_json(names).decode()],
            )
            return list(cursor.fetchall())
    # NO KEY UPDATE: the lock orders appends, it need not stop foreign keys from pointing here.
    select = "SELECT id, name, head, floor FROM realtime_topic WHERE name = ANY(%b)"
    select += ' ORDER BY name COLLATE "C" FOR NO KEY UPDATE'
    with binary_cursor() as cursor:
        if patience:
            cursor.execute("SELECT set_config('lock_timeout', %b, true)", [f"{patience:g}s"])
        try:
            cursor.execute(f"{select} SKIP LOCKED" if patience == 0 else select, [list(names)])
        except OperationalError as error:
            if getattr(error.__cause__, "sqlstate", None) == _LOCK_NOT_AVAILABLE:
                raise BusyError(retry_after_ms=1_000) from error
            raise
        return list(cursor.fetchall())


def append_events(
    events: Sequence[tuple[int, int, str]], heads: Iterable[tuple[int, int]], moment: dt.datetime
) -> None:
    """Store events as (topic id, seq, body) and move the heads of their topics, as (topic id, head)."""
    if is_sqlite():
        stored_at = connection.ops.adapt_datetimefield_value(moment)
        with connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO realtime_loggedevent (topic_id, seq, body, created_at) VALUES (%s, %s, %s, %s)",
                [(*event, stored_at) for event in events],
            )
            cursor.executemany(
                "UPDATE realtime_topic SET head = %s WHERE id = %s",
                [(head, topic_id) for topic_id, head in heads],
            )
        return
    with binary_cursor() as cursor:
        cursor.execute(
            "WITH moved AS ("
            " UPDATE realtime_topic AS topic SET head = moved.head"
            " FROM unnest(%b::bigint[], %b::bigint[]) AS moved (id, head) WHERE topic.id = moved.id)"
            " INSERT INTO realtime_loggedevent (topic_id, seq, body, created_at)"
            " SELECT *, %b FROM unnest(%b::bigint[], %b::bigint[], %b::text[])",
            [*columns(heads), moment, *columns(events)],
        )


def replace_bodies(topic_id: int, bodies: Mapping[int, str]) -> None:
    """Replace the bodies of events of a topic, by their seq."""
    if is_sqlite():
        with connection.cursor() as cursor:
            cursor.executemany(
                "UPDATE realtime_loggedevent SET body = %s WHERE topic_id = %s AND seq = %s",
                [(body, topic_id, seq) for seq, body in bodies.items()],
            )
        return
    with binary_cursor() as cursor:
        cursor.execute(
            "UPDATE realtime_loggedevent AS event SET body = other.body"
            " FROM unnest(%b::bigint[], %b::text[]) AS other (seq, body)"
            " WHERE event.topic_id = %b AND event.seq = other.seq",
            [list(bodies), list(bodies.values()), topic_id],
        )


#: Each row knows how many bytes are before it, so that what does not fit never leaves the database.
_EVENTS_AFTER = """
    SELECT seq, body, created_at, (
        SELECT event.created_at FROM realtime_loggedevent AS event
        JOIN realtime_topic AS topic ON topic.id = event.topic_id WHERE topic.name = %s AND event.seq = %s
    ) AS after_at
    FROM (
        SELECT seq, body, created_at, sum(octet_length(body))
            OVER (ORDER BY seq ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS bytes_before
        FROM (
            SELECT event.seq, event.body, event.created_at FROM realtime_loggedevent AS event
            JOIN realtime_topic AS topic ON topic.id = event.topic_id
            WHERE topic.name = %s AND event.seq > %s ORDER BY event.seq LIMIT %s
        ) AS page
    ) AS measured
    WHERE bytes_before IS NULL OR bytes_before < %s ORDER BY seq
"""
_EVENTS_AFTER_IN_SQLITE = _EVENTS_AFTER.replace("octet_length(body)", "length(CAST(body AS BLOB))")


def events_after(
    name: str, after: int, limit: int, size: int | None
) -> list[tuple[int, str, dt.datetime, dt.datetime | None]]:
    """The events after a seq, at most `limit`, and no more once they are `size` bytes.

    Each is (seq, body, when it was stored, when the event at `after` was stored; None where it is not kept).
    """
    with connection.cursor() as cursor:
        cursor.execute(
            _EVENTS_AFTER_IN_SQLITE if is_sqlite() else _EVENTS_AFTER,
            [name, after, name, after, limit, _NO_LIMIT if size is None else size],
        )
        found = cursor.fetchall()
    if is_sqlite():  # SQLite keeps times as text, in UTC
        return [
            (seq, body, as_moment(at), after_at and as_moment(after_at)) for seq, body, at, after_at in found
        ]
    return list(found)


_FLOOR_AND_MOMENTS = """
    SELECT topic.floor, event.seq, event.created_at FROM realtime_topic AS topic
    LEFT JOIN realtime_loggedevent AS event ON event.topic_id = topic.id AND event.seq = ANY(%s)
    WHERE topic.name = %s
"""
_FLOOR_AND_MOMENTS_IN_SQLITE = _FLOOR_AND_MOMENTS.replace("= ANY(%s)", "IN (SELECT value FROM json_each(%s))")


def floor_and_moments(name: str, seqs: Sequence[int]) -> tuple[int, dict[int, dt.datetime]]:
    """The floor of a topic (0 if there is none), and the times at which some kept events were stored."""
    with connection.cursor() as cursor:
        if is_sqlite():
            cursor.execute(_FLOOR_AND_MOMENTS_IN_SQLITE, [_as_json(seqs).decode(), name])
        else:
            cursor.execute(_FLOOR_AND_MOMENTS, [list(seqs), name])
        found = cursor.fetchall()
    moments = {seq: as_moment(at) for _, seq, at in found if seq is not None}
    return (found[0][0] if found else 0), moments


def as_moment(stored: dt.datetime | str) -> dt.datetime:
    """Convert a time that a cursor returned; SQLite returns it without a zone, and in some places as text."""
    moment = stored if isinstance(stored, dt.datetime) else dt.datetime.fromisoformat(stored)
    return moment.replace(tzinfo=dt.UTC)
