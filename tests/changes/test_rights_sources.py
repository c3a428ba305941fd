"""Rights that change are told to every collection, whoever changes them, and before what comes after it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest
from django.contrib.auth.models import Group, Permission, update_last_login
from django.core.management import call_command
from django.db import connection, connections, transaction
from django.utils import timezone

from accounts.models import Session, User
from changes import (
    checks,
    noted,
    reader,
    registry,
    rights_changed,
    rights_notes,
    triggers,
    watch,
    watch_rights,
)
from changes.errors import UnknownCollectionError
from changes.models import NotedChange
from changes.opened import opened
from changes.registry import Collection, rights_sources
from chat.models import Conversation
from realtime import Topic, log
from tests.changes.conftest import IS_SQLITE, Told, nothing_declared, run
from tests.factories import make_user

pytestmark = pytest.mark.django_db(transaction=True)

Read = Callable[[], list[Any]]
EVERYBODY = None
#: The sources that every app has.
OF_USERS, OF_GROUPS = "$accounts$user$id", "$accounts$user_groups$user"


@pytest.fixture
def only() -> Iterator[None]:
    """Nothing is declared but the sources of every app, and what the test declares."""
    with nothing_declared():
        yield


@pytest.fixture
def heard(items: Collection) -> Read:
    """`heard()`: reads what was noted; returns the events of `items` since then: whose rights, what row."""
    seen = 0

    def read() -> list[Any]:
        nonlocal seen
        while reader.read_some():
            pass
        page = log.replay(items.topic, after=seen, limit=100_000)
        if page:
            seen = page[-1].seq or 0
        events = [msgspec.json.decode(event.body) for event in page]
        return [event["users"] if event["type"] == "rights_changed" else event.get("new") for event in events]

    return read


def row(number: int) -> dict[str, Any]:
    return {"id": number, "name": None}


def insert(number: int) -> None:
    run("INSERT INTO items (id) VALUES (%s)", number)


# ── which changes ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("is_active", False),
        ("is_superuser", True),
        ("is_staff", True),
        ("username", "anna"),
        ("email", "anna@example.org"),
        ("first_name", "Anna"),
        ("last_name", "Sol"),
    ],
)
@pytest.mark.parametrize("how", ["raw SQL", "update", "save"])
def test_user_is_told_of(field: str, value: Any, how: str, heard: Read, ana: User, bruno: User):
    if how == "raw SQL":
        run(f"UPDATE accounts_user SET {field} = %s WHERE id = %s", value, ana.pk)
    elif how == "update":
        User.objects.filter(pk=ana.pk).update(**{field: value})
    else:
        setattr(ana, field, value)
        ana.save()

    assert heard() == [[ana.pk]]


def test_login_and_what_else_alters_no_rights_notes_nothing(heard: Read, ana: User):
    update_last_login(None, ana)  # type: ignore[arg-type]
    ana.language, ana.shares_typing = "fr", False
    ana.save()
    ana.set_password("another-password-of-ana")
    ana.save()
    User.objects.update(last_login=timezone.now(), is_active=True, is_superuser=False)
    run("UPDATE accounts_user SET username = username, last_login = NULL")
    make_user("new")

    assert not NotedChange.objects.exists()
    assert heard() == []


def test_two_users_of_one_statement_are_told_at_once(heard: Read, ana: User, bruno: User, clara: User):
    run("UPDATE accounts_user SET is_superuser = %s WHERE id IN (%s, %s)", True, bruno.pk, ana.pk)

    assert heard() == [[ana.pk, bruno.pk]]


def test_user_who_is_deleted_is_told_of(heard: Read, ana: User):
    pk = ana.pk
    ana.delete()

    assert heard() == [[pk]]


def test_groups_of_a_user_are_told_of_and_a_group_is_everybodys(heard: Read, ana: User, bruno: User):
    group = Group.objects.create(name="editors")
    assert heard() == [EVERYBODY]
    group.user_set.add(ana, bruno)  # type: ignore[attr-defined]  # the way back from users
    assert heard() == [[ana.pk, bruno.pk]]
    run("UPDATE accounts_user_groups SET user_id = %s WHERE user_id = %s", make_user("new").pk, ana.pk)
    assert heard() == [[ana.pk, User.objects.get(username="new").pk]]
    bruno.groups.clear()
    assert heard() == [[bruno.pk]]
    Group.objects.filter(pk=group.pk).update(name="writers")
    assert heard() == [EVERYBODY]
    Group.objects.filter(pk=group.pk).update(name="writers")
    assert heard() == []
    group.delete()
    assert heard() == [EVERYBODY]


def test_permissions_of_django_are_told_of(heard: Read, ana: User):
    permission = Permission.objects.all()[0]
    ana.user_permissions.add(permission)
    assert heard() == [[ana.pk]]
    group = Group.objects.create(name="editors")
    heard()
    group.permissions.add(permission)
    assert heard() == [EVERYBODY]


@pytest.mark.stack("full")
def test_members_of_a_group_whose_table_is_truncated_are_told_of(heard: Read, ana: User, bruno: User):
    Group.objects.create(name="editors").user_set.add(ana, bruno)  # type: ignore[attr-defined]  # the same
    heard()
    run("TRUNCATE accounts_user_groups")

    assert heard() == [[ana.pk, bruno.pk]]


def test_what_is_rolled_back_is_not_told(heard: Read, ana: User):
    with transaction.atomic():
        User.objects.update(is_superuser=True)
        rights_changed([ana.pk])
        transaction.set_rollback(True)

    assert not NotedChange.objects.exists()


def test_every_collection_is_told_once(heard: Read, ana: User):
    before = log.heads([each.topic for each in registry.collections()])
    User.objects.update(is_superuser=True)
    Group.objects.create(name="editors")
    heard()

    assert {topic: head - before[topic] for topic, head in log.heads(before).items()} == dict.fromkeys(
        before, 1
    )
    assert len(before) > 5


def test_no_collection_notes_nothing(transactional_db: None, ana: User):
    before = registry.collections()
    with nothing_declared():
        triggers.install(registry.collections())
        try:
            run("UPDATE accounts_user SET is_superuser = %s", True)
            Group.objects.create(name="editors").user_set.add(ana)  # type: ignore[attr-defined]  # the same
            rights_changed([ana.pk])
            rights_changed(None)

            assert not NotedChange.objects.exists()
            assert triggers.faults(registry.collections()) == []
        finally:
            triggers.install(before)


# ── what apps declare and say ────────────────────────────────────────────────────────────────────────────


def test_table_of_an_app_decides_rights(heard: Read, ana: User, bruno: User):
    watch_rights(Session, user="user", fields=["revoked_at"])
    triggers.install(registry.collections())
    session = Session.objects.create(user=ana)
    assert heard() == [[ana.pk]]
    Session.objects.update(last_used_at=timezone.now())
    assert heard() == []
    Session.objects.update(revoked_at=timezone.now())
    assert heard() == [[ana.pk]]
    Session.objects.update(user=bruno)
    assert heard() == [[ana.pk, bruno.pk]]
    session.delete()
    assert heard() == [[bruno.pk]]


def test_table_of_an_app_decides_everybodys_rights(heard: Read, ana: User):
    watch_rights(Conversation, user=None, fields=["title"])
    triggers.install(registry.collections())
    Conversation.objects.create(title="a")
    assert heard() == [EVERYBODY]
    Conversation.objects.update(title="a")
    assert heard() == []
    Conversation.objects.update(title="b")
    assert heard() == [EVERYBODY]


def test_more_fields_of_a_table_that_is_a_source_already(heard: Read, ana: User):
    watch_rights(User, user="id", fields=["language", "is_staff"])
    triggers.install(registry.collections())
    User.objects.update(language="fr")

    assert heard() == [[ana.pk]]
    assert len({source.name for source in rights_sources()}) == len(rights_sources()) == 5


def test_app_says_that_rights_changed(heard: Read, ana: User, bruno: User):
    rights_changed(user.pk for user in (bruno, ana))
    assert heard() == [[ana.pk, bruno.pk]]
    rights_changed(None)
    assert heard() == [EVERYBODY]
    rights_changed([])
    assert heard() == []


@pytest.mark.stack("full")
def test_reader_is_woken_by_what_an_app_says(items: Collection):
    with connection.cursor() as cursor:
        cursor.execute("LISTEN relais_changes")
    rights_changed(None)
    try:
        assert connection.connection is not None
        assert [notice.channel for notice in connection.connection.notifies(timeout=5, stop_after=1)] == [
            "relais_changes"
        ]
    finally:
        run("UNLISTEN relais_changes")


def test_note_that_cannot_be_read_is_about_everybody():
    def users(name: str, *rows: str | None) -> list[int] | None:
        return rights_notes.users_of(noted.Noted(1, name, 0, None, row, 0) for row in rows)

    assert users(OF_GROUPS, '{"user": 7}', '{"user": null}', '{"user": 3}') == [3, 7]
    assert users(OF_GROUPS) == []
    for wrong in (None, "no JSON", "[7]", "{}", '{"user": "7"}', '{"user": [7]}', "[" * 100_000):
        assert users(OF_GROUPS, '{"user": 7}', wrong) is EVERYBODY
    assert users("$of$newer$apps", '{"user": 7}') is EVERYBODY
    assert users("$auth$group", "{}") is EVERYBODY


def test_notes_keep_nothing_of_a_user_but_the_key(items: Collection, ana: User):
    User.objects.update(email="anna@example.org")
    ana.groups.add(Group.objects.create(name="editors"))

    rows = NotedChange.objects.order_by("id").values_list("collection", "old", "new")
    assert [(name, *(text and msgspec.json.decode(text) for text in both)) for name, *both in rows] == [
        (OF_USERS, {"id": ana.pk}, {"id": ana.pk}),
        ("$auth$group", None, {}),
        (OF_GROUPS, None, {"user": ana.pk}),
    ]


@pytest.mark.stack("full")
def test_change_that_cannot_be_noted_is_about_everybody(heard: Read, ana: User):
    run("ALTER TABLE accounts_user RENAME is_staff TO was_staff")
    try:
        run("UPDATE accounts_user SET is_superuser = true")
    finally:
        run("ALTER TABLE accounts_user RENAME was_staff TO is_staff")

    assert heard() == [EVERYBODY]
    assert run("SELECT is_superuser FROM accounts_user") == [(True,)]


# ── order ────────────────────────────────────────────────────────────────────────────────────────────────


def test_loss_is_told_before_what_is_committed_after_it(heard: Read, ana: User):
    User.objects.update(is_superuser=True)
    heard()
    insert(1)
    run("UPDATE accounts_user SET is_superuser = %s", False)
    insert(2)

    assert heard() == [[ana.pk], row(1), row(2)]


@contextmanager
def noted_earlier(number: int) -> Iterator[None]:
    """A row that another connection writes before the block, and commits after it."""
    other = connections["default"].copy()
    try:
        with other.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute("INSERT INTO items (id) VALUES (%s)", [number])
            yield
            cursor.execute("COMMIT")
    finally:
        other.close()


@pytest.mark.stack("full")
def test_loss_is_told_before_a_change_that_was_noted_earlier_and_committed_later(
    heard: Read, ana: User, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(noted, "BATCH", 1)
    with noted_earlier(1):
        User.objects.update(is_superuser=True)

    in_their_order = NotedChange.objects.order_by("id").values_list("collection", flat=True)
    assert list(in_their_order) == ["items", OF_USERS]
    assert heard() == [[ana.pk], row(1)]


def test_everything_about_rights_is_read_before_anything_else(
    heard: Read, ana: User, bruno: User, clara: User, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(noted, "BATCH", 2)
    insert(1)
    User.objects.update(is_superuser=True)
    insert(2)

    assert heard() == [[ana.pk, bruno.pk], [clara.pk], row(1), row(2)]


def test_one_statement_looks_for_rights_and_for_changes(
    items: Collection, ana: User, django_assert_num_queries: Any
):
    """Between two, a right could be lost and a row be written after it."""
    insert(1)
    User.objects.update(is_superuser=True)
    with django_assert_num_queries(1):
        assert [change.collection for change in noted.take()] == [OF_USERS]


def test_rights_are_looked_for_in_an_index_that_holds_nothing_else(items: Collection):
    insert(1)
    sql, given = noted._STATEMENTS[connection.vendor], [500, 500, 10_000]
    if IS_SQLITE:
        plan = "\n".join(str(line[-1]) for line in run("EXPLAIN QUERY PLAN " + sql, *given))
        looks = plan.count("USING INDEX changes_noted_of_rights")
    else:
        with transaction.atomic():
            run("SET LOCAL enable_seqscan = off")  # of a table with one row
            plan = "\n".join(line for (line,) in run("EXPLAIN (COSTS OFF) " + sql, *given))
        looks = plan.count("changes_noted_of_rights")

    assert looks == 2, plan  # whether there is something, and for it


@pytest.mark.stack("full")
def test_row_that_is_committed_after_a_loss_is_never_told_before_it(
    heard: Read, monkeypatch: pytest.MonkeyPatch
):
    """However the reader's looks fall between the commits."""
    monkeypatch.setattr(noted, "BATCH", 1)
    people = [make_user(f"user{number}") for number in range(100)]

    def lose_and_write() -> None:
        for number, user in enumerate(people):
            with noted_earlier(-1 - number):
                User.objects.filter(pk=user.pk).update(is_staff=True)

    heard()
    loser = in_thread(lose_and_write)
    events = []
    while loser.is_alive():
        events += heard()
    events += heard()

    places = {event[0] if isinstance(event, list) else event["id"]: at for at, event in enumerate(events)}
    assert len(events) == 2 * len(people)
    assert [user.pk for number, user in enumerate(people) if places[user.pk] > places[-1 - number]] == []


