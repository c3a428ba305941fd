"""The shape of a collection: its columns and its key, as the database has them, and what they hold.

PostgreSQL says what a column holds. SQLite keeps whatever it is given: there the fields of the model say it,
and for a table without a model the declared types.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from django.db import connection
from django.db.models import Field as ModelField
from django.db.models import Model

from changes.registry import Watched


class Kind(StrEnum):
    """What a column holds, and so how a row's JSON shows it (`rows`)."""

    INTEGER = "integer"
    NUMBER = "number"
    DECIMAL = "decimal"
    BOOLEAN = "boolean"
    TEXT = "text"
    #: A point in time; without a zone it is a DATETIME.
    MOMENT = "moment"
    DATETIME = "datetime"
    DATE = "date"
    TIME = "time"
    DURATION = "duration"
    UUID = "uuid"
    JSON = "json"
    BYTES = "bytes"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Field:
    """A column under the name that clients use."""

    name: str
    column: str
    kind: Kind
    #: Of a decimal, where that is known: its digits after the point.
    places: int | None = None
    #: Of a text, where the database has a limit: its characters.
    longest: int | None = None
    #: The database makes its values, and takes none.
    is_computed: bool = False
    #: SQLite's own word for what it holds, in upper case, by which it turns texts into numbers.
    declared: str = ""


@dataclass(frozen=True, slots=True)
class Shape:
    """The fields of a collection that its table has, in the order of the table."""

    table: str
    #: The columns of the primary key; they are noted even where they are no fields.
    key: tuple[Field, ...]
    fields: tuple[Field, ...]


class NoShapeError(Exception):
    """The database has no such table, or not the columns that the collection wants."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column as the database describes it."""

    name: str
    kind: Kind
    places: int | None
    #: Its place in the primary key, from 1; 0 outside of it.
    in_key: int
    longest: int | None = None
    is_computed: bool = False
    declared: str = ""


def shape_of(collection: Watched) -> Shape:
    """Read the shape of a collection or a rights source; a NoShapeError says what is missing."""
    columns = columns_of(collection.table)
    if not columns:
        raise NoShapeError(f"There is no table {collection.table!r}.")
    known = _fields(columns, collection.model)
    by_name = {field.name: field for field in known}
    in_key = {column.name: column.in_key for column in columns if column.in_key}
    key = tuple(sorted((f for f in known if f.column in in_key), key=lambda field: in_key[field.column]))
    if not key:
        raise NoShapeError(f"The table {collection.table!r} has no primary key.")
    wanted = by_name if collection.fields is None else dict.fromkeys(collection.fields)
    if missing := [name for name in wanted if name not in by_name]:
        raise NoShapeError(f"The table {collection.table!r} has no column for {', '.join(missing)}.")
    wanted = {field.name: None for field in key} | dict.fromkeys(wanted)
    return Shape(collection.table, key, tuple(field for field in known if field.name in wanted))


def described(model: type[Model], fields: Iterable[str] | None) -> Shape:
    """The shape that a model describes, without asking the database; of its fields those that there are."""
    options = model._meta  # noqa: SLF001 - documented, in spite of its name
    every = [Field(field.name, column, *_kind_of(field)) for column, field in model_fields(model).items()]
    in_key = {field.name for field in options.pk_fields}
    wanted = {field.name for field in every} if fields is None else {*fields, *in_key}
    return Shape(
        options.db_table,
        tuple(field for field in every if field.name in in_key),
        tuple(field for field in every if field.name in wanted),
    )


def columns_of(table: str) -> list[Column]:
    """The columns of a table; none where there is no such table."""
    return _READ[connection.vendor](table)


