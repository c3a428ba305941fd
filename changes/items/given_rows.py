"""The rows of a call as they were given, checked field by field before the database sees them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as member
from typing import Any, Protocol

from django.db import connection

from changes.filters.values import Value
from changes.items.errors import InvalidRowError, ProblemKind, RowProblem, TooManyRowsError, shown_value
from changes.items.given_values import UnfitValueError, size_of, value_for
from changes.items.target import Target
from changes.shapes import Field

#: Rows written by one call: as many take a database some hundred milliseconds, during which SQLite lets
#: nobody else write.
MAX_ROWS = 1_000
#: Bytes of the values of all rows that one call writes; a longer value would not be told (`rows.LONGEST`).
MAX_BYTES = 1024 * 1024


class Store(Protocol):
    """The rows of a table, as a place for values."""

    def refuses(self, field: Field) -> str | None:
        """Why the field takes no value at all; None where it does."""

    def adapted(self, field: Field, value: Any) -> Any:
        """A value of the field's kind, not None, as it is written; an UnfitValueError if it cannot be."""


@dataclass
class GivenRow:
    """A row under way."""

    #: Its number in the call, from 0.
    number: int
    #: The values as given, by field, without the key of an update.
    given: Mapping[str, Any]
    #: The same as columns hold them; None for null.
    values: dict[str, Any] = member(default_factory=dict)
    #: Of an update: which row.
    key: Value = None

    def problem(self, kind: ProblemKind, message: str, name: str | None = None, rule: str = "") -> RowProblem:
        """A problem of this row."""
        return RowProblem(kind, message, name, self.given.get(name) if name else None, rule, self.number)


def listed(given: Any) -> list[Mapping[str, Any]]:
    """The rows of a call, one or several, if they are objects and not too many."""
    rows = [given] if isinstance(given, Mapping) else given
    if not isinstance(rows, Sequence) or isinstance(rows, str | bytes):
        rows = [rows]
    bound(len(rows), sum(map(size_of, rows)))
    if wrong := [number for number, row in enumerate(rows) if not isinstance(row, Mapping)]:
        raise InvalidRowError(
            RowProblem(ProblemKind.VALUE, f"A row is an object, not {shown_value(rows[at])}.", row=at)
            for at in wrong
        )
    return list(rows)


def bound(rows: int, size: int = 0) -> None:
    """Refuse more rows, or more bytes of values, than are written at once."""
    if rows > MAX_ROWS:
        raise TooManyRowsError(f"At most {MAX_ROWS:,} rows can be written at once.")
    if size > MAX_BYTES:
        raise TooManyRowsError(f"At most {MAX_BYTES:,} bytes of values can be written at once.")


def convert(target: Target, rows: Iterable[GivenRow], store: Store) -> list[RowProblem]:
    """Give rows their values as columns hold them; returns what is wrong with those that are none.

    A field that may not be written is a QueryError.
    """
    return [problem for row in rows for problem in _converted(target, row, store)]


def _converted(target: Target, row: GivenRow, store: Store) -> Iterator[RowProblem]:
    for field in [target.field(name) for name in row.given]:
        given = row.given[field.name]
        try:
            row.values[field.name] = _value(field, given, store)
        except UnfitValueError as error:
            message = f"{field.name} takes {error.what}, not {shown_value(given)}."
            yield row.problem(error.kind, message, field.name)


def _value(field: Field, given: Any, store: Store) -> Any:
    if why := store.refuses(field):
        raise UnfitValueError(f"no value: {why}")
    if given is None:
        return None
    return store.adapted(field, value_for(field, given, on_sqlite=connection.vendor == "sqlite"))
