"""Tables as filters know them: columns of a kind, and rows read from what a trigger wrote."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import msgspec

from changes.filters.values import UNREADABLE, Kind, Value, value_from_json, value_from_python

#: The values of one row by the public names of its columns, and related rows by the place of their relation.
Row = Mapping[Any, Value]

_COLUMNS = msgspec.json.Decoder(dict[str, msgspec.Raw])


@dataclass(frozen=True, slots=True)
class Column:
    """A column: the name that clients use, what it holds, and its name in the database where that differs."""

    name: str
    kind: Kind
    is_nullable: bool = True
    db_column: str = ""

    @property
    def stored_as(self) -> str:
        """Its name in the database."""
        return self.db_column or self.name


@dataclass(frozen=True)
class Table:
    """A table whose rows are watched and asked for. Tables of equal names, columns and keys are equal."""

    name: str
    columns: tuple[Column, ...] = field(repr=False)
    #: The public names of the columns of its primary key.
    key: tuple[str, ...] = ("id",)
    #: Its name in the database, where that differs.
    db_table: str = ""
    #: What its rows lead to, by public names; filled in when all tables are there: some lead in circles.
    relations: dict[str, Relation] = field(default_factory=dict, repr=False, compare=False)
    by_name: Mapping[str, Column] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_name", {column.name: column for column in self.columns})
        if not self.key or not self.by_name.keys() >= set(self.key):
            raise ValueError(f"{self.name} has no key of columns: {self.key!r}")

    @property
    def stored_as(self) -> str:
        """Its name in the database."""
        return self.db_table or self.name

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The public names of all columns, in their order."""
        return tuple(column.name for column in self.columns)

    def key_of(self, row: Row) -> Value:
        """What tells a row from all others: a value, or a tuple where the key has several columns."""
        if len(self.key) == 1:
            return row[self.key[0]]
        return tuple(row[name] for name in self.key)

    def row(self, text: str | bytes | msgspec.Raw) -> dict[str, Value]:
        """A row that a trigger wrote, a JSON object by public names; what is missing there is UNREADABLE."""
        written = _COLUMNS.decode(text)
        return {
            column.name: UNREADABLE if raw is None else value_from_json(column.kind, raw)
            for column in self.columns
            for raw in (written.get(column.name),)
        }

    def row_of(self, values: Mapping[str, Any]) -> dict[str, Value]:
        """A row of values as Django has them, by public names; what is missing there is UNREADABLE."""
        return {
            column.name: value_from_python(column.kind, values[column.name])
            if column.name in values
            else UNREADABLE
            for column in self.columns
        }


@dataclass(frozen=True, slots=True)
class Relation:
    """The rows of another table, one or many, in which one column equals a column of ours.

    A relation to one row has the name of the column that holds its key.
    """

    name: str
    column: Column
    table: Table
    to: Column
    is_many: bool = False

    @property
    def place(self) -> tuple[str]:
        """Where a row has its related rows, as a tuple; no column has such a name."""
        return (self.name,)