def _fields(columns: Iterable[Column], model: type[Model] | None) -> list[Field]:
    described = model_fields(model) if model else {}
    fields = []
    for column in columns:
        field = described.get(column.name)
        kind, places = column.kind, column.places
        if field is not None and connection.vendor == "sqlite":
            kind, places = _kind_of(field)
        fields.append(
            Field(
                field.name if field is not None else column.name,
                column.name,
                kind,
                places,
                longest=column.longest,
                is_computed=column.is_computed,
                declared=column.declared,
            )
        )
    return fields


def model_fields(model: type[Model]) -> Mapping[str, ModelField[Any, Any]]:
    """The fields of a model that are columns of its own table, by column."""
    fields = model._meta.local_concrete_fields  # noqa: SLF001 - documented, in spite of its name
    return {field.column: field for field in fields if field.column}


_KIND_OF_FIELD = {
    "FloatField": Kind.NUMBER,
    "DecimalField": Kind.DECIMAL,
    "BooleanField": Kind.BOOLEAN,
    "DateTimeField": Kind.MOMENT,
    "DateField": Kind.DATE,
    "TimeField": Kind.TIME,
    "DurationField": Kind.DURATION,
    "UUIDField": Kind.UUID,
    "JSONField": Kind.JSON,
    "BinaryField": Kind.BYTES,
    **dict.fromkeys(("CharField", "TextField", "SlugField", "FileField", "FilePathField"), Kind.TEXT),
    "GenericIPAddressField": Kind.TEXT,
}


def _kind_of(field: ModelField[Any, Any]) -> tuple[Kind, int | None]:
    inner: Any = field
    while inner.remote_field is not None:
        inner = inner.target_field
    inner = getattr(inner, "output_field", None) or inner  # a generated column
    name = inner.get_internal_type()
    if name.endswith(("IntegerField", "AutoField")):
        return Kind.INTEGER, None
    return _KIND_OF_FIELD.get(name, Kind.OTHER), getattr(inner, "decimal_places", None)


# --- PostgreSQL -------------------------------------------------------------------------------------

_COLUMNS = """
    SELECT a.attname, coalesce(base.typname, t.typname),
        CASE WHEN coalesce(base.typname, t.typname) = 'numeric' AND size.typmod > 4
            THEN (size.typmod - 4) & 2047 END,
        coalesce(array_position((key.indkey::int2[])[0:key.indnkeyatts - 1], a.attnum), 0),
        CASE WHEN coalesce(base.typname, t.typname) IN ('varchar', 'bpchar') AND size.typmod > 4
            THEN size.typmod - 4 END,
        a.attgenerated <> '' OR a.attidentity = 'a'
    FROM pg_attribute a
    JOIN pg_type t ON t.oid = a.atttypid
    CROSS JOIN LATERAL (SELECT coalesce(nullif(a.atttypmod, -1), t.typtypmod)) AS size (typmod)
    LEFT JOIN pg_type base ON base.oid = t.typbasetype
    LEFT JOIN pg_index key ON key.indrelid = a.attrelid AND key.indisprimary
    WHERE a.attrelid = to_regclass(%s) AND a.attnum > 0 AND NOT a.attisdropped
    ORDER BY a.attnum
"""
_KIND_OF_TYPE = {
    **dict.fromkeys(("int2", "int4", "int8"), Kind.INTEGER),
    **dict.fromkeys(("float4", "float8"), Kind.NUMBER),
    **dict.fromkeys(("text", "varchar", "bpchar", "citext", "name"), Kind.TEXT),
    **dict.fromkeys(("json", "jsonb"), Kind.JSON),
    "numeric": Kind.DECIMAL,
    "bool": Kind.BOOLEAN,
    "timestamptz": Kind.MOMENT,
    "timestamp": Kind.DATETIME,
    "date": Kind.DATE,
    "time": Kind.TIME,
    "interval": Kind.DURATION,
    "uuid": Kind.UUID,
    "bytea": Kind.BYTES,
}


