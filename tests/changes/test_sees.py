"""Every write is seen, however it is made; what is rolled back never was."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.urls import reverse

from accounts.models import User
from changes import watch
from changes.models import NotedChange
from changes.registry import Collection
from notifications.models import Notification
from tests.changes.conftest import IS_SQLITE, Told, run
from tests.factories import make_user

Read = Callable[[str], list[Told]]


def rows(events: list[Told]) -> list[tuple[str, Any, Any]]:
    return [event.row for event in events]


A, B, C = ({"id": number, "name": name} for number, name in ((1, "a"), (2, "b"), (3, "c")))


def test_insert_update_and_delete_are_told_with_the_rows_before_and_after(items: Collection, told: Read):
    run("INSERT INTO items VALUES (1, 'a')")
    run("UPDATE items SET name = 'z' WHERE id = 1")
    run("DELETE FROM items")

    z = {"id": 1, "name": "z"}
    assert rows(told("items")) == [("create", None, A), ("update", A, z), ("delete", z, None)]


def test_rows_of_one_statement_carry_one_mark_and_those_of_two_carry_two(items: Collection, told: Read):
    run("INSERT INTO items VALUES (1, 'a'), (2, 'b')")
    run("INSERT INTO items VALUES (3, 'c')")
    run("UPDATE items SET name = 'z'")
    run("UPDATE items SET name = 'y'")
    run("DELETE FROM items")

    marks = [event.write for event in told("items")]
    runs = [len({*marks[start:end]}) for start, end in ((0, 2), (2, 3), (3, 6), (6, 9), (9, 12))]
    assert runs == [1] * 5
    assert len(set(marks)) == 5


def test_statement_after_others_were_read_has_one_mark_too(items: Collection, told: Read):
    """On SQLite the mark is made from the newest id, whose row is gone by then."""
    run("INSERT INTO items VALUES (1, 'a')")
    told("items")
    run("INSERT INTO items VALUES (2, 'b'), (3, 'c')")

    assert len({event.write for event in told("items")}) == 1


def test_new_key_is_another_row(items: Collection, told: Read):
    run("INSERT INTO items VALUES (1, 'a')")
    told("items")
    run("UPDATE items SET id = 7")

    assert sorted(rows(told("items")), key=lambda row: row[0]) == [
        ("create", None, {"id": 7, "name": "a"}),
        ("delete", A, None),
    ]


def test_new_keys_of_several_rows_are_told_by_key(items: Collection, told: Read):
    run("INSERT INTO items VALUES (1, 'a'), (2, 'b')")
    told("items")
    run("UPDATE items SET id = -id")

    last: dict[int, Any] = {1: A, 2: B}
    for event in told("items"):
        row = event.new or event.old
        assert row is not None
        assert last.get(row["id"]) == event.old
        last[row["id"]] = event.new
    assert {key: row for key, row in last.items() if row} == {
        -1: {"id": -1, "name": "a"},
        -2: {"id": -2, "name": "b"},
    }


def test_upsert_is_what_it_did_to_each_row(items: Collection, told: Read):
    run("INSERT INTO items VALUES (1, 'a')")
    told("items")
    run("INSERT INTO items VALUES (1, 'z'), (2, 'b') ON CONFLICT (id) DO UPDATE SET name = excluded.name")
    run("INSERT INTO items VALUES (1, 'y'), (3, 'c') ON CONFLICT (id) DO NOTHING")

    assert sorted(rows(told("items")), key=str) == sorted(
        [
            ("update", A, {"id": 1, "name": "z"}),
            ("create", None, B),
            ("create", None, C),
        ],
        key=str,
    )


@pytest.mark.stack("small")
def test_insert_or_replace_deletes_what_it_replaces(items: Collection, told: Read):
    run("INSERT INTO items VALUES (1, 'a')")
    told("items")
    run("INSERT OR REPLACE INTO items VALUES (1, 'z')")
    run("INSERT OR IGNORE INTO items VALUES (1, 'y')")

    assert sorted(rows(told("items")), key=str) == [
        ("create", None, {"id": 1, "name": "z"}),
        ("delete", A, None),
    ]


@pytest.mark.stack("full")
def test_truncate_deletes_every_row(items: Collection, told: Read):
    run("INSERT INTO items VALUES (1, 'a'), (2, 'b')")
    told("items")
    run("TRUNCATE items")

    events = told("items")
    assert rows(events) == [("delete", A, None), ("delete", B, None)]
    assert len({event.write for event in events}) == 1


@pytest.mark.stack("full")
def test_partitioned_table_is_seen_through_it_and_through_its_partitions(
    table: Callable[..., Collection], told: Read
):
    run("DROP TABLE IF EXISTS parted")
    run("CREATE TABLE parted (id int PRIMARY KEY, name text) PARTITION BY RANGE (id)")
    try:
        run("CREATE TABLE parted_low PARTITION OF parted FOR VALUES FROM (0) TO (10)")
        run("CREATE TABLE parted_high (name text, id int NOT NULL)")  # in another order
        run("ALTER TABLE parted ATTACH PARTITION parted_high FOR VALUES FROM (10) TO (20)")
        table("unused", "id int PRIMARY KEY")
        from changes import triggers
        from changes.registry import collections, watch_table

        watch_table("parted", name="parted", fields="*")
        triggers.install(collections())

        run("INSERT INTO parted VALUES (1, 'a'), (11, 'b')")
        run("INSERT INTO parted_high (id, name) VALUES (12, 'c')")
        run("UPDATE parted SET id = 13 WHERE id = 1")  # moves to the other partition
        run("TRUNCATE parted")

        high = [{"id": number, "name": name} for number, name in ((11, "b"), (12, "c"), (13, "a"))]
        assert sorted(rows(told("parted")), key=str) == sorted(
            [
                ("create", None, A),
                ("create", None, high[0]),
                ("create", None, high[1]),
                ("delete", A, None),
                ("create", None, high[2]),
                *(("delete", row, None) for row in high),
            ],
            key=str,
        )
    finally:
        run("DROP TABLE parted")


def test_bulk_create_update_and_delete_of_the_orm_are_seen(declare: Callable[..., Collection], told: Read):
    declare(watch, User, name="users", fields=["id", "username", "is_active"])

    people = [User(username=f"person{n}", email=f"person{n}@example.com") for n in range(3)]
    User.objects.bulk_create(people)
    User.objects.filter(username__in=["person1", "person2"]).update(is_active=False)
    User.objects.filter(username="person2").delete()

    events = told("users")
    assert [event.what for event in events] == ["create"] * 3 + ["update"] * 2 + ["delete"]
    assert [event.new and event.new["username"] for event in events[:3]] == ["person0", "person1", "person2"]
    assert {event.new["is_active"] for event in events[3:5] if event.new} == {False}
    assert set(events[0].new or ()) == {"id", "username", "is_active"}  # and no password


def test_cascade_of_the_database_is_seen(declare: Callable[..., Collection], told: Read, table: Any):
    run("CREATE TABLE owners (id integer PRIMARY KEY)")
    try:
        table("owned", "id integer PRIMARY KEY, owner integer REFERENCES owners ON DELETE CASCADE")
        run("INSERT INTO owners VALUES (1)")
        run("INSERT INTO owned VALUES (5, 1), (6, 1)")
        told("owned")
        run("DELETE FROM owners")

        assert sorted(event.old["id"] for event in told("owned") if event.old) == [5, 6]
        run("DROP TABLE owned")
    finally:
        run("DROP TABLE owners")


def test_cascade_of_the_orm_and_the_admin_are_seen(declare: Callable[..., Collection], told: Read):
    declare(watch, Notification, name="notices", fields=["id", "user", "kind"])
    boss = User.objects.create_superuser("boss", "boss@example.com", "a-password-of-the-boss")
    ana = make_user("ana")
    Notification.objects.create(user=ana, kind="payment_completed", data={})
    entry = Notification.objects.create(user=boss, kind="payment_completed", data={})
    told("notices")
    ana_pk = ana.pk
    ana.delete()
    browser = Client()
    browser.force_login(boss)
    browser.post(
        reverse("admin:notifications_notification_delete", args=[entry.pk]), {"post": "yes"}, secure=True
    )

    assert [(event.what, event.old and event.old["user"]) for event in told("notices")] == [
        ("delete", ana_pk),
        ("delete", boss.pk),
    ]


def test_another_program_is_seen(items: Collection, told: Read):
    if IS_SQLITE:
        with sqlite3.connect(connection.settings_dict["NAME"]) as other:
            other.execute("INSERT INTO items VALUES (1, 'a')")
        other.close()
    else:
        with psycopg.connect(_dsn()) as writer:
            writer.execute("INSERT INTO items VALUES (1, 'a')")

    assert rows(told("items")) == [("create", None, A)]


def _dsn() -> str:
    settings = connection.settings_dict
    return psycopg.conninfo.make_conninfo(
        dbname=settings["NAME"],
        user=settings["USER"],
        password=settings["PASSWORD"],
        host=settings["HOST"],
        port=settings["PORT"],
    )


@pytest.mark.stack("full")
def test_psql_of_a_role_that_may_write_only_there_is_seen(items: Collection, told: Read):
    """The trigger has the rights of whoever installed it, and its clock is UTC whatever the session's is."""
    run("DROP ROLE IF EXISTS clerk")
    run("CREATE ROLE clerk LOGIN")
    try:
        run("GRANT INSERT, SELECT, UPDATE ON items TO clerk")
        run("SET ROLE clerk")
        run("SET TimeZone = 'Europe/Paris'")
        run("INSERT INTO items VALUES (1, 'a')")
        run("RESET ROLE")
        run("SET TimeZone = 'UTC'")

        assert rows(told("items")) == [("create", None, A)]
    finally:
        run("RESET ROLE")
        run("DROP OWNED BY clerk")
        run("DROP ROLE clerk")


