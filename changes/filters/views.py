"""A view: what one watcher sees of one table, and what of it a change alters."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any

import msgspec

from changes.filters.conditions import Condition, Needs, all_of, bound, depends_on_time, joined_needs, needs
from changes.filters.cutting import Cutter, Shown, cutter, needs_of
from changes.filters.matching import Matcher, matcher
from changes.filters.parsing import USER_VARIABLES, RightsOf, parse_filter
from changes.filters.queries import parse_fields, parse_search, parse_sort
from changes.filters.rights import Readable
from changes.filters.sorting import Sort
from changes.filters.tables import Row, Table
from changes.filters.values import Extreme, Value


class Sight(StrEnum):
    """What happened to a row."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Seen:
    """A change as a watcher sees it: what enters the view is created there, what leaves it is deleted."""

    #: What happens in the view, and what was done to the table.
    event: Sight
    change: Sight
    key: Value
    #: What may be read of the row: as it is, or as it was before it went.
    row: dict[str, Value]


@dataclass(frozen=True)
class View:
    """What one watcher sees of a table. Views of equal questions and equal rights are equal values.

    Made by `view`.
    """

    table: Table
    readable: Readable
    #: The rows: readable, and matching the filter.
    rows: Condition
    fields: tuple[Shown, ...]
    sort: Sort

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        return hash((self.table.name, self.readable, self.rows, self.fields, self.sort))

    @cached_property
    def has(self) -> Matcher:
        """Whether a row is in the view at a moment."""
        return matcher(self.rows)

    @cached_property
    def depends_on_time(self) -> bool:
        """Whether rows may enter or leave without a change; nobody is told then."""
        return depends_on_time(self.rows)

    def sees(self, old: Row | None, new: Row | None, now: dt.datetime) -> Seen | None:
        """What a change of a row means here: None, where it was not in the view and is not."""
        had = old is not None and self.has(old, now)
        has = new is not None and self.has(new, now)
        if not had and not has:
            return None
        change = Sight.CREATE if old is None else Sight.DELETE if new is None else Sight.UPDATE
        if has:
            event, row = (Sight.UPDATE if had else Sight.CREATE), new
        else:
            event, row = Sight.DELETE, old
        assert row is not None
        return Seen(event, change, self.table.key_of(row), self.cut(row, now))

    @cached_property
    def cut(self) -> Cutter:
        """Cuts a row of the view to the fields that were asked for and may be read in it."""
        return cutter(self.fields, self.readable)

    @cached_property
    def needs(self) -> Needs:
        """The related rows that have to be attached to rows (`attach`) before they are seen."""
        return joined_needs(needs(self.rows), needs_of(self.fields))


def view(
    table: Table,
    readable: Readable,
    query: Mapping[str, Any] | None = None,
    *,
    user_values: Mapping[str, Any] | None = None,
    variables: Collection[str] = USER_VARIABLES,
    related: RightsOf | None = None,
) -> View:
    """The view that a query asks for by its `fields`, `filter`, `search` and `sort`; others are passed over.

    A QueryError says what is wrong with it. `limit` and its like are about snapshots: `parse_page`. Relations
    are followed where `related` says what may be read at their end.
    """
    asked = query or {}
    condition = parse_filter(
        asked.get("filter"), table, readable=readable.fields, variables=variables, related=related
    )
    if asked.get("search") is not None:
        condition = all_of(condition, parse_search(asked["search"], table, readable))
    return View(
        table=table,
        readable=readable,
        rows=readable.matching(bound(condition, user_values or {})),
        fields=parse_fields(asked.get("fields"), table, readable, related),
        sort=parse_sort(asked.get("sort"), table, readable),
    )


def _text_of(value: Any) -> str:
    if isinstance(value, Extreme):
        return value.name
    raise TypeError(f"no value of a row: {value!r}")


#: Writes rows as JSON: times as RFC 3339 in UTC, decimals as texts, so that they stay exact.
ENCODER = msgspec.json.Encoder(enc_hook=_text_of)
