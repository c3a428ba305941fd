"""/health/live and /health/ready: what they answer when something is away, and what they cost."""

import asyncio
import json
import threading
import time
from typing import Any

import pytest
from asgiref.testing import ApplicationCommunicator
from django.db import OperationalError

from config import health
from config.health import HealthChecks
from realtime.hub import Hub

#: Less than the database hangs for; far more than anybody should wait, on a machine that stands still too.
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
    monkeypatch.setattr(health, "_ask_database", lambda: times.append(time.monotonic()))
    return times


async def elsewhere(_scope: Any, _receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 418, "headers": []})
    await send({"type": "http.response.body", "body": b"{}"})


async def get(app: HealthChecks, path: str, method: str = "GET") -> tuple[int, Any]:
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
    def refuse() -> None:
        raise OperationalError("connection refused to host db.internal")

    monkeypatch.setattr(health, "_ask_database", refuse)

    answer = await get(HealthChecks(elsewhere), "/health/ready")

    assert answer == (503, {"status": "unavailable", "database": "unavailable", "layer": "ok"})


async def test_database_that_hangs_is_unavailable_within_3_seconds(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    released, questions = threading.Event(), []

    def hang() -> None:
        questions.append(1)
        released.wait(2 * PATIENCE_SECONDS)

    monkeypatch.setattr(health, "_ask_database", hang)
    now = [0.0]
    app = HealthChecks(elsewhere, clock=lambda: now[0])
    assert health.DATABASE_TIMEOUT_SECONDS < 3
    try:
        first, _ = await get(app, "/health/ready")

        # The next one does not wait for the thread that hangs, nor queue behind it.
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