def test_nothing_of_a_transaction_that_is_rolled_back_is_told(items: Collection, told: Read):
    with transaction.atomic():
        run("INSERT INTO items VALUES (1, 'a')")
        transaction.set_rollback(True)
    run("INSERT INTO items VALUES (2, 'b')")

    assert rows(told("items")) == [("create", None, B)]


def test_nothing_of_a_savepoint_that_is_rolled_back_is_told(items: Collection, told: Read):
    with transaction.atomic():
        run("INSERT INTO items VALUES (1, 'a')")
        with transaction.atomic():
            run("INSERT INTO items VALUES (2, 'b')")
            transaction.set_rollback(True)
        run("INSERT INTO items VALUES (3, 'c')")

    assert rows(told("items")) == [("create", None, A), ("create", None, C)]


def test_nothing_of_a_statement_that_failed_is_told(items: Collection, told: Read):
    run("INSERT INTO items VALUES (2, 'b')")
    with pytest.raises(IntegrityError):
        run("INSERT INTO items VALUES (1, 'a'), (2, 'again')")

    assert rows(told("items")) == [("create", None, B)]


def test_table_that_is_not_watched_costs_nothing(items: Collection, ana: User):
    Notification.objects.create(user=ana, kind="payment_completed", data={})

    assert not NotedChange.objects.exists()
    if IS_SQLITE:
        triggers = run("SELECT count(*) FROM sqlite_master WHERE type = 'trigger' AND tbl_name LIKE 'notif%'")
    else:
        triggers = run(
            "SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'relais%'"
            " AND tgrelid = 'notifications_notification'::regclass"
        )
    assert triggers == [(0,)]
