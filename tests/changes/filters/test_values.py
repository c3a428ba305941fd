"""Rows are the same values whichever database wrote them as JSON."""

import datetime as dt
from decimal import Decimal
from itertools import pairwise
from uuid import UUID

import msgspec
import pytest

from changes.filters import ENCODER, Column, Kind, Table
from changes.filters.values import EARLIEST, LATEST, NAN, UNREADABLE

TOKEN = UUID("6f1d3c1e-8d0b-4c55-9f0a-0242ac120002")
MOMENT = dt.datetime(2026, 12, 1, 9, 30, 0, 123456, tzinfo=dt.UTC)


def read(kind, text):
    return Table("one", (Column("id", kind),)).row(f'{{"id":{text}}}')["id"]


@pytest.mark.parametrize(
    ("kind", "texts", "value"),
    [
        (Kind.INTEGER, ["7", '"7"'], 7),
        (Kind.INTEGER, ["9223372036854775807"], 2**63 - 1),
        (Kind.NUMBER, ["0.5", '"0.5"', "5e-1"], 0.5),
        (Kind.NUMBER, ['"Infinity"', '"Inf"'], float("inf")),
        (Kind.NUMBER, ['"NaN"'], NAN),
        (Kind.DECIMAL, ["12.50", '"12.50"'], Decimal("12.50")),
        (Kind.DECIMAL, ["0.1000000000000000000000000000001"], Decimal("0.1000000000000000000000000000001")),
        (Kind.DECIMAL, ['"NaN"'], NAN),
        (Kind.TEXT, ['"a\\u0000é"'], "a\0é"),
        (Kind.TEXT, ["7"], "7"),
        (Kind.BOOLEAN, ["true", "1"], True),
        (Kind.BOOLEAN, ["false", "0"], False),
        (
            Kind.DATETIME,
            [
                '"2026-12-01T09:30:00.123456Z"',
                '"2026-12-01T10:30:00.123456+01:00"',
                '"2026-12-01 09:30:00.123456"',
            ],
            MOMENT,
        ),
        (Kind.DATETIME, ['"infinity"'], LATEST),
        (Kind.DATETIME, ['"-infinity"'], EARLIEST),
        (Kind.DATE, ['"2026-12-01"'], MOMENT.date()),
        (Kind.DATE, ['"infinity"'], LATEST),
        (Kind.TIME, ['"09:30:00.123456"'], MOMENT.time()),
        (Kind.TIME, ['"24:00:00"'], LATEST),
        (Kind.UUID, [f'"{TOKEN}"', f'"{TOKEN.hex}"'], TOKEN),
        (Kind.JSON, ['{"a": [1.50]}'], msgspec.Raw(b'{"a": [1.50]}')),
        (Kind.BYTES, ['"\\\\x6869"', '"6869"'], b"hi"),
        (Kind.OTHER, ["[1, 2]"], msgspec.Raw(b"[1, 2]")),
        *((kind, ["null"], None) for kind in Kind),
    ],
)
def test_texts_of_both_databases_are_one_value(kind, texts, value):
    assert [read(kind, text) for text in texts] == [value] * len(texts)


@pytest.mark.parametrize(
    ("kind", "texts"),
    [
        (
            Kind.DATETIME,
            ["-infinity", "0100-01-01 00:00:00+00 BC", "0044-03-15 12:00:00+00 BC", "0001-01-01T00:00:00Z"],
        ),
        (
            Kind.DATETIME,
            ["9999-12-31T23:59:59Z", "10000-01-01 00:00:00+00", "12026-01-01 00:00:00.5+00", "infinity"],
        ),
        (Kind.DATE, ["0044-03-15 BC", "2026-12-01", "12026-01-01", "12026-02-01", "infinity"]),
        (Kind.TIME, ["23:59:59.999999", "24:00:00.000000"]),
        (Kind.NUMBER, ["-Infinity", "1e300", "Infinity", "NaN"]),
        (Kind.DECIMAL, ["-Infinity", "1e300", "Infinity", "NaN"]),
    ],
)
def test_values_beyond_what_python_holds_are_in_order(kind, texts):
    values = [read(kind, f'"{text}"') for text in texts]

    assert all(one < other and other > one and one != other for one, other in pairwise(values))
    assert all(one <= other and other >= one for one, other in pairwise(values))
    assert [read(kind, f'"{text}"') for text in texts] == values
    assert len({*values, *values}) == len(values)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (Kind.INTEGER, '"seven"'),
        (Kind.INTEGER, "1.5"),
        (Kind.INTEGER, "true"),
        (Kind.NUMBER, '"x"'),
        (Kind.DECIMAL, '"x"'),
        (Kind.TEXT, "[1]"),
        (Kind.TEXT, "true"),
        (Kind.BOOLEAN, "2"),
        (Kind.DATETIME, '"infinitely"'),
        (Kind.DATETIME, '"12345 apples"'),
        (Kind.DATE, '"BC"'),
        (Kind.TIME, '"09:30:00+02:00"'),
        (Kind.UUID, '"x"'),
        (Kind.BYTES, '"xyz"'),
    ],
)
def test_what_a_column_cannot_hold_is_unreadable(kind, text):
    assert read(kind, text) is UNREADABLE


def test_row_is_shown_as_json():
    values = [
        1,
        0.5,
        NAN,
        Decimal("12.50"),
        "é",
        True,
        MOMENT,
        MOMENT.date(),
        TOKEN,
        LATEST,
        msgspec.Raw(b"[1]"),
        None,
    ]

    assert ENCODER.encode(values).decode() == (
        '[1,0.5,"NaN","12.50","é",true,"2026-12-01T09:30:00.123456Z","2026-12-01",'
        f'"{TOKEN}","infinity",[1],null]'
    )


def test_key_of_several_columns_is_a_tuple():
    table = Table("seats", (Column("row", Kind.INTEGER), Column("seat", Kind.TEXT)), key=("row", "seat"))

    assert table.key_of(table.row(b'{"row":3,"seat":"B"}')) == (3, "B")
    with pytest.raises(ValueError, match="no key"):
        Table("seats", (Column("row", Kind.INTEGER),))
