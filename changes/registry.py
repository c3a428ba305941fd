"""The registry of collections: tables whose changes are noted, under the names that clients use.

An app declares its own in `watched.py`, which is found as `admin.py` is. Nothing is checked here: system
checks name the mistakes of all apps at once (`checks`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from django.db.models import Model

from changes.rights import ALL_FIELDS, Right
from realtime import foreign_topic


@dataclass(frozen=True, eq=False)
class Collection:
    """A table whose changes are noted."""

    name: str
    table: str
    #: None: a table that only the database knows.
    model: type[Model] | None
    #: The names of its fields; None: all that the table has.
    fields: tuple[str, ...] | None
    rights: tuple[Right, ...]
    #: The fields whose related rows go along with a change.
    follows: tuple[str, ...] = ()

    @cached_property
    def topic(self) -> str:
        """The durable topic of its changes; its events hold whole rows: no client is sent them."""
        return topic_of(self.name)


_collections: list[Collection] = []


def watch(
    model: type[Model],
    *,
    name: str,
    fields: Iterable[str] | Literal["*"],
    rights: Iterable[Right] = (),
    follows: Iterable[str] = (),
) -> Collection:
    """Note every change of a model's rows, and tell the topic `collection.<name>`.

    `fields` are the fields of the model that are noted; no client ever sees another one.
    """
    table = model._meta.db_table  # noqa: SLF001 - documented, in spite of its name
    return _register(Collection(name, table, model, _names(fields), tuple(rights), tuple(follows)))


def watch_table(
    table: str,
    *,
    name: str,
    fields: Iterable[str] | Literal["*"],
    rights: Iterable[Right] = (),
    follows: Iterable[str] = (),
) -> Collection:
    """Note every change of a table that no model describes; the database knows its columns, key and types."""
    return _register(Collection(name, table, None, _names(fields), tuple(rights), tuple(follows)))


def _names(fields: Iterable[str] | Literal["*"]) -> tuple[str, ...] | None:
    return None if fields == ALL_FIELDS else tuple(fields)


def _register(collection: Collection) -> Collection:
    _collections.append(collection)
    return collection


def collections() -> list[Collection]:
    """All collections, in the order of their declaration."""
    return list(_collections)


def topic_of(name: str) -> str:
    """The topic of the collection of that name."""
    return foreign_topic("collection", name)
