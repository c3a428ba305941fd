"""What watchers of a collection are told on the native socket."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta
from rest_framework import serializers

from changes.filters import ENCODER, Sight
from changes.watches import Told, Watch
from realtime import Event, Payload, events, positions

Write = Annotated[str, Meta(description="The same for the rows that one statement changed.", examples=["1f"])]
Change = Annotated[
    Literal["create", "update", "delete"],
    Meta(description="What was done to the table: an update may bring a row into the filter, or out of it."),
]
Key = Annotated[
    Any, Meta(description="The primary key: a value, or a list where it has several columns.", examples=[7])
]
Shown = Annotated[
    dict[str, Any], Meta(description="The fields that were asked for and may be read.", examples=[{"id": 7}])
]


class RowCreated(Event, tag="row_created", frozen=True):
    """A row is new to the subscription: it was created, or an update brought it into the filter."""

    write: Write
    change: Change
    key: Key
    row: Shown
    seq: int = 0


class RowUpdated(Event, tag="row_updated", frozen=True):
    """A row of the subscription was updated."""

    write: Write
    change: Change
    key: Key
    row: Shown
    seq: int = 0


class RowDeleted(Event, tag="row_deleted", frozen=True):
    """A row is gone from the subscription, shown as it was: it was deleted, or an update took it out."""

    write: Write
    change: Change
    key: Key
    row: Shown
    seq: int = 0


_TOLD = {Sight.CREATE: RowCreated, Sight.UPDATE: RowUpdated, Sight.DELETE: RowDeleted}


@dataclass(frozen=True, slots=True)
class RowFrames:
    """One frame for each row."""

    def __call__(self, watch: Watch, told: Sequence[Told]) -> Iterable[Payload]:
        for seen, delivery in told:
            seq = delivery.seq or 0
            event = _TOLD[seen.event](
                write=delivery.write,
                change=seen.change.value,
                key=msgspec.Raw(ENCODER.encode(seen.key)),
                row=msgspec.Raw(ENCODER.encode(seen.row)),  # type: ignore[arg-type]  # it is that as JSON
                seq=seq,
            )
            yield positions.placed(events.encode(event), seq, positions.mark_in(delivery.body))


ROW_FRAMES = RowFrames()


class RowsSerializer(serializers.Serializer[Any]):
    """A page of rows."""

    results = serializers.ListField(
        child=serializers.DictField(), help_text="The rows, in the order that was asked for."
    )
    has_more = serializers.BooleanField(help_text="Whether there are more than these.")
    total = serializers.IntegerField(
        allow_null=True, help_text="The number of rows that may be read, where that was asked for."
    )
    matching = serializers.IntegerField(
        allow_null=True, help_text="The number of those that match, where that was asked for."
    )


class KeysSerializer(serializers.Serializer[Any]):
    """The rows that were written."""

    keys = serializers.ListField(child=serializers.JSONField(), help_text="Their primary keys.")
