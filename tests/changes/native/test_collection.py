"""The feed of a collection: rows and their changes on the native socket."""

from __future__ import annotations

import pytest
from asgiref.sync import sync_to_async

from changes import triggers, watches
from tests.changes.conftest import run

pytestmark = pytest.mark.django_db(transaction=True)


def row(number, title="a", owner=0, done=False):
    return {"id": number, "title": title, "owner": owner, "done": done}


def insert(number, title="a", owner=0, done="false", secret="s"):
    return f"INSERT INTO tasks VALUES ({number}, '{title}', {owner}, {done}, '{secret}')"


async def test_snapshot_and_changes_after_it(written, page_of, ana):
    await written(insert(1), insert(2, "b"))
    async with page_of(ana) as page:
        answer = await page.ask("subscribe", topic="collection.tasks", snapshot=True, query={"sort": "-id"})

        assert answer["snapshot"] == {
            "results": [row(2, "b"), row(1)],
            "has_more": False,
            "total": None,
            "matching": None,
        }
        await written(
            insert(3), "UPDATE tasks SET done = true WHERE id = 1", "DELETE FROM tasks WHERE id = 2"
        )
        told = [await page.receive() for _ in range(3)]

    assert [(each["type"], each["key"], each["row"]) for each in told] == [
        ("row_created", 3, row(3)),
        ("row_updated", 1, row(1, done=True)),
        ("row_deleted", 2, row(2, "b")),
    ]
    assert {each["topic"] for each in told} == {"collection.tasks"}


async def test_filter_is_entered_and_left(written, page_of, ana):
    await written(insert(1), insert(2, "b"))
    async with page_of(ana) as page:
        await page.ask(
            "subscribe", topic="collection.tasks", query={"filter": {"title": "b"}, "fields": "id"}
        )
        await written(
            "UPDATE tasks SET title = 'b' WHERE id = 1",
            "UPDATE tasks SET done = true",
            "UPDATE tasks SET title = 'c' WHERE id = 2",
            insert(3, "x"),
            "DELETE FROM tasks WHERE id = 1",
        )
        told = [await page.receive() for _ in range(5)]
        assert await page.is_silent()

    told[1:3] = sorted(told[1:3], key=lambda each: each["key"])  # of one statement
    assert [(each["type"], each["change"], each["row"]) for each in told] == [
        ("row_created", "update", {"id": 1}),
        ("row_updated", "update", {"id": 1}),
        ("row_updated", "update", {"id": 2}),
        ("row_deleted", "update", {"id": 2}),
        ("row_deleted", "delete", {"id": 1}),
    ]
    assert told[1]["write"] == told[2]["write"] != told[0]["write"]


async def test_field_is_shown_in_the_rows_whose_policy_has_it(written, page_of, ana):
    async with page_of(ana) as page:
        await page.ask("subscribe", topic="collection.tasks", query={"fields": "id,secret"})
        await written(insert(1, secret="x"), insert(2, owner=ana.pk, secret="y"))
        told = [(await page.receive())["row"] for _ in range(2)]

    assert told == [{"id": 1}, {"id": 2, "secret": "y"}]


async def test_hidden_field_cannot_be_asked_for(written, page_of, ana, bruno):
    await written(insert(1, owner=bruno.pk, secret="x"), insert(2, owner=ana.pk, secret="y"))
    async with page_of(ana) as page:
        answer = await page.ask("rows", collection="tasks", filter={"secret": {"_nnull": True}}, fields="id")

    assert answer["result"]["results"] == [{"id": 2}]


async def test_only_some_events_of_only_one_row(written, page_of, ana):
    await written(insert(1), insert(2))
    async with page_of(ana) as page:
        query = {"events": ["update", "delete"], "key": 1, "fields": ["id", "title"]}
        answer = await page.ask("subscribe", topic="collection.tasks", query=query, snapshot=True)
        await written("UPDATE tasks SET title = 'z'", "DELETE FROM tasks", insert(1))
        told = [await page.receive() for _ in range(2)]
        assert await page.is_silent()

    assert answer["snapshot"]["results"] == [{"id": 1, "title": "a"}]
    assert [(each["type"], each["row"]["title"]) for each in told] == [
        ("row_updated", "z"),
        ("row_deleted", "z"),
    ]


async def test_what_was_missed_comes_after_since(written, page_of, ana):
    async with page_of(ana) as page:
        await page.ask("subscribe", topic="collection.tasks")
        await written(insert(1), insert(2))
        first, second = [await page.receive() for _ in range(2)]
    async with page_of(ana) as page:
        ref = await page.send("subscribe", topic="collection.tasks", since=first["position"])
        assert await page.receive() == second
        answer = await page.receive()

    assert (answer["ref"], answer["resumed"], answer["position"]) == (ref, True, second["position"])


@pytest.mark.parametrize("since", ["99", "nonsense", "1-0123456789"])
async def test_position_that_is_none_is_answered_with_what_there_is(written, page_of, ana, since):
    await written(insert(1), insert(2))
    async with page_of(ana) as page:
        answer = await page.find("subscribe", topic="collection.tasks", since=since, snapshot=True)
        if answer["reason"] is None:
            answer = await page.receive()  # the mark is compared when the log is read

    assert answer["reason"] == "unknown_position"
    assert len(answer["snapshot"]["results"]) == 2


