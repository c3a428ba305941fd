"""/health/live and /health/ready: their answers when something is away, and what they cost."""

import asyncio
import functools
import itertools
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from asgiref.testing import ApplicationCommunicator
from django.db import OperationalError, connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from realtime.http import health
from realtime.hub.hub import Hub
from tests import environment
from tests.processes import wait_until
from tests.servers import ServerProcess, Workers, manage

#: It asks for the hub each time, because a test may have put another in its place.
HealthChecks = functools.partial(health.HealthChecks, hub=lambda: Hub.current())  # noqa: PLW0108

#: Shorter than the database hangs; much longer than anybody should wait, even on a machine that stands still.
PATIENCE_SECONDS = 20.0


class FakeHub:
    def __init__(self) -> None:
        self.status = "ok"
        self.is_draining = False

    def layer_status(self) -> str:
        return self.status


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    fake = FakeHub()
    monkeypatch.setattr(Hub, "current", lambda: fake)
    return fake


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The times at which the database was asked; it always answers."""
    times: list[float] = []

    def ask(*, is_migrated: bool) -> list[str]:
        times.append(time.monotonic())
        return []

    monkeypatch.setattr(health, "_ask_database", ask)
    return times


async def elsewhere(_scope: Any, _receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 418, "headers": []})
    await send({"type": "http.response.body", "body": b"{}"})


async def get(app: health.HealthChecks, path: str, method: str = "GET") -> tuple[int, Any]:
    scope = {"type": "http", "method": method, "path": path, "headers": [(b"host", b"10.1.2.3")]}
    communicator = ApplicationCommunicator(app, scope)
    await communicator.send_input({"type": "http.request", "body": b""})
    start = await communicator.receive_output(PATIENCE_SECONDS)
    body = (await communicator.receive_output(PATIENCE_SECONDS))["body"]
    await communicator.wait(PATIENCE_SECONDS)
    return start["status"], json.loads(body) if body else None


async def test_live_answers_without_asking_anybody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_ask_database", None)

    assert await get(HealthChecks(elsewhere), "/health/live") == (200, {"status": "ok"})


async def test_head_has_no_body() -> None:
    assert await get(HealthChecks(elsewhere), "/health/live", "HEAD") == (200, None)


@pytest.mark.parametrize(
    ("path", "method"), [("/health/", "GET"), ("/api/me/", "GET"), ("/health/ready", "POST")]
)
async def test_everything_else_passes(path: str, method: str) -> None:
    assert (await get(HealthChecks(elsewhere), path, method))[0] == 418


@pytest.mark.parametrize(("layer", "status"), [("ok", "ok"), ("memory", "ok"), ("lost", "degraded")])
async def test_ready_serves_with_or_without_redis(
    hub: FakeHub, asked: list[float], layer: str, status: str
) -> None:
    hub.status = layer

    answer = await get(HealthChecks(elsewhere), "/health/ready")

    assert answer == (200, {"status": status, "database": "ok", "layer": layer})


async def test_real_database_answers(hub: FakeHub, transactional_db: None) -> None:
    assert await get(HealthChecks(elsewhere), "/health/ready") == (
        200,
        {"status": "ok", "database": "ok", "layer": "ok"},
    )


async def test_database_that_fails_is_unavailable(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_known: bool) -> None:
        raise OperationalError("connection refused to host db.internal")

    monkeypatch.setattr(health, "_ask_database", refuse)

    answer = await get(HealthChecks(elsewhere), "/health/ready")

    assert answer == (503, {"status": "unavailable", "database": "unavailable", "layer": "ok"})


async def test_database_that_hangs_is_unavailable_within_3_seconds(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    released, questions = threading.Event(), []

    def hang(**_known: bool) -> None:
        questions.append(1)
        released.wait(2 * PATIENCE_SECONDS)

    monkeypatch.setattr(health, "_ask_database", hang)
    now = [0.0]
    app = HealthChecks(elsewhere, clock=lambda: now[0])
    assert health.DATABASE_TIMEOUT_SECONDS < 3
    try:
        first, _ = await get(app, "/health/ready")

        # The next request does not wait for the thread that hangs, nor queue behind it.
        now[0] += 10
        monkeypatch.setattr(health, "DATABASE_TIMEOUT_SECONDS", 2 * PATIENCE_SECONDS)
        second, _ = await get(app, "/health/ready")
    finally:
        released.set()

    assert (first, second) == (503, 503)
    assert len(questions) == 1


async def test_stopping_process_is_unavailable(hub: FakeHub, asked: list[float]) -> None:
    hub.is_draining = True

    assert (await get(HealthChecks(elsewhere), "/health/ready"))[0] == 503


async def test_answer_is_kept_for_a_second(hub: FakeHub, asked: list[float]) -> None:
    now = [100.0]
    app = HealthChecks(elsewhere, clock=lambda: now[0])

    await asyncio.gather(*(get(app, "/health/ready") for _ in range(20)))
    now[0] += 0.9
    hub.status = "lost"
    kept = await get(app, "/health/ready")
    assert len(asked) == 1

    now[0] += 0.2
    fresh = await get(app, "/health/ready")

    assert len(asked) == 2
    assert (kept[1]["status"], fresh[1]["status"]) == ("ok", "degraded")


# ── migrations ───────────────────────────────────────────────────────────────────────────────────────────


#: The newest migration of chat.
[NEWEST] = MigrationLoader(None).graph.leaf_nodes("chat")


@pytest.fixture
def unapplied(transactional_db: None) -> Iterator[MigrationRecorder]:
    """One of our migrations is not applied, as after a release whose `migrate` was forgotten."""
    recorder = MigrationRecorder(connection)
    recorder.record_unapplied(*NEWEST)
    yield recorder
    recorder.record_unapplied(*NEWEST)  # by then the test may have applied it
    recorder.record_applied(*NEWEST)


@pytest.fixture
def passing() -> Callable[[], float]:
    """Moves the clock so that the last answer is old."""
    return itertools.count(step=2 * health.CACHE_SECONDS).__next__


async def test_missing_migration_is_unready_until_it_is_applied(
    hub: FakeHub, unapplied: MigrationRecorder, passing: Callable[[], float], caplog: pytest.LogCaptureFixture
) -> None:
    app = HealthChecks(elsewhere, clock=passing)

    before = [await get(app, "/health/ready") for _ in range(3)]
    await sync_to_async(unapplied.record_applied)(*NEWEST)
    after = await get(app, "/health/ready")

    lacking = (503, {"status": "unavailable", "database": "migrations", "layer": "ok"})
    assert before == [lacking] * 3
    assert after == (200, {"status": "ok", "database": "ok", "layer": "ok"})
    said = [record.getMessage() for record in caplog.records if "migrate`" in record.getMessage()]
    assert said == [
        f"The database lacks 1 migrations, {'.'.join(NEWEST)} first: run `python manage.py migrate`"
    ]


async def test_database_that_is_ahead_is_ready(hub: FakeHub, transactional_db: None) -> None:
    """In a release the new code has migrated the database, and the old code goes on serving."""
    recorder = MigrationRecorder(connection)
    record, forget = sync_to_async(recorder.record_applied), sync_to_async(recorder.record_unapplied)
    await record("chat", "0999_of_the_next_release")
    try:
        assert (await get(HealthChecks(elsewhere), "/health/ready"))[0] == 200
    finally:
        await forget("chat", "0999_of_the_next_release")


async def test_release_laid_out_beside_a_running_server_does_not_unready_it(
    hub: FakeHub, unapplied: MigrationRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server's code is the old one, and so is the database."""
    began_with = health._migrations_of_this_code() - {NEWEST}
    monkeypatch.setattr(health, "_migrations_of_this_code", lambda: began_with)

    assert (await get(HealthChecks(elsewhere), "/health/ready"))[0] == 200


