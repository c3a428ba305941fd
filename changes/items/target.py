"""A target: a collection that a user writes to, with what the user may do there, at one moment."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import msgspec
from django.db import connection

from changes import shapes
from changes.errors import UnknownCollectionError
from changes.filters import (
    AllOf,
    AnyOf,
    Check,
    Comparison,
    Condition,
    Field,
    Kind,
    Readable,
    Related,
    Relation,
    SortKey,
    Sql,
    Table,
    all_of,
    any_of,
    bound,
    order_by,
    parse_filter,
    where,
)
from changes.filters.asked import value_from_filter
from changes.filters.conditions import needs
from changes.filters.values import UNREADABLE, Value
from changes.filters.vendors import quoted
from changes.items.errors import RowNotAllowedError, RowNotFoundError, unwritable_field
from changes.items.given_values import UnfitValueError, value_for
from changes.opened import Opened, opened
from changes.permitted import permitted, user_values
from changes.rights import Action
from changes.rows import postgresql_columns, row_as_json, sqlite_object
from changes.user_values import variables
from realtime import NotAllowedError

#: The table in the statements here.
ALIAS = "row_"
#: Keys of several columns in one condition: SQLite nests a thousand levels, and an OR is one.
KEYS_TOGETHER = 200


@dataclass(frozen=True)
class Target:
    """Made by `target`."""

    opened: Opened
    user: Any
    readable: Readable
    #: What the action may be done to: rows, and fields that may be given.
    permitted: Readable
    now: dt.datetime = field(default_factory=lambda: dt.datetime.now(dt.UTC))

    @property
    def table(self) -> Table:
        return self.opened.table

    @property
    def name(self) -> str:
        """The name of the collection."""
        return self.opened.collection.name

    @cached_property
    def fields(self) -> Mapping[str, shapes.Field]:
        """The fields of the collection by name."""
        return {each.name: each for each in self.opened.shape.fields}

    def field(self, name: Any) -> shapes.Field:
        """The field that a writer names; a QueryError if it may not be written in any row."""
        if not isinstance(name, str) or name not in self.permitted.fields:
            raise unwritable_field(name)
        return self.fields[name]

    @cached_property
    def known_fields(self) -> frozenset[str]:
        """The fields that an error may name."""
        return self.readable.fields | self.permitted.fields

    # ── conditions ───────────────────────────────────────────────────────────────────────────────────────

    def rule(self, names: Iterable[str] = ()) -> Condition:
        """The rows to which the action may be done, with these fields."""
        return all_of(self.permitted.rows, *map(self.permitted.guard, sorted(names)))

    def filtered(self, given: Any) -> Condition:
        """The rows that may be read and match: a filter as a client writes it, or a bound condition."""
        if not isinstance(given, Comparison | Related | AllOf | AnyOf):
            given = parse_filter(
                given,
                self.table,
                readable=self.readable.fields,
                variables=variables(),
                related=self._readable_at,
            )
            given = bound(given, user_values(self.user))
        return self.readable.matching(given)

    def _readable_at(self, relation: Relation) -> Readable:
        return permitted(Action.READ, opened(relation.table.name), self.user)

    # ── keys ─────────────────────────────────────────────────────────────────────────────────────────────

    def key(self, given: Any) -> Value:
        """A key that a client names: a value, or one for each column; RowNotFoundError if it is none."""
        fields = self.opened.shape.key
        parts: Sequence[Any]
        if len(fields) == 1:
            parts = [given]
        elif isinstance(given, Mapping):
            parts = [given.get(name) for name in self.table.key]
        else:
            parts = given if isinstance(given, list | tuple) else []
        if len(parts) != len(fields):
            raise RowNotFoundError
        values = tuple(
            _key_part(field, self.table.by_name[field.name].kind, part)
            for field, part in zip(fields, parts, strict=True)
        )
        return values if len(values) > 1 else values[0]

    def is_key_part(self, name: str, given: Any, part: Value) -> bool:
        """Whether what is given for a field of the key is that part of it."""
        try:
            return bool(_key_part(self.fields[name], self.table.by_name[name].kind, given) == part)
        except RowNotFoundError:
            return False

    def have(self, keys: Sequence[Value]) -> list[Condition]:
        """The rows that have these keys; several conditions, where one would be too large."""
        columns = [Field(self.table.by_name[name]) for name in self.table.key]
        if len(columns) == 1:
            return [Comparison(columns[0], Check.IN, tuple(keys))]
        each = [
            all_of(
                *(Comparison(column, Check.EQUAL, part) for column, part in zip(columns, key, strict=True))
            )
            for key in keys
        ]
        return [any_of(*each[at : at + KEYS_TOGETHER]) for at in range(0, len(each), KEYS_TOGETHER)]

    # ── rows ─────────────────────────────────────────────────────────────────────────────────────────────

    def lock(self, condition: Condition, *, limit: int, for_delete: bool = False) -> list[Value]:
        """The keys of the rows that match, in order; nobody else changes them before the end.

        PostgreSQL waits for who is changing one, and looks again whether it matches. At related rows it does
        not look again then, so that is asked anew.
        """
        if connection.vendor == "sqlite":  # its one writer is us
            return self._keys(condition, f" LIMIT {limit}")
        strength = "UPDATE" if for_delete else "NO KEY UPDATE"
        keys = self._keys(condition, f" LIMIT {limit} FOR {strength} OF {ALIAS}")
        if needs(condition):
            return self.matching(condition, keys)
        return keys

    def require(self, condition: Condition, keys: Iterable[Value]) -> None:
        """Raise RowNotAllowedError unless all rows of these keys match."""
        distinct = list(dict.fromkeys(keys))
        if None in distinct or len(self.matching(condition, distinct)) < len(distinct):
            raise RowNotAllowedError

    def matching(self, condition: Condition, keys: Sequence[Value]) -> list[Value]:
        """Those of the keys whose rows match."""
        return [key for part in self.have(keys) for key in self._keys(all_of(condition, part))]

    def _keys(self, condition: Condition, behind: str = "") -> list[Value]:
        if condition == AnyOf(()):
            return []
        vendor = connection.vendor
        matching = where(condition, vendor=vendor, alias=ALIAS, now=self.now)
        order = order_by(
            tuple(SortKey(self.table.by_name[name]) for name in self.table.key), vendor=vendor, alias=ALIAS
        )
        found = Sql(f"FROM {quoted(self.table.stored_as)} AS {ALIAS} WHERE ").then(
            f"{matching.text} ORDER BY {order.text}{behind}", *matching.parameters
        )
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT {self.key_as_json()} {found.text}", found.parameters)
            keys = [self.key_in(text) for (text,) in cursor.fetchall()]
        # What SQLite holds in spite of the column's kind, no key can name.
        return [key for key in keys if key is not None]

    def key_as_json(self, alias: str = ALIAS) -> str:
        """An expression for a row's key as JSON, as `key_in` reads it."""
        key = self.opened.shape.key
        if connection.vendor == "sqlite":
            only_key = shapes.Shape(self.opened.shape.table, key, key)
            # As bytes: SQLite keeps texts that are none, and its driver would refuse them.
            return f"CAST({sqlite_object(only_key, alias).replace('%', '%%')} AS BLOB)"
        columns = postgresql_columns(key, alias).replace("%", "%%")
        return f"(SELECT row_to_json(key_.*)::text FROM (SELECT {columns}) AS key_)"  # noqa: S608 - quoted

    def key_in(self, text: str | bytes) -> Value | None:
        """The key in what that expression gave; None for one that cannot be named."""
        row = self.table.row(row_as_json(text))
        return self.key_of({name: row[name] for name in self.table.key})

    def key_of(self, values: Mapping[str, Value]) -> Value | None:
        """The key among the values of a row; None for one that cannot be named."""
        parts = tuple(_plain(values[name]) for name in self.table.key)
        if any(part is None or part is UNREADABLE for part in parts):
            return None
        return parts if len(parts) > 1 else parts[0]


def _key_part(field: shapes.Field, kind: Kind, given: Any) -> Value:
    try:
        if kind is Kind.OTHER:
            return _scalar(given)
        if kind is Kind.BYTES:
            return value_for(field, given, on_sqlite=False)
        return value_from_filter(kind, given)
    except (ValueError, KeyError, UnfitValueError):
        raise RowNotFoundError from None


def _plain(part: Value) -> Value:
    return _scalar(msgspec.json.decode(part)) if isinstance(part, msgspec.Raw) else part


def _scalar(part: Any) -> Value:
    """A part of a key of no known kind; None for one that cannot be named."""
    if not isinstance(part, str | int | float):
        return None
    # PostgreSQL makes of a text what it is; to SQLite a number is another key than its text.
    return str(part) if connection.vendor == "postgresql" else part


def target(action: Action, name: str, user: Any) -> Target:
    """What a user may do in a collection. Who may neither do this nor read there is told of no collection."""
    of = opened(name)
    readable, allowed = permitted(Action.READ, of, user), permitted(action, of, user)
    if not allowed.policies:
        if not readable.policies:
            raise UnknownCollectionError
        raise NotAllowedError(f"You may not {action} rows of {name}.")
    return Target(of, user, readable, allowed)
