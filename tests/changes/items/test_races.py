"""Two write at once: nobody's write is undone, and nobody writes by a right that is gone meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from django.db import connection, connections

from changes import allow, items, signed_in, watch
from changes.items import InvalidRowError, RowNotFoundError, writing
from changes.items.instances import ModelRows
from demo.models import Article, Comment, Post
from tests.changes.conftest import IS_SQLITE
from tests.changes.items.conftest import problems, shown

#: Waited for in full only when a test fails.
SECONDS = 30


def until(is_so: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not is_so():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.002)


def somebody_waits() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
        return bool(cursor.fetchone()[0])


@pytest.fixture
def beside() -> Iterator[Callable[[Callable[[], Any]], Future[Any]]]:
    """Runs a write in another thread."""
    threads = ThreadPoolExecutor(2)

    def run(write: Callable[[], Any]) -> Future[Any]:
        def in_thread() -> Any:
            try:
                return write()
            finally:
                connections.close_all()

        return threads.submit(in_thread)

    yield run
    threads.shutdown()


@pytest.fixture
def other() -> Iterator[psycopg.Connection[Any]]:
    """Another program's transaction."""
    with psycopg.connect(**connection.get_connection_params() | {"cursor_factory": None}) as theirs:
        yield theirs


@pytest.fixture
def notes(table, ana) -> Any:
    """Notes that their owner writes."""
    table(
        "notes",
        "id integer PRIMARY KEY, title text, owner integer",
        rights=[
            allow("read", to=signed_in),
            allow("update", "delete", to=signed_in, rows={"owner": "$CURRENT_USER"}),
        ],
    )
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO notes VALUES (1, 'a', %s), (2, 'b', %s)", [ana.pk, ana.pk])
    return ana


def test_two_updates_of_one_row_both_hold(declare, root, beside, monkeypatch):
    """An instance is saved whole; so it is read when nobody else can change it any more."""
    declare(watch, Article, name="articles")
    article = Article.objects.create(title="a", status="draft")
    began, arrived, second = threading.Event(), threading.Event(), []
    load, announcing = ModelRows.load, writing.announcing

    def load_and_wait(rows: ModelRows, keys: Any) -> None:
        load(rows, keys)
        if not began.is_set():
            began.set()
            second.append(
                beside(lambda: items.update(root, "articles", {"status": "done"}, keys=[article.pk]))
            )
            assert arrived.wait(SECONDS)
            if not IS_SQLITE:
                until(lambda: somebody_waits() or second[0].done(), "the other neither waits nor ends")

    def announcing_too() -> Any:
        if began.is_set():
            arrived.set()
        return announcing()

    monkeypatch.setattr(ModelRows, "load", load_and_wait)
    monkeypatch.setattr(writing, "announcing", announcing_too)
    items.update(root, "articles", {"title": "z"}, keys=[article.pk])
    second[0].result(SECONDS)

    article.refresh_from_db()
    assert (article.title, article.status) == ("z", "done")


@pytest.mark.stack("full")
@pytest.mark.parametrize("by", ["key", "filter"])
@pytest.mark.parametrize(
    "meanwhile", ["UPDATE notes SET owner = 0 WHERE id = 1", "DELETE FROM notes WHERE id = 1"]
)
def test_right_that_is_lost_while_the_row_is_waited_for(notes, beside, other, meanwhile, by):
    other.execute(meanwhile)
    rows = {"keys": [1]} if by == "key" else {"matching": {"id": 1}}
    written = beside(lambda: items.update(notes, "notes", {"title": "z"}, **rows))
    deleted = beside(lambda: items.delete(notes, "notes", **rows))
    until(somebody_waits, "nobody waits")
    other.commit()

    for write in (written, deleted):
        if by == "key":
            with pytest.raises(RowNotFoundError):
                write.result(SECONDS)
        else:
            assert write.result(SECONDS) == []
    assert [row["title"] for row in shown("notes") if row["id"] == 1] in (["a"], [])


@pytest.mark.stack("full")
@pytest.mark.parametrize("by", ["key", "filter"])
def test_right_by_a_related_row_that_is_lost_meanwhile(table, ana, beside, other, by):
    table("states", "name text PRIMARY KEY, is_open boolean")
    table(
        "tickets",
        "id integer PRIMARY KEY, state text REFERENCES states (name), title text",
        rights=[
            allow("read", to=signed_in),
            allow("delete", to=signed_in, rows={"state": {"is_open": True}}),
        ],
    )
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO states VALUES ('new', true)")
        cursor.execute("INSERT INTO tickets VALUES (1, 'new', 'a')")
    other.execute("UPDATE states SET is_open = false")
    other.execute("UPDATE tickets SET title = 'b'")
    rows = {"keys": [1]} if by == "key" else {"matching": {}}
    deleted = beside(lambda: items.delete(ana, "tickets", **rows))
    until(somebody_waits, "nobody waits")
    other.commit()

    if by == "key":
        with pytest.raises(RowNotFoundError):
            deleted.result(SECONDS)
    else:
        assert deleted.result(SECONDS) == []
    assert [row["title"] for row in shown("tickets")] == ["b"]


@pytest.mark.stack("full")
def test_same_value_at_the_same_time(table, root, beside, other):
    table("named", "id integer PRIMARY KEY, name text UNIQUE")
    other.execute("INSERT INTO named VALUES (1, 'a')")
    created = beside(lambda: items.create(root, "named", {"id": 2, "name": "a"}))
    until(somebody_waits, "nobody waits")
    other.commit()

    with pytest.raises(InvalidRowError) as refused:
        created.result(SECONDS)
    assert problems(refused.value) == [("not_unique", "name")]


@pytest.mark.stack("full")
def test_row_that_a_foreign_key_leads_to_goes_meanwhile(declare, root, beside, other):
    """When it was looked up it was there; the database itself looks when it commits."""
    declare(watch, Comment, name="comments")
    post = Post.objects.create(title="a")
    other.execute("DELETE FROM demo_post WHERE id = %s", [post.pk])
    created = beside(lambda: items.create(root, "comments", {"content": "b", "post": post.pk}))
    until(somebody_waits, "nobody waits")
    other.commit()

    with pytest.raises(InvalidRowError) as refused:
        created.result(SECONDS)
    assert [(each.kind, each.field, each.value) for each in refused.value.problems] == [
        ("foreign_key", "post", post.pk)
    ]
    assert not Comment.objects.exists()


def test_writes_that_need_the_same_rows_do_not_wait_for_each_other(table, root, beside):
    table("seats", "hall integer, seat integer, title text, PRIMARY KEY (hall, seat)")
    keys = items.create(root, "seats", [{"hall": number // 20, "seat": number % 20} for number in range(300)])

    def write(order: list[Any]) -> None:
        for number in range(10):
            items.update(root, "seats", {"title": str(number)}, keys=order)
            items.update(root, "seats", {"title": str(number)}, matching={"seat": {"_gte": 0}})

    for future in [beside(lambda: write(keys)), beside(lambda: write(keys[::-1]))]:
        future.result(SECONDS)
    assert {row["title"] for row in shown("seats")} == {"9"}
