"""What triggers have noted: whether there is any, and a batch of it taken out, in order."""

from __future__ import annotations

import json
import logging
import math
from typing import NamedTuple

import msgspec
from django.db import connection

from changes.events import ChangesMissed, RowChanged
from changes.models import NotedChange
from realtime import Event

logger = logging.getLogger(__name__)

_TABLE = NotedChange._meta.db_table  # noqa: SLF001 - documented, in spite of its name

#: Rows taken at a time: on SQLite everybody who writes waits until they are in the log, for some 10 ms.
BATCH = 500
#: Bytes of them after which no further one is taken.
BATCH_BYTES = 8 * 1024 * 1024

# The rows of old statements of one row come before those of newer ones: whoever changes a row waits for the
# commit of the one before, and draws the number after that. So the order of ids is the order of each row.
_TAKE = f"""
    DELETE FROM {_TABLE} WHERE id IN (
        SELECT id FROM (
            SELECT id, sum({{size}}) OVER (ORDER BY id) - {{size}} AS before
            FROM (SELECT id, old, new FROM {_TABLE} ORDER BY id LIMIT %s) AS first
        ) AS sized WHERE before < %s
    ) RETURNING id, collection, write, {{text}}, noted_at
"""  # noqa: S608 - the name of a table of ours
_SIZE = "(coalesce(octet_length(old), 0) + coalesce(octet_length(new), 0))"
_STATEMENTS = {
    "postgresql": _TAKE.format(size=_SIZE, text="old, new"),
    # SQLite keeps texts that are none; as bytes they can be read.
    "sqlite": _TAKE.format(
        size="(coalesce(length(old), 0) + coalesce(length(new), 0))",
        text="CAST(old AS BLOB), CAST(new AS BLOB)",
    ),
}


class Noted(NamedTuple):
    """A change that was taken out."""

    id: int
    collection: str
    write: int
    old: str | None
    new: str | None
    #: In milliseconds since 1970.
    noted_at: int

    @property
    def mark(self) -> str:
        """The same for the rows that one statement changed, and for no others that stand beside them.

        PostgreSQL's triggers draw a number for each statement. SQLite's note `total_changes()`: it counts one
        up with each row that is noted, as the ids do, and jumps when the statement ends. So the difference is
        a statement's own, within its millisecond.
        """
        if connection.vendor == "sqlite":
            return f"{self.noted_at:x}.{self.id - self.write:x}"
        return f"{self.write:x}"

    def event(self) -> Event:
        """What the topic of the collection is told."""
        if self.old is None and self.new is None:
            return ChangesMissed()
        try:
            return RowChanged(write=self.mark, old=_raw(self.old), new=_raw(self.new))
        except (ValueError, RecursionError):  # what cannot be read must not keep what comes after it
            logger.warning("A change of %s cannot be read", self.collection, extra={"noted": self.id})
            return ChangesMissed()


def is_any() -> bool:
    """Whether changes wait."""
    return NotedChange.objects.exists()


def take() -> list[Noted]:
    """Take the first changes out, in order; in the transaction that puts them into the log."""
    with connection.cursor() as cursor:
        cursor.execute(_STATEMENTS[connection.vendor], [BATCH, BATCH_BYTES])
        taken = sorted(cursor.fetchall())
    return [
        Noted(number, collection, write, _text(old), _text(new), at)
        for number, collection, write, old, new, at in taken
    ]


def _text(stored: str | bytes | None) -> str | None:
    return stored.decode(errors="replace") if isinstance(stored, bytes) else stored


_as_json = msgspec.json.Decoder()


def _raw(row: str | None) -> msgspec.Raw | None:
    """A row as it goes into an event, so that whoever reads the event can read it."""
    if row is None:
        return None
    try:
        _as_json.decode(row)
    except (msgspec.DecodeError, RecursionError):
        row = json.dumps(_readable(json.loads(row, parse_float=_number)))
    return msgspec.Raw(row.encode())


def _number(text: str) -> float | str:
    number = float(text)
    return number if math.isfinite(number) else text


def _readable(value: object) -> object:
    """The same without half surrogate pairs, which the databases' JSON may hold and UTF-8 does not."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_readable(item) for item in value]
    if isinstance(value, dict):
        return {str(_readable(name)): _readable(item) for name, item in value.items()}
    return value
