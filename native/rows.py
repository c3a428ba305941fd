"""Which rows a client means: the query of a subscription to rows, and of commands on them."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Protocol

import msgspec
from msgspec import Meta

#: A list of names, or a text with commas; related rows are objects: `{"author": ["name"]}`.
Fields = Annotated[
    list[str | dict[str, Any]] | str,
    Meta(description="The fields to show; all that may be read, where they are left out.", examples=[["id"]]),
]
Filter = Annotated[
    dict[str, Any] | str,
    Meta(description="The rows that are meant: `docs/filters.md`.", examples=[{"status": {"_eq": "open"}}]),
]
Sort = Annotated[list[str] | str, Meta(description="Fields to sort by; `-` turns round.", examples=[["-id"]])]
Search = Annotated[str, Meta(description="A text that one of their fields has.", examples=["lamp"])]
Key = Annotated[str | int, Meta(description="The primary key of the one row that is meant.", examples=[7])]


class RowQuery(msgspec.Struct):
    """Which rows of a collection are meant, and which of their changes."""

    fields: Fields | None = None
    filter: Filter | None = None
    search: Search | None = None
    sort: Sort | None = None
    key: Key | None = None
    events: (
        Annotated[
            list[Literal["create", "update", "delete"]],
            Meta(description="The events to send; all, where they are left out.", min_length=1),
        ]
        | None
    ) = None


class Asking(Protocol):
    """What says which rows are meant."""

    fields: Fields | None
    filter: Filter | None
    search: Search | None
    sort: Sort | None


def asked(query: Asking) -> dict[str, Any]:
    """What is asked of rows, by the names of the language of filters."""
    found = {"fields": query.fields, "filter": query.filter, "search": query.search, "sort": query.sort}
    return {name: value for name, value in found.items() if value is not None}
