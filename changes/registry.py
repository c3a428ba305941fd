"""The registry of what apps watch: collections, under the names that clients use, and rights sources.

An app declares its own in `watched.py`, which is found as `admin.py` is. Nothing is checked here: system
checks name the mistakes of all apps at once (`checks`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from django.db.models import Model

from changes.rights import ALL_FIELDS, Right
from realtime import foreign_topic

#: The longest name: PostgreSQL cuts names of triggers, which contain it, at 63 bytes.
MAX_NAME_LENGTH = 40


@dataclass(frozen=True, eq=False)
class Watched:
    """A table whose changes are noted."""

    #: What its notes are called.
    name: str
    table: str
    #: None: a table that only the database knows.
    model: type[Model] | None
    #: The names of the fields whose changes are noted; None: all that the table has.
    fields: tuple[str, ...] | None

    @property
    def kept(self) -> tuple[str, ...] | None:
        """The names of the fields that a note keeps of a row; None: all of them."""
        return None

    @property
    def notes_new_rows(self) -> bool:
        """Whether a row is noted when it is created."""
        return True

    @property
    def notes_every_update(self) -> bool:
        """Whether an update is noted that leaves all of the fields as they were."""
        return True


@dataclass(frozen=True, eq=False)
class Collection(Watched):
    """A table that clients watch."""

    rights: tuple[Right, ...]
    #: The fields whose related rows go along with a change.
    follows: tuple[str, ...] = ()

    @cached_property
    def topic(self) -> str:
        """The durable topic of its changes; its events hold whole rows: no client is sent them."""
        return topic_of(self.name)


#: What the name of a rights source begins with, and that of no collection.
SOURCE_PREFIX = "$"


@dataclass(frozen=True, eq=False)
class RightsSource(Watched):
    """A table whose rows decide what users may do, with all that was declared of it by `watch_rights`."""

    model: type[Model]
    fields: tuple[str, ...]
    #: The field with the user whose rights a row alters; None: everybody's.
    user: str | None

    @property
    def kept(self) -> tuple[str, ...]:
        return (self.user,) if self.user else ()

    @property
    def notes_new_rows(self) -> bool:
        # Nobody watches yet as a user who did not exist.
        return self.user != self.model._meta.pk.name  # noqa: SLF001 - documented, in spite of its name

    @property
    def notes_every_update(self) -> bool:
        return False


_collections: list[Collection] = []
#: The model, the field with the user, and the fields, as they were declared.
_sources: list[tuple[type[Model], str | None, tuple[str, ...]]] = []


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


def watch_rights(model: type[Model], *, user: str | None, fields: Iterable[str]) -> None:
    """Look at rights again when rows of a model change that decide them, in these fields.

    `user` is the field with the user whose rights a row alters: a foreign key, or the primary key of the
    users themselves; None means everybody. `changes.watched` has those of every app.
    """
    _sources.append((model, user, tuple(fields)))


def _names(fields: Iterable[str] | Literal["*"]) -> tuple[str, ...] | None:
    return None if fields == ALL_FIELDS else tuple(fields)


def _register(collection: Collection) -> Collection:
    _collections.append(collection)
    return collection


def collections() -> list[Collection]:
    """All collections, in the order of their declaration."""
    return list(_collections)


def rights_sources() -> list[RightsSource]:
    """All rights sources; what several apps declare of one table and user is one."""
    fields: dict[tuple[type[Model], str | None], tuple[str, ...]] = {}
    for model, user, names in _sources:
        own = (user,) if user else ()
        fields[model, user] = tuple(dict.fromkeys((*fields.get((model, user), own), *names)))
    return [_source(model, user, names) for (model, user), names in fields.items()]


def _source(model: type[Model], user: str | None, fields: tuple[str, ...]) -> RightsSource:
    options = model._meta  # noqa: SLF001 - documented, in spite of its name
    name = "$".join(("", *options.label_lower.split("."), *([user] if user else ())))
    if len(name) > MAX_NAME_LENGTH:
        digest = hashlib.sha256(name.encode()).hexdigest()[:8]
        name = f"{name[: MAX_NAME_LENGTH - 9]}${digest}"
    return RightsSource(name, options.db_table, model, fields, user)


def topic_of(name: str) -> str:
    """The topic of the collection of that name."""
    return foreign_topic("collection", name)
