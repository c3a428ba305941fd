"""Any JSON for any column: it is stored and read back as it was given, or refused with a reason."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal, InvalidOperation
from typing import Any

import pytest
from django.db import connection, models, transaction
from django.test.utils import isolate_apps
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from changes import items, watch
from changes.items import InvalidRowError
from tests.changes.conftest import IS_SQLITE, run
from tests.changes.items.conftest import shown

#: `VALUES=20000 scripts/test tests/changes/items/test_any_value.py` for a long search.
EXAMPLES = int(os.environ.get("VALUES", "150"))

by_chance = settings(
    max_examples=EXAMPLES,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

#: The columns of a table without a model: PostgreSQL's, and SQLite's.
COLUMNS = {
    "small": ("smallint", "smallint"),
    "whole": ("bigint", "integer"),
    "real": ("double precision", "real"),
    "price": ("numeric(8, 2)", "decimal(8, 2)"),
    "digits": ("numeric", "numeric"),
    "title": ("text", "text"),
    "word": ("varchar(3)", "varchar(3)"),
    "is_open": ("boolean", "bool"),
    "at": ("timestamptz", "datetime"),
    "local": ("timestamp", "timestamp"),
    "on": ("date", "date"),
    "clock": ("time", "time"),
    "took": ("interval", "bigint"),
    "token": ("uuid", "uuid"),
    "meta": ("jsonb", "json"),
    "old_meta": ("json", "json"),
    "raw": ("bytea", "blob"),
    "tags": ("integer[]", ""),
    "address": ("inet", "inet"),
    "span": ("int4range", "any"),
}

_WORDS = [
    *("", "0", "1", "12", "-0", "+7", "1.5", "1e5", "1e400", ".5", "5.", "NaN", "Infinity", "true", "null"),
    *("9223372036854775807", "9223372036854775808", "0.1234567890123456789", " 1 ", "0x10", "1_000", "١"),
    *("2026-12-01", "2026-12-01T10:30:00Z", "2026-12-01 10:30:00.123456+01:00", "0001-01-01T00:00:00+01:00"),
    *("9999-12-31T23:59:59.999999-01:00", "10:30", "10:30:00.5", "24:00", "2026-W49-2", "infinity", "now"),
    *("01234567-89ab-cdef-0123-456789abcdef", "0" * 32, "{" + "0" * 32 + "}", "12345678" * 4),
    *("\\x", "\\x6869", "\\x6", "\\xzz", "{}", "[]", "{1,2}", "[1,5)", "empty", "::1", "10.0.0.0/8"),
    *("a\0b", "\0", "\ud800", "🎉", "é", "ab   ", "'", '"', "%s", "%", "\\", "a" * 300, "$NOW"),
]
_NUMBERS = [
    *(0, 1, -1, 12, 2**15, 2**31, 2**53 + 1, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 10**30, 10**400),
    *(
        0.0,
        -0.0,
        0.5,
        0.1 + 0.2,
        12.345,
        1e15,
        1e16,
        1e22,
        1e300,
        1.7976931348623025e308,
        5e-324,
        123456.78,
        999999.999,
    ),
]
_NESTED = [[], {}, [1], [None], [[]], ["a"], {"a": 1}, {"a": "\0"}, [[["\ud800"]]], {"\0": 1}]
HARD = [*_WORDS, *_NUMBERS, *_NESTED, None, True, False]

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.sampled_from(_WORDS)
    | st.sampled_from(_NUMBERS)
    | st.datetimes(timezones=st.sampled_from([dt.UTC, dt.timezone(dt.timedelta(hours=-9))])).map(str)
    | st.dates().map(str)
    | st.times().map(str)
    | st.decimals(allow_nan=False, allow_infinity=False, places=3).map(str)
    | st.uuids().map(str)
    | st.binary(max_size=4).map(lambda value: f"\\x{value.hex()}")
)
ANY_JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


def is_same(given_value: Any, read: Any, name: str) -> bool:
    """Whether what is read is what was given, in the form in which rows are shown."""
    if given_value is None or isinstance(given_value, bool):
        return read is given_value
    if isinstance(given_value, dict | list) or name in {"meta", "old_meta"}:
        return _is_same_json(given_value, read)
    if isinstance(given_value, int | float):
        number = _decimal(read)
        return number is not None and (float(number) == given_value or number == Decimal(repr(given_value)))
    return _is_same_text(given_value, read, name)


def _is_same_json(one: Any, other: Any) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_is_same_json(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_is_same_json, one, other))
    if isinstance(one, bool) or isinstance(other, bool) or not isinstance(one, int | float):
        return one is other or (type(one) is type(other) and one == other)
    return isinstance(other, int | float) and (one == other or float(one) == float(other))


def _decimal(read: Any) -> Decimal | None:
    try:
        return None if isinstance(read, bool) else Decimal(str(read))
    except InvalidOperation:
        return None


def _is_same_text(given_value: str, read: Any, name: str) -> bool:
    if name in {"small", "whole", "positive", "real", "price", "digits", "took", "parent"}:
        number = _decimal(read)
        return number is not None and float(number) == float(given_value)
    if name in {"at", "local"}:
        moment = dt.datetime.fromisoformat(given_value)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
        return dt.datetime.fromisoformat(read.removesuffix("Z") + "+00:00") == moment
    if name == "on":
        return dt.date.fromisoformat(read) == dt.date.fromisoformat(given_value)
    if name == "clock":
        return dt.time.fromisoformat(read) == dt.time.fromisoformat(given_value)
    if name == "raw":
        return read == given_value.lower()
    if name == "token":
        return read == given_value or read.replace("-", "") == given_value.lower().replace("-", "")
    if name in {"tags", "address", "span"} and not IS_SQLITE:
        return True  # other ways of writing what PostgreSQL takes for the same
    return read == given_value


#: What is taken in several forms, and how it is shown. All of it is taken by models too.
FORMS = [
    ("whole", 12, 12),
    ("whole", "12", 12),
    ("whole", 12.0, 12),
    ("whole", str(-(2**63)), -(2**63)),
    ("real", 1, 1.0),
    ("real", "1.5e3", 1500.0),
    ("price", 12.5, "12.50"),
    ("price", "12.50", "12.50"),
    ("price", 12, "12.00"),
    ("title", "\x01\u2028\U0001f389", "\x01\u2028\U0001f389"),
    ("is_open", False, False),
    ("at", "2026-12-01T11:30:00+01:00", "2026-12-01T10:30:00.000000Z"),
    ("at", "2026-12-01T10:30:00.5Z", "2026-12-01T10:30:00.500000Z"),
    ("at", "2026-12-01 10:30", "2026-12-01T10:30:00.000000Z"),
    ("at", "2026-12-01", "2026-12-01T00:00:00.000000Z"),
    ("on", "2026-12-01", "2026-12-01"),
    ("clock", "10:30", "10:30:00.000000"),
    ("took", 1_000_001, 1_000_001),
    ("meta", {"a": [1, None, {"b": "é"}]}, {"a": [1, None, {"b": "é"}]}),
    ("meta", "null", "null"),
    ("raw", "\\x68FF", "\\x68ff"),
]
#: What is refused although something could be made of it.
NO_FORMS = [
    ("whole", True),
    ("whole", 1.5),
    ("whole", "1.0"),
    ("whole", ""),
    ("real", True),
    ("real", 2**53 + 1),
    ("price", "12.505"),
    ("price", True),
    ("title", 5),
    ("title", True),
    ("title", ["a"]),
    ("is_open", 1),
    ("is_open", "true"),
    ("at", 1_764_585_000),
    ("on", "2026-12-01T10:30:00Z"),
    ("clock", "10:30:00+01:00"),
    ("took", "1 day"),
    ("token", "{01234567-89ab-cdef-0123-456789abcdef}"),
    ("raw", "aGk="),
]


@pytest.fixture
def things(table, root):
    columns = ", ".join(f'"{name}" {kinds[IS_SQLITE]}' for name, kinds in COLUMNS.items())
    table("things", f"id integer PRIMARY KEY, {columns}")
    return root


@contextmanager
def undone() -> Iterator[None]:
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def written(user: Any, name: str, column: str, value: Any, *, by_update: bool) -> Any:
    """What is read of a column after a value was written; an InvalidRowError if it is refused."""
    if by_update:
        items.create(user, name, {"id": 1})
        assert items.update(user, name, {column: value}, keys=[1]) == [1]
    else:
        assert items.create(user, name, {"id": 1, column: value}) == [1]
    [row] = shown(name)
    return row[column]


def try_one(user: Any, name: str, column: str, value: Any, *, by_update: bool) -> str:
    """Write a value and undo it; what became of it."""
    with undone():
        try:
            read = written(user, name, column, value, by_update=by_update)
        except InvalidRowError as error:
            for problem in error.problems:
                assert (problem.field, problem.value) == (column, value)
                assert column in problem.message
            return str(error.problems[0].kind)
        assert is_same(value, read, column), (value, read)
        return "stored"


@by_chance
@given(column=st.sampled_from(list(COLUMNS)), value=ANY_JSON, by_update=st.booleans())
def test_any_value_for_a_table_without_a_model(things, column, value, by_update):
    event(f"{column}: {try_one(things, 'things', column, value, by_update=by_update)}")


@pytest.mark.parametrize(("column", "value", "read"), FORMS)
def test_forms_that_a_table_takes(things, column, value, read):
    shown_as = written(things, "things", column, value, by_update=False)
    # SQLite's columns of dates and times say nothing of a zone.
    assert (f"{shown_as}Z" if column == "at" and IS_SQLITE else shown_as) == read


@pytest.mark.parametrize(("column", "value"), NO_FORMS if not IS_SQLITE else NO_FORMS[:-2] + NO_FORMS[-1:])
def test_forms_that_a_table_does_not_take(things, column, value):
    assert try_one(things, "things", column, value, by_update=False) in {"value", "out_of_range"}


@pytest.mark.parametrize("column", COLUMNS)
def test_hard_values_for_a_table_without_a_model(things, column):
    for value in HARD:
        try_one(things, "things", column, value, by_update=False)


#: The fields of a model, named after the columns above that hold the same.
FIELDS: dict[str, models.Field[Any, Any]] = {
    "small": models.SmallIntegerField(null=True),
    "whole": models.BigIntegerField(null=True),
    "positive": models.PositiveIntegerField(null=True),
    "real": models.FloatField(null=True),
    "price": models.DecimalField(max_digits=8, decimal_places=2, null=True),
    "digits": models.DecimalField(max_digits=30, decimal_places=12, null=True),
    "title": models.TextField(null=True),
    "word": models.CharField(max_length=3, null=True),
    "slug": models.SlugField(null=True),
    "email": models.EmailField(null=True),
    "chosen": models.CharField(max_length=3, choices=[("12", "twelve"), ("🎉", "party")], null=True),
    "file": models.FileField(default="none"),
    "is_open": models.BooleanField(null=True),
    "at": models.DateTimeField(null=True),
    "on": models.DateField(null=True),
    "clock": models.TimeField(null=True),
    "took": models.DurationField(null=True),
    "token": models.UUIDField(null=True),
    "meta": models.JSONField(null=True),
    "raw": models.BinaryField(null=True),
    "address": models.GenericIPAddressField(null=True),
    "parent": models.ForeignKey("self", models.SET_NULL, null=True),
}


@pytest.fixture
def model_things(declare, root):
    with isolate_apps("tests.changes"):
        described = {name: field.clone() for name, field in FIELDS.items()}
        meta = type("Meta", (), {"app_label": "things", "db_table": "Model things"})
        thing = type("Thing", (models.Model,), {"__module__": __name__, "Meta": meta, **described})
        with connection.schema_editor() as editor:
            editor.create_model(thing)
        declare(watch, thing, name="model_things")
        yield root
        with connection.schema_editor() as editor:
            editor.delete_model(thing)


@pytest.mark.stack("full")
def test_field_at_fault_is_found_among_others(model_things):
    """PostgreSQL's error names none; values of a model are looked at as the model writes them."""
    run('ALTER TABLE "Model things" ALTER whole TYPE smallint')
    values = {
        "meta": {"a": [1]},
        "took": 5,
        "raw": "\\x68",
        "address": "::1",
        "whole": 40_000,
        "title": "a",
    }
    with pytest.raises(InvalidRowError) as refused:
        items.create(model_things, "model_things", values)

    assert [(problem.kind, problem.field) for problem in refused.value.problems] == [
        ("out_of_range", "whole")
    ]


@by_chance
@given(column=st.sampled_from(list(FIELDS)), value=ANY_JSON, by_update=st.booleans())
def test_any_value_for_a_model(model_things, column, value, by_update):
    event(f"{column}: {try_one(model_things, 'model_things', column, value, by_update=by_update)}")


@pytest.mark.parametrize(("column", "value", "read"), FORMS)
def test_forms_that_a_model_takes(model_things, column, value, read):
    assert written(model_things, "model_things", column, value, by_update=True) == read


@pytest.mark.parametrize(("column", "value"), NO_FORMS)
def test_forms_that_a_model_does_not_take(model_things, column, value):
    assert try_one(model_things, "model_things", column, value, by_update=True) in {"value", "out_of_range"}


@pytest.mark.parametrize("column", FIELDS)
def test_hard_values_for_a_model(model_things, column):
    for value in HARD:
        try_one(model_things, "model_things", column, value, by_update=True)
