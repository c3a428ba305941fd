"""Commands of the native socket that write rows of collections; each is all of its rows, or none."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from accounts.models import User
from changes import items
from changes.filters import ENCODER
from changes.native.asking import CollectionName
from changes.native.frames import KeysSerializer
from changes.watches import person, view_of
from native.commands import in_thread
from native.rows import Filter, Key
from realtime import InvalidInputError

Values = Annotated[
    dict[str, Any],
    Meta(description="The fields to write, by name.", examples=[{"customer_name": "Ana", "total": "49.90"}]),
]
Keys = Annotated[
    list[Key], Meta(description="The primary keys of the rows that are meant.", max_length=items.MAX_ROWS)
]


class CreateRows(msgspec.Struct):
    """Create a row, or several."""

    collection: CollectionName
    values: Values | Annotated[list[Values], Meta(max_length=items.MAX_ROWS)]


class UpdateRows(msgspec.Struct):
    """Write the same values to the rows of some keys, or to those that match a filter."""

    collection: CollectionName
    values: Values
    keys: Keys | None = None
    filter: Filter | None = None


class DeleteRows(msgspec.Struct):
    """Delete the rows of some keys, or those that match a filter."""

    collection: CollectionName
    keys: Keys | None = None
    filter: Filter | None = None


@in_thread("rows.create", CreateRows, shows=KeysSerializer)
def create(user: User, wish: CreateRows) -> msgspec.Raw:
    return _told(items.create(person(user.pk), wish.collection, wish.values))


@in_thread("rows.update", UpdateRows, shows=KeysSerializer)
def update(user: User, wish: UpdateRows) -> msgspec.Raw:
    found = person(user.pk)
    return _told(items.update(found, wish.collection, wish.values, **_meant(found, wish)))


@in_thread("rows.delete", DeleteRows, shows=KeysSerializer)
def delete(user: User, wish: DeleteRows) -> msgspec.Raw:
    found = person(user.pk)
    return _told(items.delete(found, wish.collection, **_meant(found, wish)))


def _meant(user: User | None, wish: UpdateRows | DeleteRows) -> dict[str, Any]:
    """The rows that are meant: never all of them by accident."""
    if (wish.keys is None) == (not wish.filter):
        raise InvalidInputError("Name the rows: either `keys`, or a `filter` that says something.")
    if wish.keys is not None:
        return {"keys": wish.keys}
    return {"matching": view_of(user, wish.collection, {"filter": wish.filter}).rows}


def _told(keys: list[Any]) -> msgspec.Raw:
    return msgspec.Raw(ENCODER.encode({"keys": keys}))
