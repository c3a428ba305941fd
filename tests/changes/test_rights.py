"""Declared rights as they are for one user: what may be done with which rows, by the user's own values."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from changes import Action, allow, anybody, items, signed_in, user_value, user_values
from changes.filters import everything, matches
from changes.opened import opened
from changes.permitted import permitted
from changes.registry import Collection
from changes.user_values import UserValues
from changes.watches import view_of
from tests.changes.conftest import run
from tests.changes.filters.articles import NOW

pytestmark = pytest.mark.django_db(transaction=True)

TASKS = "id integer PRIMARY KEY, title text, owner integer, team text"


@pytest.fixture
def teams() -> Iterator[list[str]]:
    """The teams that the app says every user is of: `$CURRENT_USER.teams`."""
    known: list[str] = []
    user_value("teams")(lambda user: known)
    yield known
    user_values._registered.pop()


@pytest.fixture
def tasks(table: Callable[..., Collection]) -> Callable[..., Collection]:
    """`tasks(allow(…), …)`: the table of tasks with these rights."""
    return lambda *rights: table("tasks", TASKS, rights=rights)


def rows(action: str, user: User | None, *given: dict[str, Any]) -> list[int]:
    """The ids of the rows with which a user may do this."""
    collection = opened("tasks")
    found = permitted(Action(action), collection, user)
    nothing = {"title": None, "owner": None, "team": None}
    return [
        row["id"] for row in given if matches(found.rows, collection.table.row_of({**nothing, **row}), NOW)
    ]


def test_each_action_has_its_own_rows(tasks, ana, bruno):
    tasks(
        allow("read", to=anybody, rows={"team": "red"}),
        allow("read", "update", to=signed_in, rows={"owner": "$CURRENT_USER"}),
        allow("delete", to=lambda user: user == bruno),
    )
    some = [{"id": 1, "owner": ana.pk}, {"id": 2, "team": "red"}, {"id": 3, "owner": bruno.pk}]

    assert {
        (action, user and user.username): rows(action, user, *some)
        for action in ("read", "create", "update", "delete")
        for user in (None, ana, bruno)
    } == {
        ("read", None): [2],
        ("read", "ana"): [1, 2],
        ("read", "bruno"): [2, 3],
        ("create", None): [],
        ("create", "ana"): [],
        ("create", "bruno"): [],
        ("update", None): [],
        ("update", "ana"): [1],
        ("update", "bruno"): [3],
        ("delete", None): [],
        ("delete", "ana"): [],
        ("delete", "bruno"): [1, 2, 3],
    }


@pytest.mark.parametrize("action", list(Action))
def test_superuser_may_do_everything_and_who_is_switched_off_nothing(tasks, ana, action):
    tasks(allow(*Action, to=anybody))
    table = opened("tasks").table
    ana.is_active = False
    assert not permitted(action, opened("tasks"), ana).policies
    ana.is_superuser = True
    assert not permitted(action, opened("tasks"), ana).policies
    ana.is_active = True
    assert permitted(action, opened("tasks"), ana) == everything(table)


VALUES = {
    "$CURRENT_USER",
    "$CURRENT_USER.username",
    "$CURRENT_USER.email",
    "$CURRENT_USER.first_name",
    "$CURRENT_USER.last_name",
    "$CURRENT_ROLE",
    "$CURRENT_ROLES",
    "$CURRENT_POLICIES",
}


def test_values_of_a_user(ana):
    ana.first_name, ana.last_name, ana.email = "Ana", "Sol", "ana@example.org"
    for name in ("writers", "editors"):
        Group.objects.create(name=name).user_set.add(ana)

    assert dict(UserValues(ana)) == {
        "$CURRENT_USER": ana.pk,
        "$CURRENT_USER.username": "ana",
        "$CURRENT_USER.email": "ana@example.org",
        "$CURRENT_USER.first_name": "Ana",
        "$CURRENT_USER.last_name": "Sol",
        "$CURRENT_ROLE": "authenticated",
        "$CURRENT_ROLES": ["authenticated", "editors", "writers"],
        "$CURRENT_POLICIES": ["authenticated", "editors", "writers"],
    }
    ana.is_superuser = True
    assert UserValues(ana)["$CURRENT_ROLE"] == "administrator"


def test_values_of_nobody(teams):
    teams.append("red")
    lacking = dict.fromkeys({*VALUES, "$CURRENT_USER.teams"})

    assert dict(UserValues(None)) == lacking | {
        "$CURRENT_ROLE": "public",
        "$CURRENT_ROLES": ["public"],
        "$CURRENT_POLICIES": ["public"],
    }


def test_rule_by_the_name_of_a_group(tasks, ana, bruno):
    tasks(allow("read", to=anybody, rows={"team": {"_in": "$CURRENT_ROLES"}}))
    Group.objects.create(name="red").user_set.add(ana)
    some = [{"id": 1, "team": "red"}, {"id": 2, "team": "public"}, {"id": 3, "team": "authenticated"}]

    assert [rows("read", user, *some) for user in (None, ana, bruno)] == [[2], [1, 3], [3]]


def test_rule_by_a_value_of_an_app(tasks, teams, ana):
    tasks(
        allow("read", to=anybody, rows={"team": {"_in": "$CURRENT_USER.teams"}}),
        allow("delete", to=anybody, rows={"team": {"_nin": "$CURRENT_USER.teams"}}),
    )
    some = [{"id": number, "team": team} for number, team in enumerate(("red", "blue", "green", None))]
    assert rows("read", ana, *some) == []
    teams += ["red", "blue"]

    assert rows("read", ana, *some) == [0, 1]
    assert rows("delete", ana, *some) == [2]
    assert rows("read", None, *some) == []
    assert rows("delete", None, *some) == []  # nobody is let in by what they lack


def test_filter_by_a_value_of_an_app(tasks, teams, ana):
    tasks(allow("read", to=anybody))
    teams.append("red")
    seen = view_of(ana, "tasks", {"filter": {"team": {"_in": ["$CURRENT_USER.teams", "$CURRENT_ROLE"]}}})
    row = {"id": 1, "title": None, "owner": None}
    table = opened("tasks").table

    assert [
        seen.has(table.row_of(row | {"team": team}), NOW) for team in ("red", "authenticated", "blue")
    ] == [True, True, False]


def test_rows_to_write_may_be_named_by_a_value_of_an_app(tasks, teams, ana):
    tasks(allow("read", "delete", to=anybody))
    teams.append("red")
    run("INSERT INTO tasks (id, team) VALUES (1, 'red'), (2, 'blue')")

    assert items.delete(ana, "tasks", matching={"team": {"_in": "$CURRENT_USER.teams"}}) == [1]


def test_groups_are_queried_only_where_a_rule_needs_them_and_once(tasks, ana):
    tasks(
        allow("read", to=anybody, rows={"owner": "$CURRENT_USER", "team": "$CURRENT_ROLE"}),
        allow(
            "update",
            to=anybody,
            rows={"team": {"_in": "$CURRENT_ROLES"}, "title": {"_nin": "$CURRENT_ROLES"}},
        ),
    )
    collection = opened("tasks")

    def queries(action: str) -> int:
        with CaptureQueriesContext(connection) as captured:
            permitted(Action(action), collection, ana)
        return len(captured)

    assert [queries(action) for action in ("read", "create", "update")] == [0, 0, 1]
