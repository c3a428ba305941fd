"""What triggers have noted: whether there is any, and a batch of it taken out, in order."""

from __future__ import annotations

import logging
from typing import NamedTuple

import msgspec
from django.db import connection

from changes.events import NO_ROW, ChangesMissed, RowChanged
from changes.models import NotedChange
from changes.registry import SOURCE_PREFIX
from changes.rows import row_as_json
from realtime import Event

logger = logging.getLogger(__name__)

_TABLE = NotedChange._meta.db_table  # noqa: SLF001 - documented, in spite of its name

#: Rows taken at a time: on SQLite everybody who writes waits until they are in the log, for some 10 ms.
BATCH = 500
#: Bytes of them after which no further one is taken.
BATCH_BYTES = 8 * 1024 * 1024

# The rows of old statements of one row come before those of newer ones: whoever changes a row waits for the
# commit of the one before, and draws the number after that. So the order of ids is the order of each row.
#
# Whatever is about rights comes before everything else: what was committed after somebody lost a right may
# have a lower number than the note about that. One statement sees both, or not what came later. Mostly
# nothing is about rights, which it finds out with one look at an index that holds nothing else.
_ABOUT_RIGHTS = {
    # As the index has it, to the letter: else it is not used.
    "postgresql": f"collection::text LIKE '{SOURCE_PREFIX}%%'",
    "sqlite": f"collection LIKE '{SOURCE_PREFIX}%%' ESCAPE '\\'",
}
_TAKE = f"""
    DELETE FROM {_TABLE} WHERE id IN (
        SELECT id FROM (
            SELECT id, sum(size) OVER (ORDER BY id) - size AS before
            FROM (
                SELECT * FROM (
                    SELECT id, {{size}} AS size FROM {_TABLE} WHERE {{about_rights}} ORDER BY id LIMIT %s
                ) AS about_rights
                UNION ALL
                SELECT * FROM (
                    SELECT id, {{size}} AS size FROM {_TABLE}
                    WHERE NOT EXISTS (SELECT 1 FROM {_TABLE} WHERE {{about_rights}})
                    ORDER BY id LIMIT %s
                ) AS others
            ) AS first
        ) AS sized WHERE before < %s
    ) RETURNING id, collection, write, {{text}}, noted_at
"""  # noqa: S608 - the name of a table of ours
_SIZE = "(coalesce(octet_length(old), 0) + coalesce(octet_length(new), 0))"
_STATEMENTS = {
    "postgresql": _TAKE.format(about_rights=_ABOUT_RIGHTS["postgresql"], size=_SIZE, text="old, new"),
    # SQLite keeps texts that are none; as bytes they can be read.
    "sqlite": _TAKE.format(
        about_rights=_ABOUT_RIGHTS["sqlite"],
        size="(coalesce(length(old), 0) + coalesce(length(new), 0))",
        text="CAST(old AS BLOB), CAST(new AS BLOB)",
    ),
}


class Noted(NamedTuple):
    """A change that was taken out."""

    id: int
    collection: str
    write: int
    old: str | bytes | None
    new: str | bytes | None
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

    @property
    def is_about_rights(self) -> bool:
        """Whether it tells of rights, and of no row that clients watch."""
        return self.collection.startswith(SOURCE_PREFIX)

    def event(self, related: dict[str, dict[str, msgspec.Raw]]) -> Event:
        """What the topic of the collection is told, with the related rows that go along."""
        if self.old is None and self.new is None:
            return ChangesMissed(note=self.id)
        try:
            return RowChanged(
                write=self.mark,
                note=self.id,
                at=self.noted_at,
                old=_json(self.old),
                new=_json(self.new),
                related=related,
            )
        except (ValueError, RecursionError):  # what cannot be read must not keep what comes after it
            logger.warning("A change of %s cannot be read", self.collection, extra={"noted": self.id})
            return ChangesMissed(note=self.id)


def is_any() -> bool:
    """Whether changes wait."""
    return NotedChange.objects.exists()


def waiting(collection: str) -> frozenset[int]:
    """The numbers of a collection's changes that are not in the log yet."""
    return frozenset(NotedChange.objects.filter(collection=collection).values_list("pk", flat=True))


def deleted(collection: str, most: int) -> list[Noted]:
    """The first deletions of a collection that are not in the log yet."""
    columns = ("pk", "collection", "write", "old", "new", "noted_at")
    found = NotedChange.objects.filter(collection=collection, old__isnull=False, new__isnull=True)
    return [Noted(*row) for row in found.order_by("pk").values_list(*columns)[:most]]


def take() -> list[Noted]:
    """Take the first changes out, in order; in the transaction that puts them into the log.

    As long as something about rights waits, it is that and nothing else.
    """
    with connection.cursor() as cursor:
        cursor.execute(_STATEMENTS[connection.vendor], [BATCH, BATCH, BATCH_BYTES])
        taken = sorted(cursor.fetchall())
    return [Noted(*row) for row in taken]


def _json(row: str | bytes | None) -> msgspec.Raw:
    return NO_ROW if row is None else row_as_json(row)
