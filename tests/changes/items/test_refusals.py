"""What a database refuses of a row is told with the field and the value, where those are known."""

from __future__ import annotations

import os

import pytest
from django.db import DatabaseError

from changes import allow, items, signed_in
from changes.items import InvalidRowError, ProblemKind, RowNotAllowedError, RowProblem
from changes.items.errors import MAX_PROBLEMS
from realtime import BusyError
from realtime.database.time_budget import deadline_in
from tests.changes.conftest import IS_SQLITE, run
from tests.changes.items.conftest import problems, shown


def refused(write) -> RowProblem:
    """The one problem of a write."""
    with pytest.raises(InvalidRowError) as error:
        write()
    [problem] = error.value.problems
    assert problem.message == error.value.message
    return problem


def seen(problem: RowProblem):
    return problem.kind.value, problem.field, problem.value, problem.rule, problem.row


@pytest.fixture
def things(table, root):
    table("places", "id integer PRIMARY KEY, code text UNIQUE")
    columns = (
        "id integer PRIMARY KEY, name text NOT NULL, code text UNIQUE, hall integer, seat integer,"
        " place integer REFERENCES places (id), age integer CONSTRAINT grown CHECK (age > 17),"
        " UNIQUE (hall, seat), CHECK (hall < seat)"
    )
    table("things", columns)
    run("INSERT INTO places VALUES (1, 'a')")
    run("INSERT INTO things (id, name, code, hall, seat) VALUES (1, 'a', 'x', 1, 2)")
    return root


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"code": "x"}, ("not_unique", "code", "x", "", 0)),
        ({"id": 1}, ("not_unique", "id", 1, "", 0)),
        ({"hall": 1, "seat": 2}, ("not_unique", "hall", 1, "", 0)),
        ({"name": None}, ("not_null", "name", None, "", 0)),
        ({"place": 7}, ("foreign_key", "place", 7, "", 0)),
        ({"age": 3}, ("rule", None if IS_SQLITE else "age", None if IS_SQLITE else 3, "check", 0)),
        ({"hall": 5, "seat": 2}, ("rule", None, None, "check", 0)),
    ],
)
def test_new_row(things, values, problem):
    assert seen(refused(lambda: items.create(things, "things", {"id": 2, "name": "b"} | values))) == problem
    assert len(shown("things")) == 1


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"code": "x"}, ("not_unique", "code", "x", "", 0)),
        ({"seat": 2}, ("not_unique", "seat", 2, "", 0)),
        ({"name": None}, ("not_null", "name", None, "", 0)),
        ({"place": 7}, ("foreign_key", "place", 7, "", 0)),
        ({"seat": 0}, ("rule", None, None, "check", 0)),
    ],
)
def test_update(things, values, problem):
    run("INSERT INTO things (id, name, hall, seat) VALUES (2, 'b', 1, 3)")

    assert seen(refused(lambda: items.update(things, "things", values, keys=[2]))) == problem
    assert seen(refused(lambda: items.update_each(things, "things", [{"id": 2} | values]))) == problem


def test_field_that_is_not_given_is_required(things):
    problem = refused(lambda: items.create(things, "things", [{"id": 2, "name": "b"}, {"id": 3}]))

    assert seen(problem) == ("rule", "name", None, "required", 1)
    assert problem.message == "name is required."


def test_row_that_others_lead_to_is_not_deleted(things):
    run("UPDATE things SET place = 1")
    problem = refused(lambda: items.delete(things, "places", keys=[1]))

    assert (seen(problem), problem.message) == (
        ("foreign_key", None, None, "", None),
        "Other rows lead to this one.",
    )


@pytest.mark.parametrize("how", ["", "ON DELETE RESTRICT", "DEFERRABLE INITIALLY DEFERRED"])
def test_foreign_keys_within_a_table(table, root, how):
    table("parts", f"id integer PRIMARY KEY, whole integer REFERENCES parts (id) {how}")
    items.create(root, "parts", [{"id": 1}, {"id": 2, "whole": 1}])
    leading_here = refused(lambda: items.delete(root, "parts", keys=[1]))
    leading_nowhere = refused(lambda: items.create(root, "parts", {"id": 3, "whole": 9}))

    assert (leading_here.kind, leading_here.field) == ("foreign_key", None)
    assert (leading_here.message, leading_nowhere.kind) == ("Other rows lead to this one.", "foreign_key")
    assert (leading_nowhere.field, leading_nowhere.value) == ("whole", 9)
    for key in (2, 1):
        assert items.delete(root, "parts", keys=[key]) == [key]


def test_rows_that_lead_to_each_other_are_created_where_the_table_waits(table, root):
    table(
        "parts", "id integer PRIMARY KEY, whole integer REFERENCES parts (id) DEFERRABLE INITIALLY DEFERRED"
    )

    assert items.create(root, "parts", [{"id": 1, "whole": 2}, {"id": 2, "whole": 1}]) == [1, 2]
    problem = refused(lambda: items.create(root, "parts", [{"id": 3, "whole": 9}, {"id": 4}]))
    assert (problem.kind, problem.value, problem.row) == ("foreign_key", None, None)
    assert items.delete(root, "parts", keys=[2, 1]) == [2, 1]


