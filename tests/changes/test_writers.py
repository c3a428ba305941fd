"""Many write at once, and readers are killed in the middle: nothing is skipped, nothing told twice.

`WRITERS=full scripts/test tests/changes/test_writers.py` plays the large size, on the full stack.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from django.db import connection

from changes.models import NotedChange
from changes.registry import Collection
from realtime import log
from tests.changes.conftest import Told, run
from tests.processes import wait_until
from tests.servers import ROOT, product_environment

#: Only ever waited for in full by a failure.
PATIENCE_SECONDS = 600
pytestmark = [pytest.mark.acceptance, pytest.mark.stack("full"), pytest.mark.timeout(2 * PATIENCE_SECONDS)]

Read = Callable[[str], list[Told]]


@dataclass(frozen=True)
class Size:
    """How much is played."""

    writers: int
    transactions: int
    deaths: int


SIZE = Size(16, 500, 20) if os.environ.get("WRITERS") == "full" else Size(8, 60, 3)
#: Rows that the writers share: few enough for them to meet.
ROWS = 60
ROLLED_BACK = 0.05


def dsn() -> str:
    settings = connection.settings_dict
    names = {"dbname": "NAME", "user": "USER", "password": "PASSWORD", "host": "HOST", "port": "PORT"}
    return psycopg.conninfo.make_conninfo(**{name: str(settings[key]) for name, key in names.items()})


def url() -> str:
    settings = connection.settings_dict
    return "postgres://{USER}:{PASSWORD}@{HOST}:{PORT}/{NAME}".format(**settings)


class Writer(threading.Thread):
    """Writes to shared rows, in transactions of random lengths, of which some are rolled back."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.random = random.Random(number)
        self.done = 0
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            with psycopg.connect(dsn(), autocommit=True) as own:
                for _ in range(SIZE.transactions):
                    self._transaction(own)
        except Exception as error:  # noqa: BLE001 - told by the test
            self.failure = error

    def _transaction(self, own: psycopg.Connection[Any]) -> None:
        # In one order, so that no two wait for each other.
        rows = sorted(self.random.choices(range(ROWS), k=self.random.randint(1, 20)))
        with own.transaction(force_rollback=self.random.random() < ROLLED_BACK):
            for row in rows:
                with own.transaction(force_rollback=self.random.random() < ROLLED_BACK):
                    self._write(own, row)
                self.done += 1

    def _write(self, own: psycopg.Connection[Any], row: int) -> None:
        if self.random.random() < 0.1:
            own.execute("DELETE FROM counters WHERE id = %s", [row])
        else:
            own.execute(
                "INSERT INTO counters VALUES (%s, nextval('versions')) ON CONFLICT (id)"
                " DO UPDATE SET version = excluded.version",
                [row],
            )


@contextmanager
def reader_process() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.changes.reading"],
        cwd=ROOT,
        env=product_environment(database_url=url()),
        stdout=subprocess.PIPE,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def read_and_die(deaths: int, until: Callable[[], bool]) -> int:
    """Readers that are killed one after the other, each when it has moved changes; the last one is not."""
    died = 0
    while not until():
        with reader_process() as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"reading\n"
            seen = head()
            wait_until(
                lambda: until() or (died < deaths and head() > seen),  # noqa: B023 - called here
                seconds=PATIENCE_SECONDS,
                what="changes are read",
            )
            died += 1
    return died


def head() -> int:
    return log.heads(["collection.counters"])["collection.counters"]


def test_every_change_of_many_writers_is_told_once_and_in_the_order_of_its_row(
    table: Callable[..., Collection], told: Read
):
    run("DROP SEQUENCE IF EXISTS versions")
    run("CREATE SEQUENCE versions")
    table("counters", "id int PRIMARY KEY, version bigint")
    writers = [Writer(number) for number in range(SIZE.writers)]
    for writer in writers:
        writer.start()

    def all_is_read() -> bool:
        return not any(writer.is_alive() for writer in writers) and not NotedChange.objects.exists()

    died = read_and_die(SIZE.deaths, all_is_read)

    assert [writer.failure for writer in writers if writer.failure] == []
    assert died > 1
    events = told("counters")  # and there is nothing left that this could read
    sys.stdout.write(f"{len(events)} changes, {sum(w.done for w in writers)} writes, {died} readers\n")
    last: dict[int, Any] = {}
    for event in events:
        row = event.new or event.old
        assert row is not None
        # Each change begins where the one before it ended: none is missing, doubled or out of turn.
        assert event.old == last.get(row["id"])
        last[row["id"]] = event.new
    there = {number: {"id": number, "version": version} for number, version in run("SELECT * FROM counters")}
    assert {number: row for number, row in last.items() if row} == there
    assert not NotedChange.objects.exists()
    run("DROP SEQUENCE versions")
