"""Rows of collections, read and written as the dialect has it; synchronous, for a thread."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from changes import items, reading
from changes.filters import Page, View
from changes.filters.values import Value
from changes.opened import opened
from changes.watches import counts_of, person, view_of
from directus.errors import ForbiddenError, InvalidPayloadError
from directus.queries import counts_in, page_of
from realtime import one_moment

#: Collections of Directus itself: these commands have nothing to do with them.
SYSTEM = "directus_"

Row = dict[str, Value]


class Answer:
    """What an action answers: rows or keys, and counts where they are asked for."""

    def __init__(self, data: Any, meta: dict[str, int] | None = None) -> None:
        self.data = data
        self.meta = meta


def read(user_id: int | None, name: str, *, key: Any, keys: Any, query: Mapping[str, Any]) -> Answer:
    """One row, the rows of some keys, or a page of those that a query selects."""
    opened(name)  # before the moment: it may read the shapes of tables
    with one_moment():
        user = person(user_id)
        now = dt.datetime.now(dt.UTC)
        if key is not None:
            rows = _rows(view_of(user, name, query, key=key), Page(1), now)
            if not rows:
                raise ForbiddenError
            return Answer(rows[0])
        if keys is not None:
            seen = view_of(user, name, _within(name, query, keys))
            rows = _rows(seen, Page(len(keys)), now)
            if len(rows) < len(set(map(str, keys))):
                raise ForbiddenError
            return Answer(rows)
        seen = view_of(user, name, query)
        wanted = counts_in(query.get("meta"))
        meta = None
        if wanted:
            counts = counts_of(seen, now)
            known = {"total_count": counts.total, "filter_count": counts.matching}
            meta = {each: known[each] for each in wanted}
        return Answer(_rows(seen, page_of(query), now), meta)


def create(user_id: int | None, name: str, data: Any, query: Mapping[str, Any]) -> Answer:
    """Create one row or several; answers them as they are then, where they may be read."""
    if not isinstance(data, dict | list):
        raise InvalidPayloadError("`data` is a row, or a list of them")
    keys = items.create(person(user_id), name, data)
    rows = _again(user_id, name, keys, query)
    return Answer(rows if isinstance(data, list) else next(iter(rows), None))


def update(
    user_id: int | None, name: str, data: Any, *, key: Any, keys: Any, query: Mapping[str, Any]
) -> Answer:
    """Write the same to one row or several, or to each its own; answers them as they are then."""
    user = person(user_id)
    if key is None and keys is None and isinstance(data, list):
        return Answer(_again(user_id, name, items.update_each(user, name, data), query))
    if not isinstance(data, dict):
        raise InvalidPayloadError("`data` is an object of fields")
    if key is not None:
        rows = _again(user_id, name, items.update(user, name, data, keys=[key]), query)
        return Answer(next(iter(rows), None))
    written = items.update(user, name, data, **_selected(user, name, keys, query))
    return Answer(_again(user_id, name, written, query))


def delete(user_id: int | None, name: str, *, key: Any, keys: Any, query: Mapping[str, Any] | None) -> Answer:
    """Delete one row or several; answers the keys as they were given, or those that a query selected."""
    user = person(user_id)
    if key is not None:
        items.delete(user, name, keys=[key])
        return Answer(key)
    if keys is not None:
        items.delete(user, name, keys=keys)
        return Answer(keys)
    if query is None:
        raise InvalidPayloadError("an id, ids, or a query")
    return Answer(items.delete(user, name, **_selected(user, name, None, query)))


def _selected(user: Any, name: str, keys: Any, query: Mapping[str, Any]) -> dict[str, Any]:
    """The rows of some keys, or those that a query selects."""
    if keys is not None:
        return {"keys": keys}
    if not query.get("filter") and not query.get("search"):
        raise InvalidPayloadError("an id, ids, or a query with a filter")
    return {"matching": view_of(user, name, query).rows}


def _rows(seen: View, page: Page, now: dt.datetime) -> list[Row]:
    return reading.shown(seen, reading.rows_of(seen, page, now), now)


def _again(user_id: int | None, name: str, keys: Sequence[Value], query: Mapping[str, Any]) -> list[Row]:
    """Rows that were written, as they are now; those that may not be read are left out."""
    asked = {"fields": query["fields"]} if query.get("fields") is not None else {}
    with one_moment():
        now = dt.datetime.now(dt.UTC)
        seen = view_of(person(user_id), name, _within(name, asked, keys))
        found = reading.rows_of(seen, Page(len(keys)), now)
        by_key = {seen.table.key_of(row): row for row in found}
        return reading.shown(seen, [by_key[key] for key in keys if key in by_key], now)


def _within(name: str, query: Mapping[str, Any], keys: Sequence[Any]) -> dict[str, Any]:
    """A query for rows of some keys alone."""
    key = opened(name).table.key[0]
    return {**query, "filter": {key: {"_in": [str(each) for each in keys] or ["-1"]}}}
