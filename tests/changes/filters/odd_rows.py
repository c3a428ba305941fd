"""A table with a column of each kind, values that are hard to compare, and filters about them, by chance."""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from changes import shapes
from changes.filters import OPERATORS, Column, Kind, Policy, Relation, policy, table_of
from changes.rows import postgresql_columns, sqlite_object
from changes.shapes import Field, Shape, quoted

IS_POSTGRESQL = connection.vendor == "postgresql"

#: Some of its columns have names that need quoting, and public names beside them.
FIELDS = (
    Field("id", "id", shapes.Kind.INTEGER),
    Field("whole", "Whole", shapes.Kind.INTEGER),
    Field("real", "real", shapes.Kind.NUMBER),
    Field("price", "price", shapes.Kind.DECIMAL),
    Field("title", 'the "title" 100%s', shapes.Kind.TEXT),
    Field("word", "it's", shapes.Kind.TEXT),
    Field("is_open", "order", shapes.Kind.BOOLEAN),
    Field("at", "at", shapes.Kind.MOMENT),
    Field("on", "on", shapes.Kind.DATE),
    Field("clock", "clock", shapes.Kind.TIME),
    Field("token", "token", shapes.Kind.UUID),
    Field("meta", "meta", shapes.Kind.JSON),
    Field("raw", "raw", shapes.Kind.BYTES),
)
SHAPE = Shape("odd", FIELDS[:1], FIELDS)
ODD = table_of("odd", SHAPE)
#: `whole` leads to the row of that id, and `children` back.
ODD.relations["whole"] = Relation("whole", ODD.by_name["whole"], ODD, ODD.by_name["id"])
ODD.relations["children"] = Relation("children", ODD.by_name["id"], ODD, ODD.by_name["whole"], is_many=True)

_TYPES = {
    Kind.INTEGER: ("bigint", "bigint"),
    Kind.NUMBER: ("double precision", "real"),
    Kind.DECIMAL: ("numeric", "decimal"),
    Kind.TEXT: ("text", "text"),
    Kind.BOOLEAN: ("boolean", "bool"),
    Kind.DATETIME: ("timestamp with time zone", "datetime"),
    Kind.DATE: ("date", "date"),
    Kind.TIME: ("time", "time"),
    Kind.UUID: ("uuid", "char(32)"),
    Kind.JSON: ("jsonb", "text"),
    Kind.BYTES: ("bytea", "BLOB"),
}


@contextmanager
def odd_table() -> Iterator[None]:
    """The table, empty, until the end of the block."""
    columns = ", ".join(
        f"{quoted(column.stored_as)} {_TYPES[column.kind][not IS_POSTGRESQL]}{_collation(column)}"
        for column in ODD.columns
    )
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE odd ({columns})")
        try:
            yield
        finally:
            transaction.set_rollback(True)


def _collation(column: Column) -> str:
    # One text is sorted as in a dictionary unless SQL says otherwise, whatever the database was made with.
    return ' COLLATE "und-x-icu"' if IS_POSTGRESQL and column.name == "word" else ""


def insert(rows: list[Mapping[str, Any]]) -> None:
    """Store rows, numbered from 1."""
    names = ", ".join(quoted(column.stored_as).replace("%", "%%") for column in ODD.columns)
    marks = ", ".join(
        f"CAST(%s AS {_TYPES[column.kind][0]})" if IS_POSTGRESQL else "%s" for column in ODD.columns
    )
    with connection.cursor() as cursor:
        for number, row in enumerate(rows, 1):
            values = [number, *(row[column.name] for column in ODD.columns[1:])]
            cursor.execute(f"INSERT INTO odd ({names}) VALUES ({marks})", values)


def stored() -> list[dict[str, Any]]:
    """All rows as a trigger writes them, read again."""
    if IS_POSTGRESQL:
        columns = postgresql_columns(FIELDS, "odd")
        query = f"SELECT row_to_json(r)::text FROM (SELECT {columns} FROM odd ORDER BY id) r"
    else:
        query = f"SELECT {sqlite_object(SHAPE, 'odd')} FROM odd ORDER BY id"
    with connection.cursor() as cursor:
        cursor.execute(query)
        return [ODD.row(text) for (text,) in cursor.fetchall()]


