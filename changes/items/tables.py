"""Rows of a table without a model, written by SQL: what is not given is what the database makes of it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from django.db import connection

from changes import filters, shapes
from changes.filters import Sql, where
from changes.filters.values import Value
from changes.filters.vendors import VENDORS, quoted
from changes.items.errors import InvalidRowError, RowNotAllowedError, RowProblem
from changes.items.given_rows import GivenRow
from changes.items.given_values import COMPUTED, UnfitValueError, kept_by_sqlite
from changes.items.refusals import Attempt, required
from changes.items.target import ALIAS, Target
from changes.shapes import Field, Kind


class TableRows:
    """The rows of one table."""

    def __init__(self, target: Target, attempt: Attempt) -> None:
        self.target = target
        self.attempt = attempt
        self.table = quoted(target.table.stored_as)
        attempt.expression = self.expression

    def refuses(self, field: Field) -> str | None:
        """Why the field takes no value at all."""
        return COMPUTED if field.is_computed else None

    def adapted(self, field: Field, value: Any) -> Any:
        """A value as a parameter of the statements here."""
        if connection.vendor == "sqlite":
            if field.kind in {Kind.JSON, Kind.OTHER}:
                return kept_by_sqlite(field, value)
            return VENDORS["sqlite"].parameter(_KINDS.get(field.kind, filters.Kind.OTHER), value)
        if field.kind is Kind.OTHER:
            if isinstance(value, list) and _has_empty_list(value):
                raise UnfitValueError("a list without empty ones in it")
            return json.dumps({field.column: value})
        return json.dumps(value) if field.kind is Kind.JSON else value

    def check(self, rows: Sequence[GivenRow], known: Iterable[RowProblem] = ()) -> list[RowProblem]:
        """The problems that are known; of others only the database knows."""
        return list(known)

    def load(self, keys: Sequence[Value]) -> None:
        """Nothing: rows are written as they lie in the table."""

    def expression(self, field: Field) -> str:
        """What stands for a parameter."""
        if field.kind is Kind.OTHER and connection.vendor == "postgresql":
            # What JSON means for a type is known to PostgreSQL: an array, an enum, a range, a composite.
            return f"(jsonb_populate_record(NULL::{self.table}, %s::jsonb)).{quoted(field.column)}"
        return "%s"

    def create(self, rows: Iterable[GivenRow]) -> list[Value]:
        """Insert rows; returns their keys."""
        return [self._insert(row) for row in rows]

    def _insert(self, row: GivenRow) -> Value:
        fields = [self.target.fields[name] for name in row.values]
        columns = ", ".join(quoted(field.column) for field in fields)
        marks = ", ".join(map(self.expression, fields))
        values = f"({columns}) VALUES ({marks})" if fields else "DEFAULT VALUES"
        # RETURNING of SQLite knows the table by its name only.
        returned = self.target.key_as_json(shapes.quoted(self.target.table.stored_as))
        self.attempt.row = row
        with connection.cursor() as cursor:
            cursor.execute(
                f"INSERT INTO {self.table} {values} RETURNING {returned}", list(row.values.values())
            )
            inserted = cursor.fetchone()
        if inserted is None:  # a trigger took the row away
            raise RowNotAllowedError
        key = self.target.key_in(inserted[0])
        if key is None:  # SQLite keeps rows without a key, which nobody could name
            names = self.target.table.key
            absent = next((name for name in names if row.values.get(name) is None), names[0])
            raise InvalidRowError([required(self.attempt, absent)])
        return key

    def update(self, rows: Sequence[GivenRow]) -> None:
        """Write rows that are locked; those that are given the same values in one statement."""
        together: list[GivenRow] = []
        for row in rows:
            if together and together[0].values is not row.values:
                self._update(together)
                together = []
            together.append(row)
        self._update(together)

    def _update(self, rows: Sequence[GivenRow]) -> None:
        if not rows or not rows[0].values:
            return
        values = rows[0].values
        fields = [self.target.fields[name] for name in values]
        changed = ", ".join(f"{quoted(field.column)} = {self.expression(field)}" for field in fields)
        self.attempt.row = rows[0]
        statement = Sql(f"UPDATE {self.table} AS {ALIAS} SET {changed}", tuple(values.values()))  # noqa: S608 - quoted
        self._execute(statement, [row.key for row in rows])

    def delete(self, keys: Sequence[Value]) -> None:
        """Delete rows that are locked."""
        self._execute(Sql(f"DELETE FROM {self.table} AS {ALIAS}"), keys)  # noqa: S608 - quoted

    def _execute(self, statement: Sql, keys: Sequence[Value]) -> None:
        written = 0
        with connection.cursor() as cursor:
            for condition in self.target.have(keys):
                of = where(condition, vendor=connection.vendor, alias=ALIAS, now=self.target.now)
                whole = statement.then(f" WHERE {of.text}", *of.parameters)
                cursor.execute(whole.text, whole.parameters)
                written += cursor.rowcount
        if written < len(set(keys)):  # a trigger took some of it back
            raise RowNotAllowedError


def _has_empty_list(value: list[Any]) -> bool:
    """Whether there is an empty list in it: an array of PostgreSQL with one is empty itself."""
    inner = [each for each in value if isinstance(each, list)]
    return any(not each or _has_empty_list(each) for each in inner)


#: Where SQLite stores a value in another way than its driver would.
_KINDS = {Kind.UUID: filters.Kind.UUID}