def _of_postgresql(table: str) -> list[Column]:
    with connection.cursor() as cursor:
        cursor.execute(_COLUMNS, [quoted(table)])
        return [
            Column(name, _KIND_OF_TYPE.get(kind, Kind.OTHER), *rest)
            for name, kind, *rest in cursor.fetchall()
        ]


# --- SQLite -----------------------------------------------------------------------------------------

#: What a declared type holds, by a word in it; the first that is found counts.
_KIND_OF_WORD = {
    "INT": Kind.INTEGER,
    "CHAR": Kind.TEXT,
    "TEXT": Kind.TEXT,
    "CLOB": Kind.TEXT,
    "REAL": Kind.NUMBER,
    "FLOA": Kind.NUMBER,
    "DOUBLE": Kind.NUMBER,
    "BOOL": Kind.BOOLEAN,
    "DECIMAL": Kind.DECIMAL,
    "NUMERIC": Kind.DECIMAL,
    "TIMESTAMP": Kind.DATETIME,
    "DATETIME": Kind.DATETIME,
    "DATE": Kind.DATE,
    "TIME": Kind.TIME,
    "JSON": Kind.JSON,
    "BLOB": Kind.BYTES,
}


def _of_sqlite(table: str) -> list[Column]:
    with connection.cursor() as cursor:
        # Hidden 1 are the hidden columns of virtual tables; 2 and 3 are generated ones.
        cursor.execute(
            "SELECT name, upper(type), pk, hidden > 1 FROM pragma_table_xinfo(%s)"
            " WHERE hidden <> 1 ORDER BY cid",
            [table],
        )
        return [
            Column(name, *_declared(kind), in_key, is_computed=bool(is_computed), declared=kind)
            for name, kind, in_key, is_computed in cursor.fetchall()
        ]


def _declared(kind: str) -> tuple[Kind, int | None]:
    found = next((held for word, held in _KIND_OF_WORD.items() if word in kind), Kind.OTHER)
    places = kind.rpartition(",")[2].rstrip(") ").strip()
    return found, int(places) if found is Kind.DECIMAL and "," in kind and places.isdigit() else None


_READ = {"postgresql": _of_postgresql, "sqlite": _of_sqlite}

#: By column of a table: the table and the column that a foreign key of this one column names.
_FOREIGN_KEYS = {
    "postgresql": """
        SELECT ours.attname, other.relname, theirs.attname
        FROM pg_constraint c
        JOIN pg_class other ON other.oid = c.confrelid
        JOIN pg_attribute ours ON ours.attrelid = c.conrelid AND ours.attnum = c.conkey[1]
        JOIN pg_attribute theirs ON theirs.attrelid = c.confrelid AND theirs.attnum = c.confkey[1]
        WHERE c.conrelid = to_regclass(%s) AND c.contype = 'f' AND array_length(c.conkey, 1) = 1
    """,
    # Without a column it is the primary key that is named.
    "sqlite": """
        SELECT one."from", one."table", coalesce(one."to", key.name)
        FROM pragma_foreign_key_list(%s) one
        LEFT JOIN pragma_table_xinfo(one."table") key ON key.pk = 1
        WHERE one.seq = 0 AND one.id NOT IN (SELECT id FROM pragma_foreign_key_list(%s) WHERE seq = 1)
    """,
}


def foreign_keys_of(table: str) -> dict[str, tuple[str, str]]:
    """By column: the table and the column that it names."""
    given = [quoted(table)] if connection.vendor == "postgresql" else [table, table]
    with connection.cursor() as cursor:
        cursor.execute(_FOREIGN_KEYS[connection.vendor], given)
        return {ours: (other, theirs) for ours, other, theirs in cursor.fetchall()}


def quoted(name: str) -> str:
    """A name as SQL writes it, whatever its characters; Django's own `quote_name` believes them."""
    doubled = name.replace('"', '""')
    return f'"{doubled}"'


def literal(text: str) -> str:
    """A text as SQL writes it."""
    doubled = text.replace("'", "''")
    return f"'{doubled}'"