def in_thread(work: Callable[[], None]) -> threading.Thread:
    """A thread with a connection of its own, which is under way."""

    def work_and_close() -> None:
        try:
            work()
        finally:
            connection.close()

    thread = threading.Thread(target=work_and_close)
    thread.start()
    return thread


def test_changes_of_a_table_that_is_a_source_too_keep_the_marks_of_their_statements(
    declare: Callable[..., Collection], told: Callable[[str], list[Told]]
):
    declare(watch, Group, name="groups")
    for name in "abc":
        Group.objects.create(name=name)
    told("groups")
    run("UPDATE auth_group SET name = CASE name WHEN 'b' THEN name ELSE name || 'x' END")
    run("UPDATE auth_group SET name = name || 'y'")

    events = told("groups")
    assert [(event.new or {})["name"] for event in events] == ["ax", "b", "cx", "axy", "by", "cxy"]
    assert [event.write == events[0].write for event in events] == [True] * 3 + [False] * 3


# ── what watches ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", [OF_USERS, OF_GROUPS, "$said", "$auth$group"])
def test_source_is_no_collection(name: str, items: Collection):
    assert name in {rights_notes.SAID, *(source.name for source in rights_sources())}
    assert name not in {each.name for each in registry.collections()}
    with pytest.raises(UnknownCollectionError):
        opened(name)


