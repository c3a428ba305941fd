"""The database threads: few connections, kept while they are usable."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextvars import ContextVar
from typing import Any

import pytest
import structlog
from django.db import InterfaceError, OperationalError, connection, connections, transaction

from realtime.database import threads
from realtime.database.threads import close_threads, run_in_background, run_in_thread
from realtime.database.time_budget import deadline_in
from realtime.errors import UnavailableError, UncertainError
from realtime.models import Topic

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
async def own_threads(settings: Any) -> AsyncIterator[None]:
    settings.RELAIS = {**settings.RELAIS, "database_threads": 3}
    await asyncio.to_thread(close_threads)
    yield
    await asyncio.to_thread(close_threads)


def connected() -> Any:
    """The connection of this thread, in use."""
    Topic.objects.count()
    return connection.connection


async def in_all_threads(work: Any) -> list[Any]:
    everybody = threading.Barrier(3)

    def together() -> Any:
        everybody.wait(10)
        return work()

    # A thread may take long to start, and none of these tests is about that.
    return await asyncio.gather(*(run_in_background(together) for _ in range(3)))


async def test_database_is_used_in_threads_of_our_own():
    names = await in_all_threads(lambda: threading.current_thread().name)

    assert len(set(names)) == 3
    assert all(name.startswith("database") for name in names)


@pytest.mark.stack("small")
async def test_sqlite_waits_for_another_writer_as_long_as_its_caller_has_time():
    def busy_ms() -> int:
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA busy_timeout")
            return int(cursor.fetchone()[0])

    def over_http() -> int:
        try:
            with deadline_in(5):
                return busy_ms()
        finally:
            connection.close()

    assert await in_all_threads(busy_ms) == [1_400] * 3
    assert 1_400 < await asyncio.to_thread(over_http) <= 5_000


async def test_connection_is_kept_for_the_next_call():
    first = await in_all_threads(connected)
    second = await in_all_threads(connected)

    assert len({id(raw) for raw in first}) == 3
    assert set(map(id, first)) == set(map(id, second))


@pytest.mark.parametrize("error", [OperationalError, InterfaceError])
async def test_database_that_is_away_is_unavailable(error):
    def fail() -> None:
        raise error("no route to host")

    with pytest.raises(UnavailableError) as refused:
        await run_in_thread(fail)

    assert refused.value.retry_after_ms == 1000
    assert isinstance(refused.value.__cause__, error)
    assert "route" not in refused.value.message


async def test_other_errors_stay_what_they_are():
    def fail() -> None:
        raise KeyError("a bug")

    with pytest.raises(KeyError):
        await run_in_thread(fail)


@pytest.mark.stack("full")
async def test_connection_that_broke_is_replaced_and_the_others_are_kept():
    pids = await in_all_threads(lambda: connected().info.backend_pid)

    def cut() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    with pytest.raises(UnavailableError):
        await run_in_thread(cut)
    after = await in_all_threads(lambda: connected().info.backend_pid)

    assert len(set(pids) & set(after)) == 2


@pytest.mark.stack("full")
async def test_connection_that_the_server_cut_meanwhile_is_replaced_before_it_is_used(monkeypatch):
    monkeypatch.setattr(threads, "REST_SECONDS", 0)
    pids = await in_all_threads(lambda: connected().info.backend_pid)

    def cut_all() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(pid, 5000) FROM unnest(%s::int[]) pid", [pids])

    await asyncio.to_thread(lambda: (cut_all(), connection.close()))
    after = await in_all_threads(lambda: connected().info.backend_pid)

    assert not set(pids) & set(after)


@pytest.mark.stack("full")
async def test_connection_in_constant_use_is_not_tried_before_each_use(monkeypatch):
    monkeypatch.setattr(threads, "REST_SECONDS", 1000)
    await in_all_threads(connected)
    tried = []
    monkeypatch.setattr(type(connections["default"]), "is_usable", lambda self: tried.append(1) or True)

    await in_all_threads(connected)

    assert tried == []


async def test_failed_transaction_leaves_no_trace_in_the_connection():
    def fail() -> None:
        with transaction.atomic():
            Topic.objects.create(name="undone")
            raise RuntimeError

    for _ in range(3):
        with pytest.raises(RuntimeError):
            await run_in_thread(fail)

    assert (
        await in_all_threads(lambda: (connection.in_atomic_block, Topic.objects.count())) == [(False, 0)] * 3
    )


async def test_closing_waits_for_what_runs_and_closes_every_connection():
    wrappers = await in_all_threads(lambda: (connected(), connections["default"])[1])
    started, may_end = threading.Event(), threading.Event()

    def slow() -> str:
        started.set()
        may_end.wait(10)
        return "done"

    slowly = asyncio.ensure_future(run_in_thread(slow))
    await asyncio.to_thread(started.wait, 10)
    closing = asyncio.ensure_future(asyncio.to_thread(close_threads))
    await asyncio.sleep(0.05)
    assert not closing.done()
    may_end.set()
    await closing

    assert await slowly == "done"
    assert [wrapper.connection for wrapper in wrappers] == [None, None, None]


async def test_threads_can_be_closed_twice_and_begin_again():
    close_threads()
    close_threads()

    assert await run_in_thread(lambda: 1) == 1


async def test_context_goes_in_and_does_not_come_out():
    colour: ContextVar[str] = ContextVar("colour", default="none")
    colour.set("red")
    structlog.contextvars.bind_contextvars(socket_id="mine")

    def paint() -> tuple[str, Any]:
        seen = colour.get(), structlog.contextvars.get_contextvars().get("socket_id")
        colour.set("blue")
        structlog.contextvars.bind_contextvars(socket_id="leaked")
        return seen

    assert await run_in_thread(paint) == ("red", "mine")
    assert colour.get() == "red"
    structlog.contextvars.clear_contextvars()
    colour.set("none")
    assert await in_all_threads(paint) == [("none", None)] * 3


# ── a database that does not answer ──────────────────────────────────────────────────────────────────────


async def test_thread_that_hangs_is_not_waited_for_and_what_waits_for_a_thread_never_happens(monkeypatch):
    # Long enough for three threads to begin on any machine.
    monkeypatch.setattr(threads, "ANSWER_SECONDS", 1.5)
    release, ran = threading.Event(), []
    hanging = [asyncio.ensure_future(run_in_thread(release.wait, 10)) for _ in range(3)]
    queued = asyncio.ensure_future(run_in_thread(ran.append, "late"))

    outcomes = await asyncio.gather(*hanging, queued, return_exceptions=True)
    release.set()

    assert [type(outcome) for outcome in outcomes] == [UncertainError] * 3 + [UnavailableError]
    assert {(o.code, o.retry_after_ms) for o in outcomes if isinstance(o, UnavailableError)} == {
        ("unavailable", 1000)
    }
    await in_all_threads(lambda: None)
    assert ran == []


@pytest.mark.stack("full")
async def test_silent_database_keeps_no_thread_and_its_connection_is_not_used_again(monkeypatch):
    pids = await in_all_threads(lambda: connected().info.backend_pid)
    monkeypatch.setattr(threads, "DATABASE_SECONDS", 0.3)
    monkeypatch.setattr(threads, "ANSWER_SECONDS", 8)

    def ask() -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT pg_sleep(10)")

    async with asyncio.timeout(6):
        outcomes = await asyncio.gather(*(run_in_thread(ask) for _ in range(3)), return_exceptions=True)
        # Not `UncertainError`: the threads raised it themselves, and are free for the next call.
        assert [type(outcome) for outcome in outcomes] == [UnavailableError] * 3
    monkeypatch.setattr(threads, "DATABASE_SECONDS", 5)
    after = await in_all_threads(lambda: connected().info.backend_pid)

    assert not set(pids) & set(after)


@pytest.mark.stack("full")
async def test_work_in_the_background_may_take_longer_than_an_answer(monkeypatch):
    monkeypatch.setattr(threads, "DATABASE_SECONDS", 0.05)
    monkeypatch.setattr(threads, "ANSWER_SECONDS", 0.05)

    def ask() -> int:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_sleep(0.3)")
            return int(cursor.fetchone()[0])

    assert await run_in_background(ask) == 1


@pytest.mark.stack("full")
async def test_database_that_takes_no_writes_is_unavailable():
    def write() -> None:
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION READ ONLY")
            Topic.objects.create(name="refused")

    with pytest.raises(UnavailableError):
        await run_in_thread(write)
