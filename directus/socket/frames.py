"""Frames of subscriptions: rows that there are, and changes, each encoded once for all who watch the same."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import msgspec

from changes.filters import ENCODER, Seen, Sight, sorted_rows
from changes.filters.values import Value
from changes.watches import Told, Watch, change_of
from realtime import Payload


def encode(said: Any) -> str:
    """A frame as JSON, with values of rows in it."""
    return ENCODER.encode(said).decode()


@dataclass(frozen=True, slots=True)
class ChangeFrames:
    """The frames of changes for subscriptions of one kind, without their `uid`.

    Rows that were created are told one by one, those that one statement updated or deleted together. A row
    that enters a filter is told as updated; one that leaves it is not told.
    """

    #: The one event that is asked for; None for all.
    event: str | None = None
    #: Whether the subscription is to one row: its data is no list.
    is_one: bool = False
    #: Whether each row is told by itself, as an object.
    is_flat: bool = False

    def __call__(self, watch: Watch, told: Sequence[Told]) -> Iterable[Payload]:
        wanted = [each for each in told if self._is_told(each.seen)]
        for change, group in groupby(wanted, key=lambda each: each.seen.change):
            rows = [each.seen for each in self._in_order(watch, change, list(group))]
            together = change is not Sight.CREATE and not self.is_one and not self.is_flat
            for some in [rows] if together else [[row] for row in rows]:
                yield encode(self._frame(watch, change, some))

    def _in_order(self, watch: Watch, change: Sight, told: list[Told]) -> list[Told]:
        """The rows that a frame tells together, by the sort of the subscription."""
        if change is not Sight.UPDATE or len(told) < 2 or not watch.view.sort:
            return told
        found = [(change_of(watch.view.table, each.delivery.body).new, each) for each in told]
        by_row = {id(row): each for row, each in found}
        return [by_row[id(row)] for row in sorted_rows((row for row, _ in found if row), watch.view.sort)]

    def _is_told(self, seen: Seen) -> bool:
        has_left = seen.event is Sight.DELETE and seen.change is not Sight.DELETE
        return not has_left and self.event in (None, seen.change.value)

    def _frame(self, watch: Watch, change: Sight, rows: list[Seen]) -> dict[str, Any]:
        said = {"type": "subscription", "event": change.value, "collection": watch.collection}
        keys = [row.key for row in rows]
        if change is not Sight.DELETE:
            return said | {"data": rows[0].row if self.is_one or self.is_flat else [row.row for row in rows]}
        more: dict[str, Any] = {"keys": keys}
        if len(keys) == 1:
            more["key"] = keys[0]
        if self.is_flat:
            name = watch.view.table.key[0]
            return said | {"data": {"id": keys[0], name: keys[0]}} | more
        if self.is_one:
            return said | {"data": _as_text(keys[0])} | more
        return said | {"data": keys} | more


@dataclass(frozen=True, slots=True)
class Uid:
    """The envelope of a subscription: the `uid` by which its client knows it, as the last member."""

    uid: str

    def wrap(self, payload: Payload) -> Payload:
        assert isinstance(payload, str), "frames of this dialect are texts"
        return f'{payload[:-1]},"uid":{encode(self.uid)}}}'


def _as_text(key: Value) -> str:
    text = encode(key)
    return str(msgspec.json.decode(text)) if text.startswith('"') else text