def test_names_of_sources_fit_and_differ(only: None):
    long = type("AVeryLongNameForAModelIndeed", (), {})
    for user in ("first_user_of_them", "first_user_of_those"):
        options = type("_meta", (), {"label_lower": "an_app.averylongnameforamodelindeed", "db_table": "t"})
        long._meta = options  # type: ignore[attr-defined]
        watch_rights(long, user=user, fields=["id"])
    names = [source.name for source in rights_sources()]

    assert len(set(names)) == 7
    assert max(map(len, names)) == registry.MAX_NAME_LENGTH


@pytest.mark.parametrize(
    ("declare", "mistake"),
    [
        (lambda: watch_rights(Session, user="user", fields=["shoes"]), "no column for the field 'shoes'"),
        (lambda: watch_rights(Session, user="owner", fields=["id"]), "no column for the field 'owner'"),
        (lambda: watch_rights(Session, user="address", fields=["id"]), "'address' leads to no user"),
        (
            lambda: watch_rights(User.groups.through, user="group", fields=["user"]),
            "'group' leads to no user",
        ),
        (lambda: watch_rights(Session, user=None, fields=[]), "names no fields"),
        (lambda: watch_rights(Topic, user=None, fields=["head"]), "cannot be watched"),
    ],
)
def test_mistake_is_named(only: None, declare: Callable[[], None], mistake: str):
    assert checks.check_collections(None) == []
    declare()

    [message] = checks.check_collections(None)
    assert (message.id, mistake in message.msg) == ("relais.E032", True), message.msg


def test_trigger_that_is_gone_is_found_and_made_again_and_rights_are_looked_at(heard: Read, ana: User):
    insert(1)
    heard()
    run(f'DROP TRIGGER "relais_note_{OF_USERS}_update"' + ("" if IS_SQLITE else " ON accounts_user"))
    [fault] = triggers.faults(registry.collections())
    assert (fault.collection, fault.what) == (OF_USERS, "missing")
    User.objects.update(is_superuser=True)
    call_command("migrate", verbosity=0)

    assert triggers.faults(registry.collections()) == []
    assert heard() == [EVERYBODY]