def test_trigger_that_says_why(table, root):
    table("guarded", "id integer PRIMARY KEY, name text")
    if IS_SQLITE:
        run(
            "CREATE TRIGGER no_seven BEFORE INSERT ON guarded WHEN NEW.id = 7"
            " BEGIN SELECT RAISE(ABORT, 'Never seven.'); END"
        )
    else:
        run(
            "CREATE FUNCTION no_seven() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            " IF NEW.id = 7 THEN RAISE EXCEPTION 'Never seven.'; END IF; RETURN NEW; END $$"
        )
        run("CREATE TRIGGER no_seven BEFORE INSERT ON guarded FOR EACH ROW EXECUTE FUNCTION no_seven()")
    try:
        items.create(root, "guarded", {"id": 6})
        problem = refused(lambda: items.create(root, "guarded", {"id": 7}))
        assert (problem.kind, problem.rule, problem.message) == ("rule", "trigger", "Never seven.")
    finally:
        if not IS_SQLITE:
            run("DROP FUNCTION no_seven CASCADE")


@pytest.mark.stack("full")
@pytest.mark.parametrize(
    ("kind", "value", "problem"),
    [
        ("smallint", 40_000, "out_of_range"),
        ("integer", 2**40, "out_of_range"),
        ("real", 1e300, "out_of_range"),
        ("numeric(4, 1)", 12_345, "out_of_range"),
        ("numeric(4, 1)", "1.25", "out_of_range"),
        ("varchar(3)", "abcd", "too_long"),
        ("varchar(3)", "ab   ", "too_long"),
        ("char(3)", "abcd", "too_long"),
        ("short", "abcd", "too_long"),
        ("even", 3, "rule"),
        ("mood", "sad", "value"),
        ("inet", "nowhere", "value"),
        ("integer[]", ["a"], "value"),
        ("int4range", "[5,1)", "value"),
        ("bit(3)", "01", "value"),
        ("xml", "<a", "value"),
        ("tsvector", "'", "value"),
    ],
)
def test_types_of_postgresql(table, root, kind, value, problem):
    run("CREATE TYPE mood AS ENUM ('happy')")
    run("CREATE DOMAIN even AS integer CHECK (VALUE % 2 = 0)")
    run("CREATE DOMAIN short AS varchar(3)")
    try:
        table("typed", f"id integer PRIMARY KEY, ok text, held {kind}, more text")
        created = refused(
            lambda: items.create(root, "typed", {"id": 1, "ok": "a", "held": value, "more": "b"})
        )
        items.create(root, "typed", {"id": 1})
        updated = refused(lambda: items.update(root, "typed", {"ok": "a", "held": value}, keys=[1]))

        for each in (created, updated):
            assert (each.kind, each.field, each.value) == (problem, "held", value)
            assert "held" in each.message
        run("DROP TABLE typed")
    finally:
        run("DROP DOMAIN even")
        run("DROP DOMAIN short CASCADE")
        run("DROP TYPE mood CASCADE")


@pytest.mark.stack("full")
def test_values_that_types_of_postgresql_take(table, root):
    run("CREATE TYPE mood AS ENUM ('happy')")
    run("CREATE TYPE pair AS (one int, two text)")
    try:
        table(
            "typed",
            "id integer PRIMARY KEY, feels mood, tags text[], couple pair, span int4range, address inet",
        )
        given = {"feels": "happy", "tags": ["a", None, "it's"], "couple": {"one": 1, "two": "b"}}
        items.create(root, "typed", {"id": 1, **given, "span": "[1,5)", "address": "::1"})
        items.update(root, "typed", {"tags": [["a"], ["b"]]}, keys=[1])

        assert shown("typed") == [
            {"id": 1, **given, "tags": [["a"], ["b"]], "span": "[1,5)", "address": "::1"}
        ]
        run("DROP TABLE typed")
    finally:
        run("DROP TYPE mood CASCADE")
        run("DROP TYPE pair CASCADE")


@pytest.mark.stack("full")
def test_text_that_is_too_long_for_an_index(table, root):
    table("indexed", "id integer PRIMARY KEY, name text UNIQUE")
    random = "".join(chr(0x4E00 + number * 7919 % 20_000) for number in range(20_000))

    assert refused(lambda: items.create(root, "indexed", {"id": 1, "name": random})).kind == "too_long"


@pytest.mark.stack("full")
def test_exclusion_of_postgresql(table, root):
    table("booked", "id integer PRIMARY KEY, span int4range, EXCLUDE USING gist (span WITH &&)")
    items.create(root, "booked", {"id": 1, "span": "[1,5)"})
    problem = refused(lambda: items.create(root, "booked", {"id": 2, "span": "[4,9)"}))

    assert (problem.kind, problem.field, problem.value) == ("not_unique", "span", "[4,9)")