async def test_migrations_are_looked_for_until_they_are_there(
    hub: FakeHub, transactional_db: None, passing: Callable[[], float], monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[object] = []
    monkeypatch.setattr(
        health, "MigrationLoader", lambda database: looked.append(1) or MigrationLoader(database)
    )
    app = HealthChecks(elsewhere, clock=passing)

    for _ in range(5):
        assert (await get(app, "/health/ready"))[0] == 200
    assert len(looked) == 1

    with monkeypatch.context() as away:  # again after an outage, which may have been a restore

        def refuse(**_known: bool) -> None:
            raise OperationalError

        away.setattr(health, "_ask_database", refuse)
        assert (await get(app, "/health/ready"))[0] == 503
    assert (await get(app, "/health/ready"))[0] == 200
    assert len(looked) == 2


@pytest.mark.acceptance
@pytest.mark.stack("small")
@pytest.mark.parametrize("kind", ["daphne", "uvicorn", "workers"])
def test_server_on_an_empty_database_says_so_when_it_starts(kind: Any) -> None:
    url = environment.sqlite_url(f"empty-{kind}")
    server = (
        Workers("daphne", workers=1, database_url=url)
        if kind == "workers"
        else ServerProcess(kind, database_url=url)
    )
    with server:
        wait_until(
            lambda: "run `python manage.py migrate`" in server.log(),
            seconds=30,
            what="a word about migrations",
        )
        with pytest.raises(urllib.error.HTTPError) as unready:
            urllib.request.urlopen(f"{server.url}/health/ready")
        with unready.value as answer:
            assert (answer.code, json.load(answer)["database"]) == (503, "migrations")

        manage("migrate", "--verbosity", "0", database_url=url)
        wait_until(lambda: is_ready(server), seconds=30, what="readiness after migrate, without a restart")


def is_ready(server: ServerProcess) -> bool:
    try:
        with urllib.request.urlopen(f"{server.url}/health/ready"):
            return True
    except urllib.error.HTTPError as unready:
        unready.close()
        return False
