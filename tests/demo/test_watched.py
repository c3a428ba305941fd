"""The demo's collections: what they are called, what they hold, and who may read them."""

from __future__ import annotations

import datetime as dt

import pytest
from django.core.management import call_command

from accounts.models import User
from changes import Action, reader
from changes.filters import everything, matches
from changes.opened import opened
from changes.permitted import permitted
from changes.registry import collections
from changes.shapes import shape_of
from realtime import log
from tests.factories import make_user

pytestmark = pytest.mark.django_db

COLLECTIONS = {
    "articles": ["id", "title", "status", "author"],
    "messages": ["id", "content", "user_id", "timestamp"],
    "orders": ["id", "customer_name", "status", "total"],
    "posts": ["id", "title", "content", "status"],
    "comments": ["id", "post", "content"],
    "products": ["id", "name", "price"],
    "humeur": ["id", "nom", "emoji", "created_at"],
}
EVERYTHING, NOTHING = "everything", "nothing"
PUBLISHED = {"id", "title", "status"}


def test_collections_have_the_fields_of_the_contract():
    fields = {each.name: [field.name for field in shape_of(each).fields] for each in collections()}

    assert {name: sorted(names) for name, names in fields.items()} == {
        name: sorted(names) for name, names in COLLECTIONS.items()
    }


def readable(name: str, user: User | None) -> object:
    found = permitted(Action.READ, opened(name), user)
    if found == everything(opened(name).table):
        return EVERYTHING
    return set(found.fields) or NOTHING


@pytest.mark.parametrize(
    ("name", "nobody", "ana", "reader"),
    [
        ("articles", NOTHING, NOTHING, PUBLISHED),
        ("messages", NOTHING, EVERYTHING, EVERYTHING),
        ("orders", NOTHING, EVERYTHING, NOTHING),
        ("posts", NOTHING, EVERYTHING, NOTHING),
        ("comments", NOTHING, EVERYTHING, NOTHING),
        ("products", NOTHING, NOTHING, NOTHING),
        ("humeur", EVERYTHING, EVERYTHING, EVERYTHING),
    ],
)
def test_rights_to_read_are_those_of_the_contract(name: str, nobody: object, ana: object, reader: object):
    admin = User.objects.create_superuser("boss", "boss@example.com", "a-password-of-the-boss")
    people = (None, make_user("ana"), make_user("reader"), admin)

    assert [readable(name, user) for user in people] == [nobody, ana, reader, EVERYTHING]


@pytest.mark.parametrize(
    ("name", "nobody", "ana", "reader"),
    [
        ("articles", "", "", ""),
        ("messages", "", "create", ""),
        ("orders", "", "create", ""),
        ("posts", "", "create", ""),
        ("comments", "", "create", ""),
        ("products", "", "", ""),
        ("humeur", "", "create update delete", "create update delete"),
    ],
)
def test_rights_to_write_are_those_of_the_contract(name: str, nobody: str, ana: str, reader: str):
    people = (None, make_user("ana"), make_user("reader"))

    allowed = [
        " ".join(
            each
            for each in ("create", "update", "delete")
            if permitted(Action(each), opened(name), user).policies
        )
        for user in people
    ]
    assert allowed == [nobody, ana, reader]


def test_reader_reads_published_articles_and_no_others():
    found = permitted(Action.READ, opened("articles"), make_user("reader"))
    articles = opened("articles").table

    matching = [
        matches(found.rows, articles.row_of({"status": status}), dt.datetime.now(dt.UTC))
        for status in ("published", "draft", None)
    ]
    assert matching == [True, False, False]


def test_first_rows_are_told_as_any_others():
    call_command("seed_demo")
    while reader.read_some():
        pass

    assert log.heads([each.topic for each in collections()]) == {
        each.topic: {"articles": 2, "products": 2}.get(each.name, 1) for each in collections()
    }