async def test_change_that_waits_for_the_reader_is_in_the_snapshot_and_not_told_again(
    written, held, page_of, ana, monkeypatch
):
    """Three are noted and not read when the client looks; a fourth comes while it waits for them."""
    await sync_to_async(run)(insert(1))
    await sync_to_async(held)()
    for statement in insert(2), "UPDATE tasks SET title = 'z' WHERE id = 1", "DELETE FROM tasks WHERE id = 2":
        await sync_to_async(run)(statement)
    real, looks = watches._following, []

    def following(*args):
        looks.append(args)
        if len(looks) == 2:
            run(insert(4))
            held()
        return real(*args)

    monkeypatch.setattr(watches, "_following", following)
    async with page_of(ana) as page:
        answer = await page.ask("subscribe", topic="collection.tasks", snapshot=True)
        told = await page.receive()
        await sync_to_async(run)(insert(5))
        await sync_to_async(held)()
        after = await page.receive()
        assert await page.is_silent()

    assert answer["snapshot"]["results"] == [row(1, "z")]
    assert [(each["type"], each["key"]) for each in (told, after)] == [("row_created", 4), ("row_created", 5)]


async def test_changes_that_nobody_reads_are_waited_for_in_vain(tasks, held, page_of, ana, monkeypatch):
    monkeypatch.setattr(watches, "COME_IN_SECONDS", 0.05)
    await sync_to_async(run)(insert(1))
    async with page_of(ana) as page:
        answer = await page.ask("subscribe", topic="collection.tasks", snapshot=True)
        assert (answer["type"], answer["code"], answer["retryable"]) == ("error", "unavailable", True)
        await sync_to_async(held)()
        assert (await page.ask("subscribe", topic="collection.tasks"))["type"] == "subscribed"


async def test_missed_changes_are_answered_with_the_rows_there_are(written, page_of, ana):
    await written(insert(1))
    async with page_of(ana) as page:
        await page.ask("subscribe", topic="collection.tasks", snapshot=True)
        await page.ask("subscribe", topic="collection.tasks", id="bare")
        await sync_to_async(triggers.note_missed)(["tasks"])
        await written()
        first, second = sorted([await page.receive() for _ in range(2)], key=lambda frame: frame["type"])
        await written(insert(2))
        both = [await page.receive() for _ in range(2)]

    assert (first["type"], first["reason"], first["url"]) == ("resync", "changes_missed", None)
    assert (second["type"], second["reason"]) == ("subscribed", "changes_missed")
    assert second["snapshot"]["results"] == [row(1)]
    assert {each["type"] for each in both} == {"row_created"}


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"topic": "collection.nothing"}, "unknown_collection"),
        ({"topic": "collection."}, "unknown_collection"),
        ({"topic": "collection.products"}, "unknown_collection"),  # superusers read it
        ({"topic": "collection.tasks.1"}, "unknown_collection"),
        ({"query": {"filter": {"nothing": 1}}}, "invalid_query"),
        ({"query": {"filter": {"title": {"_regex": "(a+)+$"}}}}, "invalid_query"),
        ({"query": {"sort": "nothing"}}, "invalid_query"),
        ({"query": {"fields": "nothing"}}, "invalid_query"),
        ({"query": {"fields": ["owner.name"]}}, "invalid_query"),
        ({"query": {"key": "x"}}, "invalid_query"),
        ({"query": {"events": []}}, "invalid_frame"),
        ({"query": {"events": ["insert"]}}, "invalid_frame"),
        ({"query": 7}, "invalid_frame"),
        ({"topic": "inbox", "query": {"key": 1}}, "invalid_input"),
    ],
)
async def test_mistake_is_answered_and_others_do_not_notice(written, page_of, ana, asked, code):
    await written()
    async with page_of(ana) as page:
        await page.ask("subscribe", topic="collection.tasks", id="other")
        answer = await page.ask_any("subscribe", **{"topic": "collection.tasks", **asked})
        assert (answer["type"], answer["code"]) == ("error", code)
        await written(insert(1))
        assert (await page.receive())["type"] == "row_created"


async def test_rows_are_read_in_pages_and_counted(written, page_of, ana):
    await written(*[insert(number, "a" if number % 2 else "b") for number in range(1, 8)])
    async with page_of(ana) as page:
        query = {"filter": {"title": "a"}, "sort": "-id", "fields": "id", "counted": True}
        first = await page.ask("rows", collection="tasks", limit=3, **query)
        second = await page.ask("rows", collection="tasks", limit=3, offset=3, **query)

    counts = {"total": 7, "matching": 4}
    assert first["result"] == {"results": [{"id": 7}, {"id": 5}, {"id": 3}], "has_more": True, **counts}
    assert second["result"] == {"results": [{"id": 1}], "has_more": False, **counts}


async def test_long_rows_make_a_shorter_page(written, page_of, ana):
    await written(*[insert(number, "x" * 50_000) for number in range(1, 5)])
    async with page_of(ana) as page:
        answer = await page.ask("subscribe", topic="collection.tasks", snapshot=True)

    assert len(answer["snapshot"]["results"]) == 2
    assert answer["snapshot"]["has_more"]
