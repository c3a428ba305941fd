"""What a `subscribe` frame asks, typed or as newer clients write it: as texts, as in an address."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from changes.filters import Page
from changes.watches import Question
from directus.errors import InvalidPayloadError, InvalidQueryError
from directus.queries import counts_in, page_of

_EVENTS = ("create", "update", "delete")
#: Members of a query that would change what an event is about.
_REFUSED = ("aggregate", "group", "groupBy")


@dataclass(frozen=True, slots=True)
class Wish:
    """A subscription as it was asked for."""

    question: Question
    page: Page
    #: The one event that is asked for; None for all, which begins with the rows that there are.
    event: str | None
    #: Whether the counts of rows are asked for.
    counts: tuple[str, ...]
    #: Whether the client is one of the Dart package, which reads frames of its own.
    is_flat: bool = False


def wish_of(fields: Mapping[str, Any]) -> Wish:
    """Read a `subscribe` frame; InvalidPayloadError and InvalidQueryError name what is wrong."""
    inner = fields.get("data")
    is_flat = "collection" not in fields and isinstance(inner, dict)
    said = inner if is_flat and isinstance(inner, dict) else fields
    collection, event, item, query = (said.get(name) for name in ("collection", "event", "item", "query"))
    if not isinstance(collection, str):
        raise InvalidPayloadError("`collection` is the name of a collection")
    if event is not None and event not in _EVENTS:
        raise InvalidPayloadError(f"`event` is one of {', '.join(_EVENTS)}")
    if item is not None and (isinstance(item, bool) or not isinstance(item, str | int)):
        raise InvalidPayloadError("`item` is a key: a text or a number")
    if not isinstance(query, dict | None):
        raise InvalidPayloadError("`query` is an object")
    query = query or {}
    if refused := [name for name in _REFUSED if query.get(name)]:
        raise InvalidQueryError(f"{refused[0]} cannot be watched")
    return Wish(
        Question(collection, {name: query[name] for name in _ASKED if query.get(name) is not None}, key=item),
        page_of(query),
        event,
        counts_in(query.get("meta")),
        is_flat,
    )


_ASKED = ("fields", "filter", "search", "sort")
