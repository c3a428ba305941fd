"""Rows over the socket: the twelve forms of `items`, and what is refused."""

from __future__ import annotations

import pytest
from asgiref.sync import sync_to_async

from accounts.models import User
from demo.models import Article
from tests.factories import make_user

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def admin(ana):
    User.objects.filter(pk=ana.pk).update(is_superuser=True)
    return ana


async def titles():
    found = Article.objects.order_by("pk").values_list("title", "status")
    return [each async for each in found]


async def test_rows_are_created_read_updated_and_deleted(directus, admin):
    async with directus(admin) as client:

        async def items(action, **members):
            frame = await client.ask("items", collection="articles", action=action, uid=action, **members)
            assert (frame["type"], frame["uid"], "error" in frame) == ("items", action, False), frame
            return frame

        one = (await items("create", data={"title": "A"}))["data"]
        assert (one["title"], one["status"], one["author"]) == ("A", "draft", None)
        made = await items("create", data=[{"title": "B"}, {"title": "C"}], query={"fields": ["id"]})
        two, three = [each["id"] for each in made["data"]]
        page = await items(
            "read", query={"filter": {"status": "draft"}, "sort": "-id", "limit": 2, "meta": "*"}
        )
        assert [each["title"] for each in page["data"]] == ["C", "B"]
        assert page["meta"] == {"total_count": 3, "filter_count": 3}
        assert (await items("read", id=two, query={"fields": ["title"]}))["data"] == {"title": "B"}
        assert [each["title"] for each in (await items("read", ids=[one["id"], three]))["data"]] == ["A", "C"]
        assert (await items("update", id=two, data={"status": "published"}))["data"]["status"] == "published"
        both = await items("update", ids=[one["id"], three], data={"status": "archived"})
        assert [each["status"] for each in both["data"]] == ["archived", "archived"]
        each = [{"id": one["id"], "title": "X"}, {"id": two, "title": "Y"}]
        assert [row["title"] for row in (await items("update", data=each))["data"]] == ["X", "Y"]
        query = {"filter": {"status": "archived"}}
        assert len((await items("update", query=query, data={"title": "Z"}))["data"]) == 2
        assert await titles() == [("Z", "archived"), ("Y", "published"), ("Z", "archived")]
        assert (await items("delete", id=two))["data"] == two
        assert (await items("delete", query=query))["data"] == [one["id"], three]
        assert await titles() == []


async def test_writer_is_told_its_own_writes(directus, admin):
    async with directus(admin) as client:
        await client.subscribe("articles", uid="s", query={"fields": ["title"]})
        await client.say("items", collection="articles", action="create", data={"title": "A"})
        frames = [await client.hear() for _ in range(2)]

    assert sorted(frame["type"] for frame in frames) == ["items", "subscription"]


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"collection": "articles", "action": "dance"}, "INVALID_PAYLOAD"),
        ({"collection": "articles"}, "INVALID_PAYLOAD"),
        ({"action": "read"}, "INVALID_PAYLOAD"),
        ({"collection": "nothing", "action": "read"}, "FORBIDDEN"),
        ({"collection": "directus_users", "action": "read"}, "INVALID_COLLECTION"),
        ({"collection": "articles", "action": "read", "id": 999999}, "FORBIDDEN"),
        ({"collection": "articles", "action": "read", "ids": [999999]}, "FORBIDDEN"),
        ({"collection": "articles", "action": "read", "ids": "x"}, "INVALID_PAYLOAD"),
        (
            {"collection": "articles", "action": "read", "query": {"filter": {"id": {"_x": 1}}}},
            "INVALID_QUERY",
        ),
        ({"collection": "articles", "action": "create", "data": 7}, "INVALID_PAYLOAD"),
        ({"collection": "articles", "action": "create", "data": {}}, "FAILED_VALIDATION"),
        ({"collection": "articles", "action": "create", "data": {"title": "x" * 5000}}, "VALUE_TOO_LONG"),
        ({"collection": "articles", "action": "create", "data": {"title": "A", "x": 1}}, "FORBIDDEN"),
        ({"collection": "articles", "action": "update", "id": 999999, "data": {"title": "A"}}, "FORBIDDEN"),
        ({"collection": "articles", "action": "update", "data": {"title": "A"}}, "INVALID_PAYLOAD"),
        ({"collection": "articles", "action": "delete"}, "INVALID_PAYLOAD"),
        ({"collection": "articles", "action": "delete", "id": 999999}, "FORBIDDEN"),
    ],
)
async def test_mistake_is_answered(directus, admin, asked, code):
    async with directus(admin) as client:
        answer = await client.ask("items", **asked, uid=3)
        assert await client.is_silent()

    assert (answer["type"], answer["status"], answer["uid"]) == ("items", "error", 3)
    assert answer["error"]["code"] == code


async def test_rights_hold(directus, ana):
    reader = await sync_to_async(make_user)("reader")
    await Article.objects.acreate(title="Draft")
    shown = await Article.objects.acreate(title="Shown", status="published")
    async with directus(reader) as client:
        rows = await client.ask("items", collection="articles", action="read")
        refused = [
            await client.ask("items", collection="articles", action="create", data={"title": "A"}),
            await client.ask(
                "items", collection="articles", action="update", id=shown.pk, data={"title": "A"}
            ),
            await client.ask("items", collection="articles", action="delete", id=shown.pk),
        ]

    assert rows["data"] == [{"id": shown.pk, "title": "Shown", "status": "published"}]
    assert {frame["error"]["code"] for frame in refused} == {"FORBIDDEN"}
