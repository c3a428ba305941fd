"""A row is the same JSON on both databases, and no value fails the write that brings it."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection, models
from django.test.utils import isolate_apps

from changes import watch
from changes.registry import Collection
from tests.changes.conftest import Told, run

Read = Callable[[str], list[Told]]

ID = uuid.UUID("01234567-89ab-cdef-0123-456789abcdef")
PARIS = dt.timezone(dt.timedelta(hours=1))


@pytest.fixture
def odd(declare: Callable[..., Collection]) -> Iterator[type[models.Model]]:
    """A model with a column of every kind, in names that have to be quoted."""
    with isolate_apps("tests.changes"):

        class Odd(models.Model):
            title = models.CharField(max_length=20, db_column="The 'title'")
            group = models.IntegerField(null=True, db_column="group")
            price = models.DecimalField(max_digits=8, decimal_places=2, null=True)
            size = models.FloatField(null=True)
            good = models.BooleanField(null=True)
            at = models.DateTimeField(null=True)
            day = models.DateField(null=True)
            time = models.TimeField(null=True)
            took = models.DurationField(null=True)
            code = models.UUIDField(null=True)
            data = models.JSONField(null=True)
            raw = models.BinaryField(null=True)
            double = models.GeneratedField(
                expression=models.F("group") * 2, output_field=models.IntegerField(), db_persist=True
            )

            class Meta:
                app_label = "odd"
                db_table = "Odd 'things'"

            def __str__(self) -> str:
                return self.title

    with connection.schema_editor() as editor:
        editor.create_model(Odd)
    declare(watch, Odd, name="odd")
    yield Odd
    with connection.schema_editor() as editor:
        editor.delete_model(Odd)


def test_every_kind_of_value_is_the_same_on_both_databases(odd: type[models.Model], told: Read):
    odd._default_manager.create(
        title='Ligne\n"π" \\ \x01',
        group=-7,
        price=Decimal("12.5"),
        size=0.1 + 0.2,
        good=True,
        at=dt.datetime(2026, 12, 1, 11, 30, tzinfo=PARIS),
        day=dt.date(2026, 12, 1),
        time=dt.time(10, 30),
        took=dt.timedelta(days=1, microseconds=1),
        code=ID,
        data={"a": [1, None, {"b": "é"}]},
        raw=b"hi\x00\xff",
    )

    [event] = told("odd")
    row = dict(event.new or {})
    assert row.pop("id") > 0
    assert row == {
        "title": 'Ligne\n"π" \\ \x01',
        "group": -7,
        "price": "12.50",
        "size": 0.1 + 0.2,
        "good": True,
        "at": "2026-12-01T10:30:00.000000Z",
        "day": "2026-12-01",
        "time": "10:30:00.000000",
        "took": 86_400_000_001,
        "code": str(ID),
        "data": {"a": [1, None, {"b": "é"}]},
        "raw": "\\x686900ff",
        "double": -14,
    }


def test_nulls_are_null_and_microseconds_are_kept(odd: type[models.Model], told: Read):
    odd._default_manager.create(title="")
    moment = dt.datetime(2026, 12, 1, 10, 30, 0, 120, tzinfo=dt.UTC)
    odd._default_manager.update(at=moment, time=dt.time(10, 30, 0, 5), good=False)

    created, updated = told("odd")
    assert {value for name, value in (created.new or {}).items() if name not in ("id", "title")} == {None}
    assert updated.new is not None
    assert updated.new["at"] == "2026-12-01T10:30:00.000120Z"
    assert updated.new["time"] == "10:30:00.000005"
    assert updated.new["good"] is False
    assert updated.old == created.new


@pytest.mark.stack("full")
@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("'NaN'::float8", "NaN"),
        ("'-Infinity'::float8", "-Infinity"),
        ("1e308::float8", 1e308),
        ("'NaN'::numeric", "NaN"),
        ("'1e4000'::numeric", "1" + "0" * 4000),
        ("9223372036854775807", 2**63 - 1),
        ("'infinity'::timestamptz", "infinity"),
        ("'0044-03-15 12:00+00 BC'::timestamptz", "0044-03-15 12:00:00+00 BC"),
        ("'infinity'::date", "infinity"),
        ("'1 year 2 days'::interval", 31_730_400_000_000),
        ("ARRAY[1, NULL, 3]", [1, None, 3]),
        ("'[1,5)'::int4range", "[1,5)"),
        ("'::1'::inet", "::1"),
        ("row(1, 'a')", {"f1": 1, "f2": "a"}),
        ("""'{"a": "\\u0000"}'::json""", {"a": "\0"}),
        ("""'{"a": "\\ud800"}'::json""", {"a": "�"}),
        ("""'{"a": 1e400}'::json""", {"a": "1e400"}),
        ("repeat('x', 1048577)", "longer"),
        ("repeat('é', 300000)", "é" * 300_000),
        ("convert_to(repeat('x', 3), 'utf8')", "\\x787878"),
        ("('[' || repeat('1,', 2000000) || '1]')::jsonb", "longer"),
    ],
)
def test_odd_values_of_postgresql(value: str, shown: Any, table: Callable[..., Collection], told: Read):
    kind = run(f"SELECT pg_typeof({value})::text")[0][0]
    if kind == "record":
        run("CREATE TYPE pair AS (f1 int, f2 text)")
        kind = "pair"
    try:
        table("odd_values", f"id int PRIMARY KEY, value {kind}")
        # Not compressed: what is longer than a mebibyte is as long where it is stored.
        if kind in ("text", "jsonb"):
            run("ALTER TABLE odd_values ALTER value SET STORAGE EXTERNAL")
        run(f"INSERT INTO odd_values VALUES (1, {value})")
        run("UPDATE odd_values SET id = 2")

        events = told("odd_values")
        row = {"id": 1, "value": None if shown == "longer" else shown}
        assert sorted(event.what for event in events) == ["create", "create", "delete"]
        assert events[0].new == row
        run("DROP TABLE odd_values")
    finally:
        run("DROP TYPE IF EXISTS pair")


ODD_VALUES = [
    "NULL",
    "1",
    "9223372036854775807",
    "1e300",
    "9e999",
    "-9e999",
    "0.1",
    "'text'",
    "''",
    "'a' || char(0) || 'b'",
    "CAST(x'ff41' AS TEXT)",  # not UTF-8
    "x'ff00'",
    "zeroblob(3000000)",
    "CAST(zeroblob(3000000) AS TEXT)",
    "'[1, 2'",
    "'{\"a\": NaN}'",
    "'2026-12-01 10:30:00'",
    "'2026-12-01 10:30:00.5+01:00'",
    "replace(hex(zeroblob(3000)), '00', '[')",  # JSON that is too deep
]


@pytest.mark.stack("small")
@pytest.mark.parametrize(
    "kind",
    [
        "integer",
        "real",
        "decimal(8,2)",
        "bool",
        "text",
        "datetime",
        "date",
        "time",
        "json",
        "blob",
        "uuid",
        "",
    ],
)
def test_sqlite_takes_any_value_in_any_column(kind: str, table: Callable[..., Collection], told: Read):
    table("odd_values", f"id integer PRIMARY KEY, value {kind}")
    for number, value in enumerate(ODD_VALUES):
        run(f"INSERT INTO odd_values VALUES ({number}, {value})")
        run("UPDATE odd_values SET id = -1")
        run("DELETE FROM odd_values")

        events = told("odd_values")
        assert [event.what for event in events] == ["create", "delete", "create", "delete"]
        assert events[0].new == events[1].old
        assert events[2].new == events[3].old == {**(events[0].new or {}), "id": -1}


@pytest.mark.stack("small")
@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("2147483648", "2147483648.000000000000"),
        ("2147483648.123", "2147483648.123"),
        ("12.5", "12.500000000000"),
        ("-0.000000000001", "-0.000000000001"),
    ],
)
def test_decimal_of_many_places_has_the_digits_that_sqlite_keeps(
    value: str, shown: str, table: Callable[..., Collection], told: Read
):
    table("exact", "id integer PRIMARY KEY, value decimal(30, 12)")
    run(f"INSERT INTO exact VALUES (1, {value})")

    [event] = told("exact")
    assert (event.new or {})["value"] == shown


def test_table_of_many_columns_is_seen(table: Callable[..., Collection], told: Read):
    """More than a function of SQLite takes arguments for."""
    columns = ", ".join(f"c{number} integer" for number in range(150))
    table("wide", f"id integer PRIMARY KEY, {columns}")
    run("INSERT INTO wide (id, c0, c149) VALUES (1, 5, 6)")

    [event] = told("wide")
    row = event.new or {}
    assert (len(row), row["c0"], row["c75"], row["c149"]) == (151, 5, None, 6)


def test_names_that_have_to_be_quoted(table: Callable[..., Collection], told: Read):
    table(
        """it's a "table" $$""",
        '"id %" integer, "select" text, "row_" text, "mark" text, "was" text, "old_" text, "new_rows" text,'
        ' PRIMARY KEY ("id %")',
        name="quoted",
    )
    run("""INSERT INTO "it's a ""table"" $$" VALUES (1, 'a', 'b', 'c', 'd', 'e', 'f')""")
    run("""UPDATE "it's a ""table"" $$" SET "select" = 'z'""")

    created, updated = told("quoted")
    assert created.new == {
        "id %": 1,
        "select": "a",
        "row_": "b",
        "mark": "c",
        "was": "d",
        "old_": "e",
        "new_rows": "f",
    }
    assert updated.new == {**created.new, "select": "z"}


