"""Rows read from their tables: what a view shows at this moment.

The database writes each row as its triggers do, so a row that was read and one that changed are alike.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any

import msgspec
from django.db import connection

from changes.filters import Condition, Page, Relation, Row, Sql, Table, View, attach, order_by, where
from changes.filters.sorting import Sort
from changes.filters.values import Value
from changes.filters.vendors import VENDORS, column_of, quoted
from changes.opened import opened
from changes.rows import postgresql_columns, row_as_json, sqlite_object
from changes.shapes import Shape

#: The table, as the queries here call it.
_ALIAS = "row_"
#: Keys in one query for related rows: SQLite takes that many parameters, however it was built.
_KEYS = 500


def rows_of(view: View, page: Page, now: dt.datetime) -> list[dict[Any, Value]]:
    """The whole rows of a view, in its order, with the related rows that it needs."""
    rows = _rows(view.table, view.rows, now, sort=view.sort, page=page)
    if view.needs:
        attach(rows, view.needs, _related)
    return rows


def shown(view: View, rows: Iterable[Row], now: dt.datetime) -> list[dict[str, Value]]:
    """Rows of a view as it shows them."""
    return [view.cut(row, now) for row in rows]


def count(table: Table, condition: Condition, now: dt.datetime) -> int:
    """The number of rows that match."""
    matching = where(condition, vendor=connection.vendor, alias=_ALIAS, now=now)
    query = matching.within(f"SELECT count(*) FROM {quoted(table.stored_as)} AS {_ALIAS} WHERE ", "")  # noqa: S608 - quoted
    with connection.cursor() as cursor:
        cursor.execute(query.text, query.parameters)
        return int(cursor.fetchone()[0])


def _rows(
    table: Table, condition: Condition, now: dt.datetime, *, sort: Sort = (), page: Page | None = None
) -> list[dict[Any, Value]]:
    matching = where(condition, vendor=connection.vendor, alias=_ALIAS, now=now)
    query = matching.within(f"FROM {quoted(table.stored_as)} AS {_ALIAS} WHERE ", "")
    if sort:
        order = order_by(sort, vendor=connection.vendor, alias=_ALIAS, now=now)
        query = query.then(f" ORDER BY {order.text}", *order.parameters)
    if page is not None:
        query = query.then(_limited(page))
    return [table.row(text) for text in _texts(table, query)]


def _limited(page: Page) -> str:
    if page.limit is not None:
        return f" LIMIT {page.limit} OFFSET {page.offset}"
    # SQLite knows no OFFSET without a LIMIT.
    return f"{' LIMIT -1' if connection.vendor == 'sqlite' else ''} OFFSET {page.offset}"


def _related(relation: Relation, keys: frozenset[Value]) -> list[dict[Any, Value]]:
    return [relation.table.row(text) for text in texts_of(relation, keys)]


def texts_of(relation: Relation, keys: frozenset[Value]) -> list[msgspec.Raw]:
    """The rows of a relation's table that these keys lead to, as JSON; who asks checks what may be read."""
    writer, column = VENDORS[connection.vendor], column_of(relation.to, _ALIAS)
    given = [writer.parameter(relation.to.kind, key) for key in keys]
    found: list[msgspec.Raw] = []
    for at in range(0, len(given), _KEYS):
        some = given[at : at + _KEYS]
        marks = ", ".join(["%s"] * len(some))
        table = quoted(relation.table.stored_as)
        found += _texts(
            relation.table, Sql(f"FROM {table} AS {_ALIAS} WHERE {column} IN ({marks})", tuple(some))
        )
    return found


def _texts(table: Table, query: Sql) -> list[msgspec.Raw]:
    """The rows of a query that begins with FROM, as JSON."""
    shape = opened(table.name).shape
    with connection.cursor() as cursor:
        cursor.execute(_SELECTS[connection.vendor](shape, query.text), query.parameters)
        return [row_as_json(text) for (text,) in cursor.fetchall()]


def _of_postgresql(shape: Shape, rest: str) -> str:
    columns = postgresql_columns(shape.fields, _ALIAS).replace("%", "%%")
    return f"SELECT row_to_json(shown.*)::text FROM (SELECT {columns} {rest}) AS shown"  # noqa: S608 - quoted


def _of_sqlite(shape: Shape, rest: str) -> str:
    # As bytes: SQLite keeps texts that are none, and its driver would refuse them.
    return f"SELECT CAST({sqlite_object(shape, _ALIAS).replace('%', '%%')} AS BLOB) {rest}"


_SELECTS = {"postgresql": _of_postgresql, "sqlite": _of_sqlite}
