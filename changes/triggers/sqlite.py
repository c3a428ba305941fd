"""Triggers of SQLite: one for each row, which notes the row as JSON.

Nothing in SQLite catches an error in a trigger, so no expression in them can raise one (`rows`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from django.db import connection

from changes.models import NotedChange
from changes.registry import Watched
from changes.rows import sqlite_object
from changes.shapes import Field, Shape, literal, quoted
from changes.triggers.parts import PREFIX, Part, Present, kept_fields

_NOTED = NotedChange._meta.db_table  # noqa: SLF001 - documented, in spite of its name

#: The moment of a statement: `now` is one for all rows that it changes.
_NOW = "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)"


def parts(watched: Watched, shape: Shape) -> list[Part]:
    """The triggers of a watched table. A row whose key changes is deleted, and another one created."""
    moved = _differs(shape.key)
    stays = f"NOT ({moved})"
    if not watched.notes_every_update:
        stays += f" AND ({_differs(shape.fields)})"
    kept = replace(shape, fields=kept_fields(watched, shape))
    old, new = sqlite_object(kept, "OLD"), sqlite_object(kept, "NEW")
    table = quoted(shape.table)
    return [
        _trigger(watched.name, shape.table, name, f"AFTER {when}", rows)
        for name, when, rows in (
            ("insert", f"INSERT ON {table}", [("NULL", new)]),
            ("update", f"UPDATE ON {table} WHEN {stays}", [(old, new)]),
            ("move", f"UPDATE ON {table} WHEN {moved}", [(old, "NULL"), ("NULL", new)]),
            ("delete", f"DELETE ON {table}", [(old, "NULL")]),
        )
        if name != "insert" or watched.notes_new_rows
    ]


def _differs(fields: Iterable[Field]) -> str:
    return " OR ".join(f"OLD.{quoted(each.column)} IS NOT NEW.{quoted(each.column)}" for each in fields)


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
