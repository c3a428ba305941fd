"""Related rows: read with rows, and told with changes where a collection follows them."""

from __future__ import annotations

import pytest
from asgiref.sync import sync_to_async
from django.db import transaction

from changes import allow, noted, reader, signed_in
from tests.changes.conftest import run

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def shelves(table):
    shelf = table(
        "shelves",
        "id integer PRIMARY KEY, label text, secret text",
        rights=[allow("read", to=signed_in, fields=["id", "label"])],
    )
    table(
        "books",
        "id integer PRIMARY KEY, title text,"
        " shelf integer REFERENCES shelves (id) DEFERRABLE INITIALLY DEFERRED",
        rights=[allow("read", to=signed_in)],
        follows=["shelf"],
    )
    return shelf


@pytest.fixture
def written(shelves):
    def write(*statements):
        with transaction.atomic():
            for statement in statements:
                run(statement)
        while reader.read_some():
            pass

    return sync_to_async(write)


START = (
    "INSERT INTO shelves VALUES (1, 'top', 's'), (2, 'low', 's')",
    "INSERT INTO books VALUES (7, 'a', 1), (8, 'b', NULL)",
)


async def test_rows_are_read_with_what_they_lead_to_and_what_leads_to_them(written, page_of, ana):
    await written(*START)
    async with page_of(ana) as page:
        books = await page.ask("rows", collection="books", fields=["title", {"shelf": ["label"]}], sort="id")
        shelves = await page.ask("rows", collection="shelves", fields=["label", "books.title"], sort="id")
        found = await page.ask("rows", collection="books", filter={"shelf": {"label": "top"}}, fields="id")

    assert books["result"]["results"] == [
        {"title": "a", "shelf": {"label": "top"}},
        {"title": "b", "shelf": None},
    ]
    assert shelves["result"]["results"] == [
        {"label": "top", "books": [{"title": "a"}]},
        {"label": "low", "books": []},
    ]
    assert found["result"]["results"] == [{"id": 7}]


async def test_changes_are_told_with_the_rows_that_are_followed(written, page_of, ana):
    await written(*START)
    query = {"fields": ["id", "shelf.label"], "filter": {"shelf": {"label": "low"}}}
    async with page_of(ana) as page:
        answer = await page.ask("subscribe", topic="collection.books", snapshot=True, query=query)
        await written(
            "UPDATE books SET shelf = 2 WHERE id = 8",
            "INSERT INTO books VALUES (9, 'c', 1)",
            "UPDATE books SET shelf = 1 WHERE id = 8",
        )
        told = [await page.receive() for _ in range(2)]
        assert await page.is_silent()

    assert answer["snapshot"]["results"] == []
    assert [(each["type"], each["row"]) for each in told] == [
        ("row_created", {"id": 8, "shelf": {"label": "low"}}),
        ("row_deleted", {"id": 8, "shelf": {"label": "low"}}),
    ]


@pytest.mark.parametrize(
    ("topic", "fields"),
    [
        ("collection.shelves", ["books.title"]),
        ("collection.books", ["shelf.secret"]),
        ("collection.books", ["shelf.books.id"]),
    ],
)
async def test_changes_are_told_without_rows_that_are_not_followed(written, page_of, ana, topic, fields):
    await written(*START)
    async with page_of(ana) as page:
        answer = await page.ask("subscribe", topic=topic, query={"fields": fields})

    assert (answer["type"], answer["code"]) == ("error", "invalid_query")


@pytest.mark.parametrize("batch", [500, 1])
@pytest.mark.parametrize(
    "statements",
    [
        ("DELETE FROM books WHERE id = 7", "DELETE FROM shelves WHERE id = 1"),
        ("DELETE FROM shelves WHERE id = 1", "DELETE FROM books WHERE id = 7"),
    ],
    ids=["first", "last"],
)
async def test_row_that_goes_with_the_row_it_leads_to_is_told_as_gone(
    written, page_of, ana, monkeypatch, batch, statements
):
    """Whichever is deleted first, read in one batch or in two."""
    await written(*START)
    query = {"fields": ["id", "shelf.label"], "filter": {"shelf": {"label": "top"}}}
    async with page_of(ana) as page:
        await page.ask("subscribe", topic="collection.books", query=query)
        monkeypatch.setattr(noted, "BATCH", batch)
        await written(*statements)
        told = await page.receive()

    assert (told["type"], told["row"]) == ("row_deleted", {"id": 7, "shelf": {"label": "top"}})