@pytest.mark.stack("small")
def test_strict_table_of_sqlite(table, root):
    table("typed", "id integer PRIMARY KEY, name text) STRICT --")
    items.create(root, "typed", {"id": 1, "name": "a"})

    assert shown("typed") == [{"id": 1, "name": "a"}]


@pytest.mark.stack("small")
def test_unnamed_row_of_sqlite_is_not_kept(table, root):
    """A key that is no number may be null there."""
    table("named", "code text PRIMARY KEY, name text")
    with pytest.raises(InvalidRowError) as refused_row:
        items.create(root, "named", {"name": "a"})

    assert problems(refused_row.value) == [("rule", "code")]
    assert shown("named") == []


def test_field_that_its_writer_does_not_know_is_not_named(table, ana):
    columns = "id integer PRIMARY KEY, name text, secret text NOT NULL DEFAULT 'x' UNIQUE"
    table("secrets", columns, rights=[allow("create", to=signed_in, fields=["id", "name"])])
    items.create(ana, "secrets", {"id": 1})
    problem = refused(lambda: items.create(ana, "secrets", {"id": 2}))

    assert (problem.kind, problem.field, problem.message) == (
        "not_unique",
        None,
        "Another row has this value.",
    )


def test_refusal_by_another_table_names_no_field(table, root):
    """A trigger writes what somebody else's table does not take."""
    table("journal", "id integer PRIMARY KEY, name text NOT NULL")
    table("noted", "id integer PRIMARY KEY, name text")
    if IS_SQLITE:
        run(
            "CREATE TRIGGER noted_too AFTER INSERT ON noted"
            " BEGIN INSERT INTO journal VALUES (NEW.id, NULL); END"
        )
    else:
        run(
            "CREATE FUNCTION noted_too() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN INSERT INTO journal VALUES (NEW.id, NULL); RETURN NEW; END $$"
        )
        run("CREATE TRIGGER noted_too AFTER INSERT ON noted FOR EACH ROW EXECUTE FUNCTION noted_too()")
    try:
        problem = refused(lambda: items.create(root, "noted", {"id": 1, "name": "a"}))
        assert (problem.kind, problem.field) == ("not_null", None)
    finally:
        if not IS_SQLITE:
            run("DROP FUNCTION noted_too CASCADE")


def test_value_that_other_rows_lead_to_is_not_changed(things, table):
    table("leading", "id integer PRIMARY KEY, code text REFERENCES places (code)")
    items.create(things, "leading", {"id": 1, "code": "a"})
    problem = refused(lambda: items.update(things, "places", {"code": "b"}, keys=[1]))

    assert (problem.kind, problem.message) == ("foreign_key", "Other rows lead to this one.")


@pytest.mark.stack("full")
def test_row_security_of_postgresql(table, root):
    table("secured", "id integer PRIMARY KEY, name text")
    role = f"writer_{os.getpid()}"
    run(f"CREATE ROLE {role}")
    try:
        run(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}")
        run("ALTER TABLE secured ENABLE ROW LEVEL SECURITY")
        run("CREATE POLICY small ON secured USING (id < 5)")
        run(f"SET ROLE {role}")
        items.create(root, "secured", {"id": 1})
        with pytest.raises(RowNotAllowedError):
            items.create(root, "secured", {"id": 7})
        run("RESET ROLE")
        run(f"REVOKE ALL ON secured FROM {role}")
        run(f"SET ROLE {role}")
        with pytest.raises(DatabaseError):  # a mistake of who set it up
            items.create(root, "secured", {"id": 2})
    finally:
        run("RESET ROLE")
        run(f"DROP OWNED BY {role}")
        run(f"DROP ROLE {role}")


def test_mistake_of_the_server_is_none_of_the_writers(table, root):
    table("gone", "id integer PRIMARY KEY, name text")
    items.create(root, "gone", {"id": 1})
    run("DROP TABLE gone")
    with pytest.raises(DatabaseError):
        items.create(root, "gone", {"id": 2})


@pytest.mark.stack("full")
def test_row_that_stays_locked_is_busy_in_time(table, root):
    import psycopg
    from django.db import connection

    table("held", "id integer PRIMARY KEY, name text")
    items.create(root, "held", {"id": 1})
    with psycopg.connect(**connection.get_connection_params() | {"cursor_factory": None}) as other:
        other.execute("UPDATE held SET name = 'theirs'")
        for write in (
            lambda: items.update(root, "held", {"name": "x"}, keys=[1]),
            lambda: items.delete(root, "held", matching={}),
        ):
            with deadline_in(0.4), pytest.raises(BusyError):
                write()


def test_many_problems_are_counted_and_the_first_are_told(things):
    rows = [{"id": number, "name": number} for number in range(500)]
    with pytest.raises(InvalidRowError) as error:
        items.create(things, "things", rows)

    assert len(error.value.problems) == MAX_PROBLEMS
    assert error.value.message == "name takes a text, not 0. And 499 more."
    assert error.value.problems[3] == RowProblem(
        ProblemKind.VALUE, "name takes a text, not 3.", "name", 3, row=3
    )
