"""Triggers of SQLite: one for each row, which notes the row as JSON.

Nothing in SQLite catches an error in a trigger, so no expression in them can raise one (`rows`).
"""

from __future__ import annotations

from django.db import connection

from changes.models import NotedChange
from changes.registry import Collection
from changes.rows import sqlite_object
from changes.shapes import Shape, literal, quoted
from changes.triggers.parts import PREFIX, Part, Present

_NOTED = NotedChange._meta.db_table  # noqa: SLF001 - documented, in spite of its name

#: The moment of a statement: `now` is one for all rows that it changes.
_NOW = "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)"


def parts(collection: Collection, shape: Shape) -> list[Part]:
    """The triggers of a collection. A row whose key changes is deleted, and another one created."""
    moved = " OR ".join(
        f"OLD.{quoted(field.column)} IS NOT NEW.{quoted(field.column)}" for field in shape.key
    )
    old, new = sqlite_object(shape, "OLD"), sqlite_object(shape, "NEW")
    table = quoted(shape.table)
    return [
        _trigger(collection.name, shape.table, name, f"AFTER {when}", rows)
        for name, when, rows in (
            ("insert", f"INSERT ON {table}", [("NULL", new)]),
            ("update", f"UPDATE ON {table} WHEN NOT ({moved})", [(old, new)]),
            ("move", f"UPDATE ON {table} WHEN {moved}", [(old, "NULL"), ("NULL", new)]),
            ("delete", f"DELETE ON {table}", [(old, "NULL")]),
        )
    ]


def _trigger(collection: str, table: str, name: str, when: str, rows: list[tuple[str, str]]) -> Part:
    trigger = quoted(f"{PREFIX}{collection}_{name}")
    statements = "".join(
        f"\n    INSERT INTO {_NOTED} (collection, write, noted_at, old, new)"  # noqa: S608 - names, quoted
        f"\n    VALUES ({literal(collection)}, total_changes(), {_NOW}, {old}, {new});"
        for old, new in rows
    )
    sql = f"CREATE TRIGGER {trigger} {when}\nBEGIN{statements}\nEND"
    key = f"trigger {PREFIX}{collection}_{name} on {table}"
    return Part(collection, key, sql, (f"DROP TRIGGER IF EXISTS {trigger}", sql))


def present() -> dict[str, Present]:
    """The triggers that there are, by key."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT name, tbl_name, sql FROM sqlite_master WHERE type = 'trigger'")
        return {
            f"trigger {name} on {table}": Present(sql, f"DROP TRIGGER {quoted(name)}")
            for name, table, sql in cursor.fetchall()
            if name.startswith(PREFIX)
        }
