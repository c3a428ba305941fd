"""What apps declare is checked, and `migrate` makes the triggers what is declared."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
from django.contrib.auth.models import Group
from django.core.management import call_command

from accounts.models import User
from changes import (
    ALL_FIELDS,
    Action,
    allow,
    checks,
    migrating,
    registry,
    shapes,
    signed_in,
    triggers,
    user_value,
    watch,
    watch_table,
)
from changes.opened import opened
from changes.permitted import permitted
from changes.registry import Collection, collections
from realtime import Topic
from realtime.models import Topic as TopicModel
from tests.changes.conftest import IS_SQLITE, Told, nothing_declared, run

Read = Callable[[str], list[Told]]


@pytest.fixture
def only() -> Iterator[None]:
    """Nothing is declared but what the test declares."""
    with nothing_declared():
        yield


def watch_people(**right: Any) -> Collection:
    return watch(User, name="people", fields="*", rights=[allow("read", to=signed_in, **right)])


def mistakes() -> list[str]:
    return [message.msg for message in checks.check_collections(None)]


def test_right_declarations_have_no_mistakes(only: None):
    user_value("teams")(list)
    watch(
        User,
        name="people",
        fields=["username"],  # the key always comes along
        rights=[allow("read", to=signed_in, rows={"id": {"_in": "$CURRENT_USER.teams"}}, fields=["id"])],
    )
    watch_table("Order items", name="order_items", fields=ALL_FIELDS, rights=[allow("read", to=signed_in)])

    assert mistakes() == []
    assert [collection.topic for collection in collections()] == [
        "collection.people",
        "collection.order__items",
    ]


@pytest.mark.parametrize(
    ("declaration", "mistake"),
    [
        (lambda: watch_table("t", name="Order items", fields="*"), "no name for a collection"),
        (lambda: watch_table("t", name="a" * 41, fields="*"), "no name for a collection"),
        (lambda: watch_table("t", name="", fields="*"), "no name for a collection"),
        (lambda: [watch_table(t, name="a", fields="*") for t in "tu"], "have the name 'a'"),
        (lambda: [watch_table("t", name=n, fields="*") for n in "ab"], "have the table 't'"),
        (lambda: watch(TopicModel, name="topics", fields="*"), "cannot be watched"),
        (lambda: watch_table("changes_notedchange", name="notes", fields="*"), "cannot be watched"),
        (lambda: watch(User, name="people", fields=["id", "shoe_size"]), "the field 'shoe_size'"),
        (lambda: watch(User, name="people", fields=["groups"]), "the field 'groups'"),
        (lambda: watch(User, name="people", fields=[]), "has no fields"),
        (
            lambda: watch(User, name="people", fields="*", rights=[allow("read", to=cast("Any", True))]),
            "must be a function",
        ),
        (
            lambda: watch(User, name="people", fields="*", rights=[allow(cast("Any", "look"), to=signed_in)]),
            "'look' in a right to 'people' is none of read, create, update, delete",
        ),
        (lambda: watch(User, name="people", fields="*", rights=[allow(to=signed_in)]), "allows nothing"),
        (
            lambda: watch_people(rows={"username": {"_is": "ana"}}),
            "The rule of a right to 'people': There is no operator '_is' for username.",
        ),
        (lambda: watch_people(rows={"shoe_size": 42}), "no field 'shoe_size'"),
        (lambda: watch_people(rows={"id": "$CURRENT_USER.shoes"}), "no variable '$CURRENT_USER.shoes'"),
        (lambda: watch_people(rows={"id": {"_eq": "x"}}), "id._eq takes a whole number"),
        (lambda: user_value("Home town")(str), "'Home town' is no name for a value of the user"),
        (lambda: user_value("email")(str), "another value $CURRENT_USER.email of the user"),
        (lambda: [user_value("team")(str) for _ in range(2)], "another value $CURRENT_USER.team of the user"),
        (
            lambda: watch(
                User, name="people", fields=["id"], rights=[allow("read", to=signed_in, fields=["username"])]
            ),
            "people has no field 'username'",
        ),
        (lambda: watch(User, name="people", fields=["id"], follows=["id"]), "'id' leads to no other row"),
    ],
)
def test_mistake_is_named(only: None, declaration: Callable[[], Any], mistake: str):
    declaration()

    [message] = mistakes()
    assert mistake in message


def test_rule_about_a_table_without_a_model_is_left_to_the_database(only: None):
    watch(
        Group.permissions.through,
        name="granted",
        fields="*",
        rights=[allow("read", to=signed_in, rows={"group": {"name": "editors"}})],
    )
    assert "no operator 'name' for group" in mistakes()[0]
    watch_table("auth_group", name="groups", fields="*")

    assert mistakes() == []


def test_rule_about_a_column_of_a_strange_type_is_left_to_the_database(
    only: None, monkeypatch: pytest.MonkeyPatch
):
    watch_people(rows={"username": "ana"})
    assert mistakes() == []
    monkeypatch.delitem(shapes._KIND_OF_FIELD, "CharField")
    assert mistakes() == []
    watch(Group, name="groups", fields="*", rights=[allow("read", to=signed_in, rows={"id": {"_is": 7}})])

    [message] = mistakes()
    assert "no operator '_is' for id" in message


@pytest.mark.parametrize(
    ("rights", "mistake"),
    [
        ({"rows": {"name": {"_is": 1}}}, "no operator '_is' for name"),
        ({"rows": {"title": "a"}}, "no field 'title'"),
        ({"fields": ["title"]}, "items has no field 'title'"),
    ],
)
def test_mistake_in_a_right_to_a_table_without_a_model_is_named_and_lets_nobody_in(
    rights: dict[str, Any],
    mistake: str,
    table: Callable[..., Collection],
    ana: User,
    caplog: pytest.LogCaptureFixture,
):
    table(
        "items",
        "id integer PRIMARY KEY, name text",
        rights=[allow("read", to=signed_in, **rights), allow("read", to=signed_in, fields=["id"])],
    )

    assert mistakes() == []
    [message] = checks.check_tables(None, ["default"])
    assert mistake in message.msg
    assert permitted(Action.READ, opened("items"), ana).fields == {"id"}
    assert mistake in caplog.text


def test_nobody_reads_what_was_declared_without_rights_but_superusers(
    declare: Callable[..., Collection], ana: User
):
    declare(watch, User, name="people")
    boss = User.objects.create_superuser("boss", "boss@example.com", "a-password-of-the-boss")

    def fields(user: User | None) -> int:
        return len(permitted(Action.READ, opened("people"), user).fields)

    assert [fields(user) for user in (None, ana)] == [0, 0]
    assert fields(boss) > 5
    boss.is_active = False
    assert fields(boss) == 0


def migrate() -> str:
    said = io.StringIO()
    call_command("migrate", verbosity=1, stdout=said, stderr=said)
    return said.getvalue()


def parts() -> list[str]:
    return sorted(fault.part for fault in triggers.faults(collections()))


def test_migrate_installs_refreshes_and_removes(declare: Callable[..., Collection], told: Read):
    others = collections()
    declared = watch(Group, name="groups", fields=["name"])
    assert {(fault.what, fault.collection) for fault in triggers.faults(collections())} == {
        ("missing", "groups")
    }

    migrate()
    assert triggers.faults(collections()) == []
    Group.objects.create(name="a")
    assert [(event.new or {}).keys() for event in told("groups")] == [{"id", "name"}]

    registry._collections[:] = [*others, Collection("groups", declared.table, Group, ("id",), ())]
    outdated = {(fault.what, fault.collection) for fault in triggers.faults(collections())}
    assert outdated == {("outdated", "groups")}
    migrate()
    assert triggers.faults(collections()) == []
    Group.objects.create(name="b")
    events = told("groups")
    assert [event.what for event in events] == ["missed", "create"]  # whoever watches loads them anew
    assert set(events[1].new or ()) == {"id"}

    registry._collections[:] = others
    assert {fault.what for fault in triggers.faults(others)} == {"left over"}
    migrate()
    assert triggers.faults(others) == []
    Group.objects.create(name="c")
    assert told("groups") == []


def test_migrate_that_has_nothing_to_do_leaves_triggers_alone(items: Collection, told: Read):
    run("INSERT INTO items VALUES (1, 'a')")
    told("items")
    migrate()

    assert told("items") == []
    assert parts() == []


def test_migration_drops_a_watched_column(items: Collection, told: Read):
    """On SQLite a trigger that names the column forbids it."""
    run("INSERT INTO items VALUES (1, 'a')")
    told("items")

    migrating.before(using="default", plan=["a migration"])
    run("ALTER TABLE items DROP COLUMN name")
    migrating.after(using="default")
    run("INSERT INTO items VALUES (2)")

    assert triggers.faults(collections()) == []
    assert [(event.what, event.new) for event in told("items")] == [
        ("missed", None),
        ("create", {"id": 2}),
    ]


def test_table_of_notes_goes_after_the_triggers(items: Collection):
    """`migrate changes zero`: else every write would be to a table that is not there."""
    call_command("migrate", "changes", "zero", verbosity=0)
    try:
        assert triggers.faults([]) == []  # nothing is left over
        run("INSERT INTO items VALUES (1, 'a')")
    finally:
        call_command("migrate", verbosity=0)

    assert triggers.faults(collections()) == []


def test_declared_table_that_is_absent_is_named_and_keeps_no_other(
    declare: Callable[..., Collection], caplog: pytest.LogCaptureFixture
):
    watch_table("no_such_table", name="ghosts", fields="*")
    watch(Group, name="groups", fields=ALL_FIELDS)
    migrate()

    assert "no_such_table" in caplog.text
    [fault] = triggers.faults(collections())
    assert (fault.collection, fault.part) == ("ghosts", "its table")


def test_table_without_a_key_cannot_be_watched(declare: Callable[..., Collection]):
    run("CREATE TABLE keyless (name text)")
    try:
        watch_table("keyless", name="keyless", fields="*")
        assert "no primary key" in triggers.install(collections())[0].what
    finally:
        run("DROP TABLE keyless")


def test_system_check_names_what_is_not_as_declared(items: Collection):
    assert database_check() == ""
    trigger = "relais_note_items_update"
    run(f"DROP TRIGGER {trigger}" + ("" if IS_SQLITE else " ON items"))

    said = database_check()
    assert f"trigger {trigger} on items of 'items' (missing)" in said
    assert "relais.W030" in said


def database_check() -> str:
    said = io.StringIO()
    call_command("check", databases=["default"], stderr=said, stdout=io.StringIO())
    return "\n".join(line for line in said.getvalue().splitlines() if "W001" not in line and "W03" in line)


def test_topic_that_nobody_was_told_anything_has_missed_nothing(declare: Callable[..., Collection]):
    declare(watch, Group, name="groups")
    Topic.objects.filter(name="collection.groups").delete()
    triggers.note_missed(["groups"])

    assert run("SELECT count(*) FROM changes_notedchange") == [(0,)]
