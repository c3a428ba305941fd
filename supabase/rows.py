"""Rows as clients of Supabase read them: named by their columns, with the names of PostgreSQL's types."""

from __future__ import annotations

import datetime as dt
from typing import Any

import msgspec

from changes.filters import Row, Table, View
from changes.filters.values import Extreme, Value
from changes.opened import opened
from changes.shapes import Kind

#: The one schema that there is.
SCHEMA = "public"

_TYPES = {
    Kind.INTEGER: "int8",
    Kind.NUMBER: "float8",
    Kind.DECIMAL: "numeric",
    Kind.BOOLEAN: "bool",
    Kind.TEXT: "text",
    Kind.MOMENT: "timestamptz",
    Kind.DATETIME: "timestamp",
    Kind.DATE: "date",
    Kind.TIME: "time",
    Kind.DURATION: "interval",
    Kind.UUID: "uuid",
    Kind.JSON: "jsonb",
    Kind.BYTES: "bytea",
}


def columns_of(table: Table) -> dict[str, str]:
    """The types of a collection's columns, by the names of its fields."""
    return {field.name: _TYPES.get(field.kind, "text") for field in opened(table.name).shape.fields}


def names_of(table: Table) -> dict[str, str]:
    """The names of a collection's columns, by the names of its fields."""
    return {column.name: column.stored_as for column in table.columns}


def record(view: View, row: Row, now: dt.datetime) -> dict[str, Value]:
    """What a view shows of a row."""
    names = names_of(view.table)
    return {names.get(name, name): _value(value) for name, value in view.cut(row, now).items()}


def key_of(table: Table, row: Row) -> dict[str, Value]:
    """The primary key of a row."""
    names = names_of(table)
    return {names[name]: _value(row[name]) for name in table.key}


def _value(value: Value) -> Value:
    # As PostgREST writes them, with an offset in digits.
    return value.isoformat() if isinstance(value, dt.datetime) else value


def _special(value: Any) -> Any:
    if isinstance(value, Extreme):
        return value.name
    raise TypeError(f"no value of a row: {value!r}")


encode = msgspec.json.Encoder(enc_hook=_special, decimal_format="number").encode
