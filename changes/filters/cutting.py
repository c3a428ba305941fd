"""Rows cut to what was asked for and may be read of them."""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from changes.filters.conditions import ALWAYS, Field, Needs, joined_needs, needs
from changes.filters.matching import MAX_COMPILED, getter, matcher
from changes.filters.rights import Readable
from changes.filters.tables import Relation, Row
from changes.filters.values import UNREADABLE, Kind, Value


@dataclass(frozen=True, slots=True)
class Nested:
    """Fields of related rows, and what may be read of those."""

    relation: Relation
    fields: tuple[Shown, ...]
    readable: Readable

    @property
    def name(self) -> str:
        """Its name in a row that is shown."""
        return self.relation.name

    @property
    def needs(self) -> Needs:
        """The related rows without which it cannot be shown."""
        return {self.relation: joined_needs(needs(self.readable.rows), needs_of(self.fields))}


#: What a row is shown with.
Shown = Field | Nested

Cutter = Callable[[Row, dt.datetime], dict[str, Value]]


def needs_of(fields: tuple[Shown, ...]) -> Needs:
    """The related rows without which these fields cannot be shown."""
    return joined_needs(*(field.needs for field in fields if isinstance(field, Nested)))


@functools.lru_cache(MAX_COMPILED)
def cutter(fields: tuple[Shown, ...], readable: Readable) -> Cutter:
    """A function that cuts a row, which may be read, to these fields."""
    getters = [(field.name, _column_of(field), _getter(field)) for field in fields]
    if all(readable.guard(column) == ALWAYS for _, column, _ in getters):
        return lambda row, now: {name: get(row, now) for name, _, get in getters}
    rules = [(matcher(policy.rule), policy.fields) for policy in readable.policies]

    def cut(row: Row, now: dt.datetime) -> dict[str, Value]:
        allowed: set[str] = set().union(*(names for rule, names in rules if rule(row, now)))
        return {name: get(row, now) for name, column, get in getters if column in allowed}

    return cut


def _column_of(field: Shown) -> str:
    return field.relation.column.name if isinstance(field, Nested) else field.column.name


def _getter(field: Shown) -> Callable[[Row, dt.datetime], Any]:
    if isinstance(field, Nested):
        return _related(field)
    get, is_part = getter(field), field.part is not None

    is_bytes = field.column.kind is Kind.BYTES

    def value(row: Row, _now: dt.datetime) -> Value:
        if is_part and row[field.column.name] is UNREADABLE:
            return None
        found = get(row)
        if found is UNREADABLE:
            return None
        return f"\\x{found.hex()}" if is_bytes and found is not None else found

    return value


def _related(nested: Nested) -> Callable[[Row, dt.datetime], Any]:
    has, cut = matcher(nested.readable.rows), cutter(nested.fields, nested.readable)
    place, is_many = nested.relation.place, nested.relation.is_many

    def related(row: Row, now: dt.datetime) -> Any:
        shown = [cut(each, now) for each in row.get(place, ()) if has(each, now)]
        return shown if is_many else next(iter(shown), None)

    return related