def selected(text: str, parameters: tuple[Any, ...], order: str = "id") -> list[int]:
    """The ids that a WHERE clause selects."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT id FROM odd WHERE {text} ORDER BY {order}", parameters)
        return [number for (number,) in cursor.fetchall()]


# ── values by chance ─────────────────────────────────────────────────────────────────────────────────────

#: Letters with and without two cases, those that trip up lower(), what LIKE and JSON quote, and a character
#: of four bytes.
LETTERS = "aAbBkKK\u0130\u0131iéÉÅåσΣςßẞя%_\\'\"\n 🎉"
_TEXTS = st.text(LETTERS, max_size=4)
if not IS_POSTGRESQL:
    _TEXTS |= st.text(f"{LETTERS}\0", max_size=4)
_WHOLE = st.integers(-3, 3) | st.sampled_from([2**63 - 1, -(2**63), 2**53 + 1])
_REAL = st.sampled_from([0.0, 0.5, 0.1 + 0.2, 0.3, 1e300, -2.0]) | st.floats(allow_nan=False)
_MOMENT = st.builds(
    lambda day, micro: dt.datetime(2026, 2, 27, 23, 59, 59, micro, dt.UTC) + dt.timedelta(days=day),
    st.integers(-2, 3),
    st.sampled_from([0, 1, 100_000, 999_999]),
) | st.datetimes(timezones=st.just(dt.UTC))
_DAY = _MOMENT.map(lambda moment: moment.date())
_CLOCK = _MOMENT.map(lambda moment: moment.time())
_UUID = st.sampled_from([UUID(int=number) for number in (0, 1, 2**127, 2**128 - 1)])
#: As many digits as both keep.
_DECIMAL = st.sampled_from([Decimal("0.1"), Decimal("0.30"), Decimal(12), Decimal("-7.25")]) | st.builds(
    lambda digits, places: Decimal(digits).scaleb(-places), st.integers(-(10**14), 10**14), st.integers(0, 6)
)
_JSON = st.sampled_from([None, 1, "x", "null", [], {"a": [1.5, None]}, True])

_BY_KIND: dict[Kind, SearchStrategy[Any]] = {
    Kind.INTEGER: _WHOLE,
    Kind.NUMBER: _REAL,
    Kind.DECIMAL: _DECIMAL,
    Kind.TEXT: _TEXTS,
    Kind.BOOLEAN: st.booleans(),
    Kind.DATETIME: _MOMENT,
    Kind.DATE: _DAY,
    Kind.TIME: _CLOCK,
    Kind.UUID: _UUID,
}


#: What PostgreSQL holds, and Python has no value for.
_BEYOND: dict[Kind, list[Any]] = {
    Kind.NUMBER: [math.nan, math.inf, -math.inf],
    Kind.DECIMAL: [Decimal("NaN"), Decimal("Infinity"), Decimal(f"0.1{'0' * 30}1")],
    Kind.DATETIME: ["infinity", "-infinity", "0044-03-15 12:00 BC", "12026-01-01 00:00+00"],
    Kind.DATE: ["infinity", "0044-03-15 BC", "12026-01-01"],
    Kind.TIME: ["24:00:00"],
}


def _as_stored(kind: Kind) -> SearchStrategy[Any]:
    """What is given to the driver; on PostgreSQL also what Python has no value for."""
    if kind is Kind.JSON:
        return _JSON.map(json.dumps)
    if kind is Kind.BYTES:
        return st.binary(max_size=3)
    values = _BY_KIND[kind]
    if IS_POSTGRESQL:
        beyond = _BEYOND.get(kind)
        return values | st.sampled_from(beyond) if beyond else values
    if kind is Kind.NUMBER:
        return values | st.sampled_from([math.inf, -math.inf, math.nan])
    return values.map(in_driver)


def in_driver(value: Any) -> Any:
    """A value as Django gives it to the driver."""
    if IS_POSTGRESQL:
        return value
    if isinstance(value, dt.datetime):
        return str(value.replace(tzinfo=None))
    if isinstance(value, UUID):
        return value.hex
    return str(value) if isinstance(value, Decimal | dt.date | dt.time) else value


ROWS = st.lists(
    st.fixed_dictionaries(
        {column.name: st.none() | _as_stored(column.kind) for column in ODD.columns if column.name != "id"}
    ),
    min_size=1,
    max_size=12,
)


# ── filters by chance ────────────────────────────────────────────────────────────────────────────────────


def _asked(kind: Kind) -> SearchStrategy[Any]:
    """A value in a filter."""
    values = _BY_KIND[kind].filter(lambda value: value not in {math.inf, -math.inf})
    match kind:
        case Kind.TEXT:
            return st.text(LETTERS, min_size=1, max_size=2)
        case Kind.DATETIME:
            return values.map(dt.datetime.isoformat) | st.sampled_from(
                ["$NOW", "$NOW(-1 day)", "$NOW(+1 mo)"]
            )
        case Kind.DATE:
            return values.map(str) | st.just("$NOW(-1 day)")
        case Kind.DECIMAL | Kind.TIME | Kind.UUID:
            return values.map(str)
    return values


def _test(kind: Kind) -> SearchStrategy[dict[str, Any]]:
    def of(name: str) -> SearchStrategy[dict[str, Any]]:
        match OPERATORS[name].operand.name:
            case "NOTHING":
                value: SearchStrategy[Any] = st.booleans()
            case "LIST":
                value = st.lists(_asked(kind), min_size=1, max_size=3)
            case "PAIR":
                value = st.lists(_asked(kind), min_size=2, max_size=2)
            case _:
                value = _asked(kind)
                if name in {"_eq", "_neq"}:
                    value |= st.none()
        return st.fixed_dictionaries({name: value})

    return st.sampled_from([name for name, each in OPERATORS.items() if kind in each.kinds]).flatmap(of)


_PART_TESTS = st.sampled_from(
    [
        ("year(at)", [2026, 1, 9999]),
        ("month(at)", [2, 3, 12]),
        ("day(on)", [27, 28, 1]),
        ("weekday(at)", range(7)),
        ("weekday(on)", range(7)),
        ("hour(at)", [23, 0]),
        ("hour(clock)", [23, 0]),
        ("minute(clock)", [59, 0]),
        ("second(at)", [59, 0]),
    ]
).flatmap(
    lambda pair: st.sampled_from(["_eq", "_neq", "_gt", "_lte"]).flatmap(
        lambda name: st.sampled_from(list(pair[1])).map(lambda value: {pair[0]: {name: value}})
    )
)
_VARIABLES = st.sampled_from(
    [
        {"word": {"_eq": "$CURRENT_USER"}},
        {"word": {"_neq": "$CURRENT_USER"}},
        {"title": {"_icontains": "$CURRENT_USER"}},
        {"whole": {"_in": "$CURRENT_ROLES"}},
        {"whole": {"_nin": ["$CURRENT_ROLES", 2]}},
        {"whole": {"_between": [0, "$CURRENT_ROLE"]}},
    ]
)
#: What the user is: a letter, a number, nothing.
USERS = st.fixed_dictionaries(
    {},
    optional={
        "$CURRENT_USER": st.sampled_from(["a", "É", "", 1, None, ["a"]]),
        "$CURRENT_ROLE": st.sampled_from([1, "2", "x", None]),
        "$CURRENT_ROLES": st.lists(st.sampled_from([1, 2, "3", "x", None]), max_size=3),
    },
)
_LEAVES = (
    _VARIABLES
    | st.sampled_from(ODD.columns).flatmap(
        lambda column: _test(column.kind).map(lambda test: {column.name: test})
    )
    | _PART_TESTS
)
FILTERS = st.recursive(
    _LEAVES,
    lambda inner: st.sampled_from(["_and", "_or"]).flatmap(
        lambda name: st.lists(inner, min_size=1, max_size=3).map(lambda parts: {name: parts})
    ),
    max_leaves=5,
)
_RELATED = FILTERS.flatmap(
    lambda inner: st.sampled_from(
        [
            {"whole": inner},
            {"whole": {"whole": inner}},
            {"children": inner},
            {"children": {"_none": inner}},
            {"children": {"_some": {"whole": inner}}},
        ]
    )
)
#: Filters that follow relations too.
FAR_FILTERS = FILTERS | _RELATED | st.builds(lambda one, two: {"_or": [one, two]}, FILTERS, _RELATED)

_NAMES = [column.name for column in ODD.columns]
POLICIES: SearchStrategy[list[Policy]] = st.lists(
    st.builds(
        lambda rows, fields: policy(ODD, rows=rows, fields=fields),
        st.just({}) | FILTERS,
        st.just("*") | st.sets(st.sampled_from(_NAMES), min_size=1),
    ),
    min_size=1,
    max_size=3,
)
SORTS = st.lists(
    st.builds(
        lambda sign, name: sign + name,
        st.sampled_from(["", "-"]),
        st.sampled_from([name for name in _NAMES if name not in {"meta", "raw"}]),
    ),
    max_size=3,
)
