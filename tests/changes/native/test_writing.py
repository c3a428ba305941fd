"""Rows written on the native socket."""

from __future__ import annotations

import pytest
from asgiref.sync import sync_to_async

from changes import allow, signed_in
from tests.changes.conftest import run

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def notes(table):
    return table(
        "notes",
        "id integer PRIMARY KEY, title text, owner integer",
        rights=[
            allow("read", to=signed_in),
            allow("create", "update", "delete", to=signed_in, rows={"owner": "$CURRENT_USER"}),
        ],
    )


async def stored():
    return await sync_to_async(run)("SELECT id, title FROM notes ORDER BY id")


async def test_rows_are_created_updated_and_deleted(notes, page_of, ana):
    async with page_of(ana) as page:

        async def ask(command, **fields):
            answer = await page.ask(command, collection="notes", **fields)
            return answer["result"]["keys"]

        one = {"id": 1, "title": "a", "owner": ana.pk}
        assert await ask("rows.create", values=one) == [1]
        assert await ask("rows.create", values=[one | {"id": 2}, one | {"id": 3}]) == [2, 3]
        assert await ask("rows.update", values={"title": "b"}, keys=[2]) == [2]
        assert await ask("rows.update", values={"title": "c"}, filter={"title": "a"}) == [1, 3]
        assert [tuple(row) for row in await stored()] == [(1, "c"), (2, "b"), (3, "c")]
        assert await ask("rows.delete", keys=[2]) == [2]
        assert await ask("rows.delete", filter={"id": {"_gt": 2}}) == [3]

    assert [tuple(row) for row in await stored()] == [(1, "c")]


@pytest.mark.parametrize(
    ("command", "fields", "code"),
    [
        ("rows.create", {"values": {"id": 9, "owner": 0}}, "row_not_allowed"),
        ("rows.create", {"values": {"id": 9, "owner": "x"}}, "invalid_row"),
        ("rows.create", {"values": {"nothing": 1}}, "invalid_query"),
        ("rows.create", {"collection": "nothing", "values": {}}, "unknown_collection"),
        ("rows.create", {"collection": "products", "values": {"name": "x"}}, "unknown_collection"),
        ("rows.update", {"values": {"title": "x"}, "keys": [1]}, "row_not_found"),
        ("rows.update", {"values": {"title": "x"}}, "invalid_input"),
        ("rows.update", {"values": {"title": "x"}, "filter": {}}, "invalid_input"),
        ("rows.delete", {"keys": [1]}, "row_not_found"),
        ("rows.delete", {"keys": [1], "filter": {"id": 1}}, "invalid_input"),
        ("rows.delete", {"filter": {"nothing": 1}}, "invalid_query"),
        ("rows.delete", {}, "invalid_input"),
    ],
)
async def test_mistake_is_answered_and_nothing_is_written(notes, page_of, ana, command, fields, code):
    await sync_to_async(run)("INSERT INTO notes VALUES (1, 'a', 0)")
    async with page_of(ana) as page:
        answer = await page.ask_any(command, **{"collection": "notes", **fields})

    assert (answer["type"], answer["code"]) == ("error", code)
    assert [tuple(row) for row in await stored()] == [(1, "a")]
