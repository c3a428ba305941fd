"""The demo's collections: what they are called, what they hold, and who may read them."""

from __future__ import annotations

import pytest
from django.core.management import call_command

from accounts.models import User
from changes import EVERY_ROW, Collection, Reading, reader
from changes.registry import collections
from changes.shapes import shape_of
from demo.watched import FieldIs
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
EVERYTHING = Reading()
PUBLISHED = Reading(frozenset({"id", "title", "status"}), FieldIs("status", "published"))


def collection(name: str) -> Collection:
    return next(each for each in collections() if each.name == name)


def test_collections_have_the_fields_of_the_contract():
    fields = {each.name: [field.name for field in shape_of(each).fields] for each in collections()}

    assert {name: sorted(names) for name, names in fields.items()} == {
        name: sorted(names) for name, names in COLLECTIONS.items()
    }


@pytest.mark.parametrize(
    ("name", "nobody", "ana", "reader"),
    [
        ("articles", None, None, PUBLISHED),
        ("messages", None, EVERYTHING, EVERYTHING),
        ("orders", None, EVERYTHING, None),
        ("posts", None, EVERYTHING, None),
        ("comments", None, EVERYTHING, None),
        ("products", None, None, None),
        ("humeur", EVERYTHING, EVERYTHING, EVERYTHING),
    ],
)
def test_rights_are_those_of_the_contract(
    name: str, nobody: Reading | None, ana: Reading | None, reader: Reading | None
):
    admin = User.objects.create_superuser("boss", "boss@example.com", "a-password-of-the-boss")
    people = (None, make_user("ana"), make_user("reader"), admin)

    assert [collection(name).reading(user) for user in people] == [nobody, ana, reader, EVERYTHING]


def test_published_articles_match_and_drafts_do_not():
    assert PUBLISHED.rows.matches({"status": "published"})
    assert not PUBLISHED.rows.matches({"status": "draft"})
    assert not PUBLISHED.rows.matches({})
    assert EVERY_ROW.matches({})


def test_first_rows_are_told_as_any_others():
    call_command("seed_demo")
    while reader.read_some():
        pass

    assert log.heads([each.topic for each in collections()]) == {
        each.topic: {"articles": 2, "products": 2}.get(each.name, 1) for each in collections()
    }