def test_key_of_several_columns(table: Callable[..., Collection], told: Read):
    table("seats", "hall integer, seat integer, taken boolean, PRIMARY KEY (hall, seat)")
    run("INSERT INTO seats VALUES (1, 1, false), (1, 2, false), (2, 1, false)")
    told("seats")
    run("UPDATE seats SET taken = true WHERE hall = 1")

    assert sorted((e.new["hall"], e.new["seat"], e.new["taken"]) for e in told("seats") if e.new) == [
        (1, 1, True),
        (1, 2, True),
    ]


@pytest.mark.stack("full")
@pytest.mark.parametrize(
    "damage",
    [
        "ALTER TABLE items DROP COLUMN name",
        "ALTER TABLE items RENAME COLUMN name TO title",
        "ALTER TABLE items RENAME COLUMN id TO number",
        "ALTER TABLE items ALTER COLUMN id TYPE text",
    ],
)
def test_table_that_changed_under_its_trigger_is_written_all_the_same(
    damage: str, items: Collection, told: Read
):
    run("INSERT INTO items VALUES (1, 'a')")
    told("items")
    run(damage)
    run("INSERT INTO items SELECT '2'" if "text" not in damage else "INSERT INTO items VALUES ('2', 'b')")

    assert run("SELECT count(*) FROM items") == [(2,)]
    assert {event.what for event in told("items")} <= {"missed", "create"}


@pytest.mark.stack("full")
def test_write_succeeds_even_without_the_table_of_notes(items: Collection):
    run("ALTER TABLE changes_notedchange RENAME TO hidden")
    try:
        run("INSERT INTO items VALUES (1, 'a')")
        run("UPDATE items SET name = 'b'")
        run("TRUNCATE items")
        assert run("SELECT count(*) FROM items") == [(0,)]
    finally:
        run("ALTER TABLE hidden RENAME TO changes_notedchange")


@pytest.mark.stack("small")
def test_sqlite_renames_a_column_under_its_triggers(items: Collection, told: Read):
    run("ALTER TABLE items RENAME COLUMN name TO title")
    run("ALTER TABLE items ADD COLUMN more text")
    run("INSERT INTO items VALUES (1, 'a', 'b')")

    assert [event.new for event in told("items")] == [{"id": 1, "name": "a"}]
