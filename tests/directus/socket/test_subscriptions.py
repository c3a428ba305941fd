"""Subscriptions: rows that there are, and changes after them, in the frames of the dialect."""

from __future__ import annotations

import pytest
from asgiref.sync import sync_to_async

from accounts.models import User
from changes.events import RightsChanged
from realtime import publish_on_commit
from tests.directus.socket.conftest import insert, row

pytestmark = pytest.mark.django_db(transaction=True)


def event(name, data, **more):
    return {"type": "subscription", "event": name, "collection": "tasks", "data": data, **more}


async def test_rows_and_then_every_change(directus, written, ana):
    await written(insert(1), insert(2, "b"))
    async with directus(ana) as client:
        init = await client.subscribe(uid="s1", query={"sort": "-id"})
        await written(
            insert(3), "UPDATE tasks SET title = 'z' WHERE id < 3", "DELETE FROM tasks WHERE id > 1"
        )
        told = [await client.hear() for _ in range(3)]
        assert await client.is_silent()

    assert init == event("init", [row(2, "b"), row(1)], uid="s1")
    for frame in told:
        frame["data"].sort(key=str)
        if "keys" in frame:
            frame["keys"].sort()
    assert told == [
        event("create", [row(3)], uid="s1"),
        event("update", [row(1, "z"), row(2, "z")], uid="s1"),
        event("delete", [2, 3], keys=[2, 3], uid="s1"),
    ]


async def test_single_deletion_has_its_key(directus, written, ana):
    await written(insert(1))
    async with directus(ana) as client:
        await client.subscribe()
        await written("DELETE FROM tasks")

        assert await client.hear() == event("delete", [1], keys=[1], key=1)


async def test_filter_that_is_entered_tells_an_update_and_one_that_is_left_nothing(directus, written, ana):
    await written(insert(1))
    async with directus(ana) as client:
        await client.subscribe(query={"filter": {"title": {"_eq": "b"}}, "fields": ["id"]})
        await written(
            "UPDATE tasks SET title = 'b'",
            "UPDATE tasks SET title = 'c'",
            "DELETE FROM tasks",
            insert(2, "b"),
        )
        told = [await client.hear() for _ in range(2)]
        assert await client.is_silent()

    assert told == [event("update", [{"id": 1}]), event("create", [{"id": 2}])]


async def test_query_may_be_of_texts(directus, written, ana):
    await written(*[insert(number) for number in range(1, 6)])
    async with directus(ana) as client:
        query = {
            "fields": "id",
            "sort": "-id",
            "limit": "2",
            "page": "2",
            "filter": '{"id":{"_lte":4}}',
            "meta": "*",
        }
        init = await client.subscribe(query=query)
        nested = await client.subscribe(query={"fields": ["id", "title"], "limit": -1}, uid="n")

    assert init == event("init", [{"id": 2}, {"id": 1}], meta={"total_count": 5, "filter_count": 4})
    assert len(nested["data"]) == 5


@pytest.mark.parametrize("name", ["create", "update", "delete"])
async def test_one_event_alone_begins_without_rows(directus, written, ana, name):
    await written(insert(1))
    async with directus(ana) as client:
        init = await client.subscribe(event=name, uid=4)
        await written(
            insert(2), "UPDATE tasks SET title = 'z' WHERE id = 2", "DELETE FROM tasks WHERE id = 2"
        )
        told = await client.hear()
        assert await client.is_silent()

    assert init == {"type": "subscription", "event": "init", "collection": "tasks", "uid": "4"}
    assert (told["event"], told["uid"]) == (name, "4")


@pytest.mark.parametrize("item", [2, "2"])
async def test_one_row(directus, written, ana, item):
    await written(insert(1), insert(2))
    async with directus(ana) as client:
        init = await client.subscribe(item=item, uid="one")
        await written("UPDATE tasks SET title = 'z'", "DELETE FROM tasks")
        told = [await client.hear() for _ in range(2)]
        assert await client.is_silent()

    assert init["data"] == row(2)
    assert [frame["data"] for frame in told] == [row(2, "z"), "2"]


async def test_uid_that_is_used_again_replaces_the_subscription(directus, written, ana):
    async with directus(ana) as client:
        for _ in range(2):  # as the client does after a reconnect
            await client.subscribe(uid="1")
        await written(insert(1))
        first = await client.hear()
        assert await client.is_silent()

    assert first == event("create", [row(1)], uid="1")


async def test_without_a_uid_several_go_side_by_side_and_end_together(directus, written, ana):
    async with directus(ana) as client:
        await client.subscribe()
        await client.subscribe()
        await written(insert(1))
        both = [await client.hear() for _ in range(2)]
        assert await client.ask("unsubscribe") == {"type": "subscription", "event": "unsubscribe"}
        await written(insert(2))
        assert await client.is_silent()

    assert both == [event("create", [row(1)])] * 2


async def test_unsubscribing_is_answered_and_nothing_follows(directus, written, ana):
    async with directus(ana) as client:
        await client.subscribe(uid="a")
        await client.subscribe(uid="b")
        answers = [await client.ask("unsubscribe", uid=uid) for uid in ("a", "nothing")]
        await written(insert(1))
        told = await client.hear()
        assert await client.is_silent()

    assert answers == [
        {"type": "subscription", "event": "unsubscribe", "uid": uid} for uid in ("a", "nothing")
    ]
    assert told["uid"] == "b"


