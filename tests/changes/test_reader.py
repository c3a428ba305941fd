"""One reader at a time moves what was noted into the log, in order, whoever dies."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connections, transaction

from changes import metrics, noted, reader, registry
from changes.models import NotedChange
from changes.reader import postgresql, sqlite
from changes.registry import Collection
from realtime import background
from realtime.hub.hub import Hub
from realtime.testing import Published, eventually
from tests.changes.conftest import IS_SQLITE, Told, run

Read = Callable[[str], list[Told]]

write = sync_to_async(run, thread_sensitive=True)


@asynccontextmanager
async def reading() -> AsyncIterator[asyncio.Task[None]]:
    """A process that serves, as far as changes go."""
    task = background.start(background.keep_running(reader.read_changes))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing waits for a second try, polling does not find what a bell has to tell, and no hub reads."""
    others = [work for work in background.registered() if work is not reader.read_changes]
    monkeypatch.setattr(background, "_works", others)
    monkeypatch.setattr(reader, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(background, "RESTART_SECONDS", 0.01)
    monkeypatch.setattr(postgresql, "POLL_SECONDS", 3600)
    monkeypatch.setattr(sqlite, "POLL_SECONDS", 0.01)


def names(published: Published) -> list[str]:
    return [event["new"]["name"] for _, event in published if event["type"] == "row_changed"]


async def test_change_is_told_once_it_is_committed(
    items: Collection, impatient: None, hub: Hub, published: Published
):
    async with reading():
        await eventually(lambda: metrics.READER.value == 1)
        await write("INSERT INTO items VALUES (1, 'a')")
        await eventually(lambda: names(published) == ["a"])
        await write("INSERT INTO items VALUES (2, 'b')")
        await eventually(lambda: names(published) == ["a", "b"])

    [(topic, event), _] = published
    assert topic == "collection.items"
    assert list(event) == ["type", "write", "note", "at", "old", "new", "related", "seq"]
    assert metrics.READER.value == 0


async def test_change_of_before_the_start_is_told(
    items: Collection, impatient: None, hub: Hub, published: Published
):
    await write("INSERT INTO items VALUES (1, 'a')")
    async with reading():
        await eventually(lambda: names(published) == ["a"])


async def test_turn_is_one_readers_and_the_next_one_takes_it_over(
    items: Collection, impatient: None, hub: Hub, published: Published, monkeypatch: pytest.MonkeyPatch
):
    turns: list[str] = []
    real = reader._read

    async def counted(bell: Any) -> None:
        turns.append("begins")
        try:
            await real(bell)
        finally:
            turns.append("ends")

    monkeypatch.setattr(reader, "_read", counted)
    somebody = sync_to_async(reader.somebody_reads)
    assert not await somebody()
    async with reading(), reading() as first, reading():
        await eventually(lambda: turns == ["begins"])
        assert await somebody()
        await write("INSERT INTO items VALUES (1, 'a')")
        await eventually(lambda: names(published) == ["a"])
        assert turns == ["begins"]
        del first
    await eventually(lambda: turns.count("begins") == turns.count("ends"))
    async with reading():
        await write("INSERT INTO items VALUES (2, 'b')")
        await eventually(lambda: names(published) == ["a", "b"])
    assert turns == ["begins", "ends"] * (len(turns) // 2)  # never two at once


@pytest.mark.stack("full")
async def test_reader_whose_connection_is_cut_takes_another(
    items: Collection, impatient: None, hub: Hub, published: Published, caplog: pytest.LogCaptureFixture
):
    async with reading():
        await eventually(lambda: metrics.READER.value == 1)
        cut = await write(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND objid = 1"
        )
        assert cut == [(True,)]
        await write("INSERT INTO items VALUES (1, 'a')")
        await eventually(lambda: names(published) == ["a"])
    assert "Background work" not in caplog.text  # an outage is told once, and not with a traceback


@pytest.mark.stack("full")
def test_reader_without_the_turn_moves_nothing_beside_another(items: Collection, told: Read):
    """One that lost its connection and does not know yet."""
    run("INSERT INTO items VALUES (1, 'a')")
    other = connections["default"].copy()
    try:
        with transaction.atomic(), other.cursor() as cursor:
            other.set_autocommit(False)
            cursor.execute(f"SELECT pg_advisory_xact_lock({postgresql._LOCKS}, {postgresql._TRANSACTION})")
            assert reader.read_some() == []
            other.rollback()
    finally:
        other.close()

    assert len(told("items")) == 1


def test_change_whose_telling_fails_is_told_the_next_time(
    items: Collection, told: Read, monkeypatch: pytest.MonkeyPatch
):
    run("INSERT INTO items VALUES (1, 'a')")
    with monkeypatch.context() as patch:
        patch.setattr(reader, "publish_on_commit", _fail)
        with pytest.raises(RuntimeError):
            reader.read_some()
    assert NotedChange.objects.count() == 1

    assert [event.new for event in told("items")] == [{"id": 1, "name": "a"}]
    assert not NotedChange.objects.exists()


def _fail(*_: object) -> None:
    raise RuntimeError("of this test")


def test_more_than_a_batch_is_told_in_order_under_its_marks(
    items: Collection, told: Read, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(noted, "BATCH", 2)
    run("INSERT INTO items VALUES (1, 'a'), (2, 'b'), (3, 'c')")
    run("INSERT INTO items VALUES (4, 'd'), (5, 'e')")

    assert [len(reader.read_some()) for _ in range(4)] == [2, 2, 1, 0]
    events = told("items")
    assert [event.new and event.new["id"] for event in events] == [1, 2, 3, 4, 5]
    assert [event.write == events[0].write for event in events] == [True] * 3 + [False] * 2


def test_batch_ends_at_its_size(items: Collection, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(noted, "BATCH_BYTES", 3000)
    run(f"INSERT INTO items VALUES (1, '{'a' * 2000}'), (2, '{'b' * 2000}'), (3, '{'c' * 5000}'), (4, 'd')")

    assert [len(reader.read_some()) for _ in range(3)] == [2, 1, 1]


@pytest.mark.parametrize("row", ["no JSON", '{"a": ', "[" * 100_000])
def test_what_cannot_be_read_holds_nothing_up(row: str, items: Collection, told: Read):
    NotedChange.objects.create(collection="items", write=1, noted_at=0, new=row)
    run("INSERT INTO items VALUES (1, 'a')")

    assert [event.what for event in told("items")] == ["missed", "create"]


def test_change_of_a_collection_that_this_process_does_not_know_is_told(items: Collection, told: Read):
    """Of a newer version of the apps, whose `migrate` has run."""
    NotedChange.objects.create(collection="newer", write=1, noted_at=0, new='{"id": 1}')

    assert [event.new for event in told("newer")] == [{"id": 1}]


async def test_triggers_that_are_not_as_declared_are_logged_at_the_start(
    items: Collection, impatient: None, hub: Hub, caplog: pytest.LogCaptureFixture
):
    await write("DROP TRIGGER relais_note_items_delete" + ("" if IS_SQLITE else " ON items"))
    async with reading():
        await eventually(lambda: metrics.READER.value == 1)
        await eventually(lambda: "not as declared" in caplog.text)


def test_delay_of_what_was_read_is_measured(items: Collection):
    run("INSERT INTO items VALUES (1, 'a'), (2, 'b')")
    before = metrics.DELAY_SECONDS.series()[()]
    counted = metrics.CHANGES.series().get(("items",), [0])[0]
    reader._count(reader.read_some())

    after = metrics.DELAY_SECONDS.series()[()]
    assert sum(after[1:]) == sum(before[1:]) + 1
    assert math.isfinite(after[0])
    assert metrics.CHANGES.series()[("items",)] == [counted + 2]


def test_reader_is_shown_only_where_something_is_watched(items: Collection, monkeypatch: pytest.MonkeyPatch):
    assert metrics.READER.series() == {(): [0.0]}
    with monkeypatch.context() as meanwhile:  # over before the fixtures forget what they declared
        meanwhile.setattr(registry, "_collections", [])
        assert metrics.READER.series() == {}
