"""Subscriptions to changes: what a client's `postgres_changes` mean, and the frames that they are told in."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NamedTuple

import msgspec

from changes.errors import UnknownCollectionError
from changes.filters import Field, Problem, QueryError, Readable, Table, View
from changes.opened import everything_opened, opened
from changes.registry import topic_of
from changes.watches import Change, change_of, person, readable_to
from realtime import Delivery, Frame, Payload, Position, log, one_moment
from supabase import filters, rows
from supabase.socket.frames import Version

#: Subscriptions of one channel.
MAX_BINDINGS = 100
_EVENTS = {"INSERT", "UPDATE", "DELETE"}


@dataclass(frozen=True)
class Binding:
    """One subscription of a channel: the rows and columns, the events, and the number it is told under."""

    id: int
    #: `INSERT`, `UPDATE`, `DELETE`, or `*` for all.
    event: str
    view: View

    def __hash__(self) -> int:
        return hash((self.id, self.event, self.view))


class Bindings(NamedTuple):
    """The subscriptions of a channel to one collection, and the position from which they are live."""

    topic: str
    bindings: tuple[Binding, ...]
    place: Position


def bound(user_id: int | None, asked: Sequence[Mapping[str, Any]]) -> list[Bindings]:
    """What a user may see of these subscriptions; a QueryError says what is wrong with one.

    They are live from these positions on: whoever is told of it afterwards misses nothing. Uses the database.
    """
    if len(asked) > MAX_BINDINGS:
        raise QueryError(f"A channel has at most {MAX_BINDINGS} subscriptions.", Problem.TOO_LARGE)
    everything_opened()  # before the moment: it may read the shapes of tables
    with one_moment():
        user = person(user_id)
        found = [
            (table, Binding(number, event, view))
            for number, each in enumerate(asked, 1)
            for event in [_event(each.get("event"))]
            for table, view in _views(user, each)
        ]
        places = log.ends({topic_of(table) for table, _ in found})
    found.sort(key=lambda each: each[0])
    return [
        Bindings(topic_of(table), tuple(binding for _, binding in group), places[topic_of(table)])
        for table, group in groupby(found, key=lambda each: each[0])
    ]


def _event(given: Any) -> str:
    event = str(given).upper()
    return event if event in _EVENTS else "*"


def _views(user: Any, asked: Mapping[str, Any]) -> Iterable[tuple[str, View]]:
    """The views of one subscription: of one collection, or of all that may be read."""
    schema, name, text, select = (asked.get(key) for key in ("schema", "table", "filter", "select"))
    if schema is None and name is None:
        raise _wrong("a schema or a table must be named")
    if schema not in (None, "*", rows.SCHEMA):
        raise _wrong(f"there is no schema {str(schema)[:60]!r}")
    if name not in (None, "*"):
        try:
            yield str(name), _view(user, str(name), text, select)
        except UnknownCollectionError:
            raise _wrong(f"there is no table {str(name)[:60]!r}, or it is not yours to read") from None
        return
    if text or select:
        raise _wrong("a filter or a selection needs a table")
    for each in everything_opened():
        try:
            yield each, _view(user, each, None, None)
        except UnknownCollectionError:
            continue


def _view(user: Any, name: str, text: Any, select: Any) -> View:
    readable = readable_to(user, name)
    table = opened(name).table
    condition = filters.parse(_text(text), table, readable)
    return View(
        table=table,
        readable=readable,
        rows=readable.matching(condition),
        fields=_selected(select, table, readable),
        sort=(),
    )


def _text(given: Any) -> str:
    if not isinstance(given, str | None):
        raise _wrong("a filter is a text")
    return given or ""


def _selected(select: Any, table: Table, readable: Readable) -> tuple[Field, ...]:
    if select is None:
        return tuple(Field(column) for column in table.columns if column.name in readable.fields)
    if not isinstance(select, list) or not all(isinstance(name, str) for name in select):
        raise _wrong("a selection is a list of names")
    wanted = {filters.column_of(name, table, readable).name for name in select} | set(table.key)
    return tuple(
        Field(column) for column in table.columns if column.name in wanted and column.name in readable.fields
    )


def _wrong(what: str) -> QueryError:
    return QueryError(f"Unable to subscribe to changes with given parameters: {what}")


# --- frames -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ChangeFrames:
    """The rendering for all channels of a name that have the same subscriptions and see the same."""

    version: Version
    #: The channel's, as clients write it.
    topic: str
    bindings: tuple[Binding, ...]

    def render(self, write: Sequence[Delivery]) -> Iterable[Frame]:
        now = dt.datetime.now(dt.UTC)
        for delivery in write:
            if delivery.type == "row_changed":
                for payload in self._payloads(delivery, now):
                    yield Frame(payload)

    def _payloads(self, delivery: Delivery, now: dt.datetime) -> Iterable[Payload]:
        table = self.bindings[0].view.table
        change = change_of(table, delivery.body)
        kind = "INSERT" if change.old is None else "DELETE" if change.new is None else "UPDATE"
        # The row as it is: an update that takes it out of a filter is not told. One that is gone, as it was.
        row = change.old if change.new is None else change.new
        assert row is not None
        fitting = [each for each in self.bindings if each.event in ("*", kind) and each.view.has(row, now)]
        for view, group in _by_what_they_show(fitting):
            said = _Change([each.id for each in group], _data(view, kind, change, now))
            yield self.version.write(self.topic, "postgres_changes", rows.encode(said).decode())


def _data(view: View, kind: str, change: Change, now: dt.datetime) -> dict[str, Any]:
    names, types = rows.names_of(view.table), rows.columns_of(view.table)
    data: dict[str, Any] = {
        "schema": rows.SCHEMA,
        "table": view.table.name,
        "type": kind,
        "commit_timestamp": _moment(change.at),
        "columns": [{"name": names[field.name], "type": types[field.name]} for field in view.fields],
    }
    if change.new is not None:
        data["record"] = rows.record(view, change.new, now)
    if change.old is not None:
        data["old_record"] = rows.key_of(view.table, change.old)
    return data | {"errors": None}


class _Change(msgspec.Struct):
    ids: list[int]
    data: dict[str, Any]


def _by_what_they_show(bindings: Iterable[Binding]) -> Iterable[tuple[View, list[Binding]]]:
    """Subscriptions that are shown the same of a row, together."""
    groups: dict[tuple[Any, ...], list[Binding]] = {}
    for binding in bindings:
        groups.setdefault((binding.view.fields, binding.view.readable), []).append(binding)
    return [(group[0].view, group) for group in groups.values()]


def _moment(at: int) -> str:
    moment = dt.datetime.fromtimestamp(at / 1000, dt.UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{at % 1000:03}Z"