async def test_rights_that_are_lost_are_not_told_and_end_nothing(directus, written, ana):
    await sync_to_async(User.objects.filter(pk=ana.pk).update)(is_superuser=True)
    await written(insert(1, secret="x"))
    async with directus(ana) as client:
        first = await client.subscribe(uid="a")
        await sync_to_async(User.objects.filter(pk=ana.pk).update)(is_superuser=False)
        await sync_to_async(publish_on_commit)("collection.tasks", RightsChanged(users=[ana.pk]))
        again = await client.hear()
        await written(insert(2, secret="y"))
        after = await client.hear()

    assert first["data"][0]["secret"] == "x"
    assert again == event("init", [row(1)], uid="a")
    assert after == event("create", [row(2)], uid="a")


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({}, "INVALID_PAYLOAD"),
        ({"collection": 7}, "INVALID_PAYLOAD"),
        ({"collection": "tasks", "event": "insert"}, "INVALID_PAYLOAD"),
        ({"collection": "tasks", "item": [1]}, "INVALID_PAYLOAD"),
        ({"collection": "tasks", "query": "x"}, "INVALID_PAYLOAD"),
        ({"collection": "nothing"}, "FORBIDDEN"),
        ({"collection": "products"}, "FORBIDDEN"),
        ({"collection": "products", "event": "create"}, "FORBIDDEN"),
        ({"collection": "tasks", "item": 99}, "FORBIDDEN"),
        ({"collection": "tasks", "query": {"fields": ["nothing"]}}, "FORBIDDEN"),
        ({"collection": "tasks", "query": {"filter": {"nothing": 1}}}, "FORBIDDEN"),
        ({"collection": "tasks", "query": {"sort": ["nothing"]}}, "FORBIDDEN"),
        ({"collection": "tasks", "query": {"filter": "{"}}, "INVALID_QUERY"),
        ({"collection": "tasks", "query": {"filter": {"id": {"_near": 1}}}}, "INVALID_QUERY"),
        ({"collection": "tasks", "query": {"filter": {"title": {"_regex": "(a+)+$"}}}}, "INVALID_QUERY"),
        ({"collection": "tasks", "query": {"limit": -2}}, "INVALID_QUERY"),
        ({"collection": "tasks", "query": {"aggregate": {"count": "*"}}}, "INVALID_QUERY"),
    ],
)
async def test_mistake_is_answered_with_its_uid_and_the_socket_goes_on(directus, written, ana, asked, code):
    async with directus(ana) as client:
        await client.subscribe(uid="other")
        answer = await client.ask("subscribe", **asked, uid=12)
        await written(insert(1))
        told = await client.hear()

    assert (answer["type"], answer["status"], answer["uid"]) == ("subscribe", "error", 12)
    assert answer["error"]["code"] == code
    assert told["uid"] == "other"


@pytest.mark.parametrize(
    "text",
    [
        "nonsense",
        "[]",
        "{}",
        '{"type":7}',
        '{"type":"dance","uid":1}',
        '{"type":"ping","uid":{}}',
        "[" * 4000,
    ],
)
async def test_frame_that_says_nothing_is_answered(directus, ana, text):
    async with directus(ana) as client:
        await client.socket.send_text(text)
        answer = await client.hear()
        assert await client.is_silent()

    assert answer["type"] == "server"
    assert answer["error"]["code"] == "INVALID_PAYLOAD"
    assert answer.get("uid") == (1 if "dance" in text else None)


async def test_binary_frame_of_json_is_read(directus, ana):
    async with directus(ana) as client:
        await client.socket.send_bytes(b'{"type":"ping","uid":1.5}')

        assert await client.hear() == {"type": "pong", "uid": 1.5}


async def test_more_subscriptions_than_a_socket_may_have_are_refused(directus, written, ana, monkeypatch):
    monkeypatch.setattr("directus.socket.consumer.MAX_WATCHERS", 2)
    async with directus(ana) as client:
        for uid in ("a", "b", "a"):
            await client.subscribe(uid=uid)
        answer = await client.ask("subscribe", collection="tasks", uid="c")

    assert answer["error"]["code"] == "REQUESTS_EXCEEDED"


async def test_dart_client_is_told_objects(directus, written, ana, token_of):
    await written(insert(1))
    token = await sync_to_async(token_of)(ana)
    async with directus() as client:
        await client.say("auth", data={"access_token": token})
        query = {"filter": {"title": {"_eq": "a"}}, "fields": ["id"]}
        await client.say("subscribe", data={"collection": "tasks", "query": query}, uid="sub_0")
        answer, init = await client.hear(), await client.hear()
        await written(insert(2), "UPDATE tasks SET owner = 7", "DELETE FROM tasks WHERE id = 2")
        told = [await client.hear() for _ in range(4)]

    assert answer == {"type": "auth", "status": "ok"}
    assert init == {"type": "subscription", "event": "init", "collection": "tasks", "uid": "sub_0"}
    assert [(frame["event"], frame["data"]["id"]) for frame in (told[0], told[3])] == [
        ("create", 2),
        ("delete", 2),
    ]
    assert sorted(frame["data"]["id"] for frame in told[1:3]) == [1, 2]


async def test_rows_of_one_update_are_in_the_order_of_the_sort(directus, written, ana):
    await written(insert(2, "a"), insert(1, "b"), insert(3, "a"))
    async with directus(ana) as client:
        await client.subscribe(query={"sort": ["title", "-id"], "fields": "id"})
        await written("UPDATE tasks SET owner = 7")
        told = await client.hear()
        assert await client.is_silent()

    assert told == event("update", [{"id": 3}, {"id": 2}, {"id": 1}])
