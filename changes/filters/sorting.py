"""The order of rows, alike in memory and in both databases: NULLs last, texts by their code points.

`-` before a name turns an order round, NULLs included, which are first then. Rows that a sort leaves equal
are ordered by their primary key, so that pages do not overlap.
"""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from changes.filters.conditions import ALWAYS, Condition
from changes.filters.matching import matcher
from changes.filters.sql import where
from changes.filters.tables import Column, Row
from changes.filters.values import UNREADABLE, Kind
from changes.filters.vendors import VENDORS, Sql, column_of


@dataclass(frozen=True, slots=True)
class SortKey:
    """One column to sort by; in rows that the guard does not match it counts as NULL."""

    column: Column
    is_descending: bool = False
    guard: Condition = ALWAYS


Sort = tuple[SortKey, ...]


def sorted_rows(rows: Iterable[Row], sort: Sort, now: dt.datetime | None = None) -> list[Row]:
    """The rows in order."""
    at = now or dt.datetime.now(dt.UTC)
    ordered = list(rows)
    for key in reversed(sort):
        ordered.sort(key=functools.partial(_place, key, now=at), reverse=key.is_descending)
    return ordered


def _place(key: SortKey, row: Row, *, now: dt.datetime) -> tuple[bool, Any]:
    value = row[key.column.name]
    if value is None or value is UNREADABLE:
        return True, 0
    if key.guard != ALWAYS and not matcher(key.guard)(row, now):
        return True, 0
    return False, value


def order_by(sort: Sort, *, vendor: str, alias: str, now: dt.datetime | None = None) -> Sql:
    """What follows ORDER BY; empty for no sort."""
    terms = [(key, sorted_by(key, vendor=vendor, alias=alias, now=now)) for key in sort]
    return Sql(
        ", ".join(
            f"{term.text} {'DESC NULLS FIRST' if key.is_descending else 'ASC NULLS LAST'}"
            for key, term in terms
        ),
        tuple(parameter for _, term in terms for parameter in term.parameters),
    )


def sorted_by(key: SortKey, *, vendor: str, alias: str, now: dt.datetime | None = None) -> Sql:
    """What one key orders by, without a direction."""
    writer, kind = VENDORS[vendor], key.column.kind
    column = column_of(key.column, alias)
    ordered = writer.ordered(writer.text(column) if kind is Kind.TEXT else column, kind)
    if key.guard == ALWAYS:
        return Sql(ordered)
    guard = where(key.guard, vendor=vendor, alias=alias, now=now)
    return guard.within("CASE WHEN ", f" THEN {ordered} END")
