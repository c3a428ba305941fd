"""Outages: the start is logged once, with its cause, and the end once."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import psycopg
import pytest
from django.db import OperationalError, connection
from psycopg_pool import ConnectionPool, PoolTimeout

from realtime.database import outages
from realtime.database.postgresql import PunctualConnection, explained
from realtime.database.threads import close_threads, run_in_thread
from realtime.errors import UnavailableError
from realtime.http.rest_errors import exception_handler
from realtime.metrics.outages import SAME_OUTAGE_SECONDS, Outage
from tests.processes import free_port


def away(cause: str) -> UnavailableError:
    error = UnavailableError()
    error.__cause__ = OperationalError(cause)
    return error


def test_cause_is_said_once_for_each_outage(caplog):
    clock = SimpleNamespace(now=0.0)
    outage = Outage("It", clock=lambda: clock.now)
    for _ in range(3):
        outage.noticed(away("the first"))
    outage.over()
    outage.over()
    outage.noticed(away("the second"))
    outage.over()

    assert caplog.messages == [
        "It is away: OperationalError('the first')",
        "It is back",
        "It is away: OperationalError('the second')",
        "It is back",
    ]


def test_failures_between_successes_are_one_outage(caplog):
    """The database is read-only: each reader would report it as back, and each writer as away."""
    clock = SimpleNamespace(now=0.0)
    outage = Outage("It", clock=lambda: clock.now)
    for _ in range(100):
        clock.now += 1
        outage.noticed(away("read-only"))
        outage.over()
    assert len(caplog.messages) == 2
    assert not outage.is_on

    clock.now += SAME_OUTAGE_SECONDS + 1
    outage.noticed(away("read-only"))
    assert len(caplog.messages) == 3


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch) -> Outage:
    outage = Outage("The database", explain=explained)
    monkeypatch.setattr(outages, "DATABASE", outage)
    return outage


async def test_failure_of_a_sockets_call_is_in_the_log(transactional_db, database, caplog):
    def fail() -> None:
        raise OperationalError("could not extend file: No space left on device")

    for _ in range(2):
        with pytest.raises(UnavailableError):
            await run_in_thread(fail)
    await run_in_thread(lambda: None)
    await asyncio.to_thread(close_threads)

    assert caplog.messages == [
        "The database is away: OperationalError('could not extend file: No space left on device')",
        "The database is back",
    ]


def test_failure_of_a_request_is_in_the_log(database, caplog):
    answer = exception_handler(OperationalError("the server closed the connection unexpectedly"), {})

    assert answer is not None
    assert answer.status_code == 503
    [said] = caplog.messages
    assert "closed the connection unexpectedly" in said


def test_pool_says_why_it_has_no_connection(database, caplog):
    """A caller that waits for the pool is told only how long it waited."""
    port = free_port()
    url = f"postgresql://ana:secret-of-ana@127.0.0.1:{port}/relais"
    with (
        ConnectionPool(url, connection_class=PunctualConnection, min_size=1, timeout=2, open=True) as pool,
        pytest.raises(PoolTimeout) as refused,
    ):
        pool.getconn()
    error = OperationalError(str(refused.value))
    error.__cause__ = refused.value
    database.noticed(away_because(error))

    [said] = caplog.messages
    assert f"port {port} failed: Connection refused" in said
    assert "secret-of-ana" not in said


def away_because(error: Exception) -> UnavailableError:
    unavailable = UnavailableError()
    unavailable.__cause__ = error
    return unavailable


@pytest.mark.stack("full")
@pytest.mark.django_db(transaction=True)
async def test_wrong_password_is_in_the_log_and_not_the_password(database, caplog):
    """PostgreSQL's own message is in the log, through our own threads."""

    def sign_in() -> None:
        parameters = connection.get_connection_params()
        try:
            psycopg.connect(
                host=parameters.get("host"),
                port=parameters.get("port"),
                user="nobody-there",
                password="secret-of-ana",
            )
        except psycopg.OperationalError as error:
            raise OperationalError(str(error)) from error

    with pytest.raises(UnavailableError):
        await run_in_thread(sign_in)
    await asyncio.to_thread(close_threads)

    [said] = caplog.messages
    assert "nobody-there" in said
    assert "secret-of-ana" not in said
