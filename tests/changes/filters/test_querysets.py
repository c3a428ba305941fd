"""Conditions and sorts in Django's querysets, on a model of the product."""

import pytest
from django.db.models import Subquery

from accounts.models import User
from changes.filters import (
    ALWAYS,
    NEVER,
    Column,
    Kind,
    Matching,
    Relation,
    Table,
    everything,
    ordering,
    parse_filter,
    view,
)
from tests.factories import make_user

USERS = Table(
    "users",
    (
        Column("id", Kind.INTEGER, is_nullable=False),
        Column("username", Kind.TEXT),
        Column("is_active", Kind.BOOLEAN),
        Column("joined", Kind.DATETIME, db_column="date_joined"),
    ),
    db_table=User._meta.db_table,
)


@pytest.fixture(autouse=True)
def _people(db):
    for name in ("ana", "Bruno", "clara"):
        make_user(name)


def asked(given):
    return Matching(parse_filter(given, USERS))


def names(rows):
    return [user.username for user in rows]


def test_queryset_is_filtered_counted_updated_and_deleted():
    with_a = User.objects.filter(asked({"username": {"_contains": "a"}, "joined": {"_gt": "$NOW(-1 hour)"}}))

    assert sorted(names(with_a)) == ["ana", "clara"]
    assert with_a.count() == 2
    assert with_a.filter(username="ana").exists()
    assert with_a.update(is_active=False) == 2
    assert names(User.objects.filter(asked({"is_active": True}))) == ["Bruno"]
    assert User.objects.filter(asked({"is_active": False})).delete()[0] >= 2
    assert names(User.objects.all()) == ["Bruno"]


def test_queryset_may_have_a_condition_inside_another_query():
    inner = User.objects.filter(asked({"username": "ana"})).values("pk")

    ana = Subquery(inner.values("username")[:1])

    assert names(User.objects.filter(pk__in=inner)) == ["ana"]
    assert list(User.objects.values_list(ana, flat=True)) == ["ana", "ana", "ana"]
    assert names(User.objects.exclude(asked({"username": {"_in": ["ana", "clara"]}}))) == ["Bruno"]


@pytest.mark.parametrize(("condition", "count"), [(ALWAYS, 3), (NEVER, 0)])
def test_conditions_without_parts_are_conditions(condition, count):
    assert User.objects.filter(Matching(condition)).count() == count


def test_queryset_is_ordered_by_code_points_and_then_by_the_key():
    upper_first = view(USERS, everything(USERS), {"sort": "username"}).sort
    last_first = view(USERS, everything(USERS), {"sort": "is_active,-id"}).sort

    assert names(User.objects.order_by(*ordering(upper_first))) == ["Bruno", "ana", "clara"]
    assert names(User.objects.order_by(*ordering(last_first))) == ["clara", "Bruno", "ana"]


def test_queryset_follows_a_relation():
    table = Table("users", USERS.columns, db_table=USERS.db_table)
    itself = Relation("same", table.by_name["id"], table, table.by_name["id"])
    table.relations["id"] = itself
    condition = parse_filter(
        {"id": {"username": {"_istarts_with": "B"}}}, table, related=lambda relation: everything(table)
    )

    assert names(User.objects.filter(Matching(condition))) == ["Bruno"]
