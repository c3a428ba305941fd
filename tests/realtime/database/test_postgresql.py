"""The pool: when the database is back, nobody waits for it longer than it takes to connect."""

import gc
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg_pool import ConnectionPool
from psycopg_pool.base import AttemptWithBackoff

from realtime.database.postgresql import PunctualConnection
from realtime.database.url import database
from tests.processes import established
from tests.services import PostgresServer

pytestmark = pytest.mark.stack("full")

#: The longest time that a caller waits for a connection.
PATIENCE = 1.5


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with PostgresServer() as running:
        yield running


@pytest.fixture
def pool(postgres: PostgresServer) -> Iterator[ConnectionPool[Any]]:
    options = database(postgres.url, directory=Path(), pool_size=8)["OPTIONS"]["pool"]
    check = ConnectionPool.check_connection  # the check that Django asks for with CONN_HEALTH_CHECKS
    with ConnectionPool(postgres.url.replace("postgres:", "postgresql:", 1), check=check, **options) as ours:
        yield ours


def test_dead_connections_in_the_pool_do_not_make_their_finder_late(postgres, pool, monkeypatch):
    idle = [pool.getconn() for _ in range(6)]
    for connection in idle:
        pool.putconn(connection)
    postgres.kill()
    postgres.start()

    pauses: list[float] = []
    monkeypatch.setattr(
        "psycopg_pool.pool.sleep", lambda seconds: (pauses.append(seconds), time.sleep(seconds))
    )
    pool.putconn(pool.getconn(30))

    # The pauses that the pool chose: real times would show how busy the machine is.
    assert len(pauses) >= 6
    assert sum(pauses) < PATIENCE / 3


def test_waiting_caller_gets_a_connection_as_soon_as_there_is_a_database(postgres, pool, monkeypatch):
    pauses: list[float] = []
    stock = AttemptWithBackoff.update_delay
    monkeypatch.setattr(
        AttemptWithBackoff,
        "update_delay",
        lambda attempt, now: (stock(attempt, now), pauses.append(attempt.delay)),
    )
    pool.putconn(pool.getconn())
    postgres.kill()
    with ThreadPoolExecutor(1) as others:
        waiting = others.submit(pool.getconn, 30)
        time.sleep(2)  # longer than an attempt: the pool has given up more than one
        postgres.start()

        pool.putconn(waiting.result(30))

    # The pause between two attempts that the pool chose: real times would show how busy the machine is.
    assert 0 < max(pauses) <= 0.5


def test_an_attempt_that_got_no_answer_leaves_nothing_open():
    gc.collect()
    gc.disable()  # as if what is alive were left out of collections
    try:
        with socket.create_server(("127.0.0.1", 0)) as frozen:  # its kernel accepts, and nobody answers
            port = frozen.getsockname()[1]
            for _ in range(2):
                with pytest.raises(psycopg.errors.ConnectionTimeout):
                    PunctualConnection.connect(f"host=127.0.0.1 port={port} user=x", connect_timeout=1)

            # The number of our own descriptors tells nothing: another pool of ours closes one now and then.
            assert established(port) == []
            with socket.create_connection(("127.0.0.1", port)):
                assert len(established(port)) == 1  # shows that a connection that stays would be seen
    finally:
        gc.enable()
