"""Fixtures of the changes' tests: collections of the test's own, and what their topics were told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from django.db import connection

from changes import ALL_FIELDS, Collection, migrating, reader, registry, triggers, user_values, watch_table
from changes.registry import topic_of
from realtime import log

IS_SQLITE = connection.vendor == "sqlite"


def run(sql: str, *parameters: Any) -> list[Any]:
    """Run SQL as another program would, past the ORM; returns its rows."""
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters or None)
        return cursor.fetchall() if cursor.description else []


@dataclass(frozen=True)
class Told:
    """An event of a collection's topic, as a test compares it."""

    what: str
    old: dict[str, Any] | None = None
    new: dict[str, Any] | None = None
    write: str = ""

    @property
    def row(self) -> tuple[str, Any, Any]:
        return self.what, self.old, self.new


@pytest.fixture
def told() -> Callable[..., list[Told]]:
    """`told("orders")`: reads what was noted, and returns what the topic was told of rows since then."""
    seen: dict[str, int] = {}

    def read(name: str) -> list[Told]:
        while reader.read_some():
            pass
        page = log.replay(topic_of(name), after=seen.get(name, 0), limit=100_000)
        if page:
            seen[name] = page[-1].seq or 0
        events = [msgspec.json.decode(event.body) for event in page]
        return [_told(event) for event in events if event["type"] != "rights_changed"]

    return read


def _told(event: dict[str, Any]) -> Told:
    if event["type"] == "changes_missed":
        return Told("missed")
    what = "create" if event["old"] is None else "delete" if event["new"] is None else "update"
    return Told(what, event["old"], event["new"], event["write"])


@contextmanager
def nothing_declared() -> Iterator[None]:
    """Nothing is declared but what is declared in the block, and that only there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "_collections", [])
        patch.setattr(registry, "_sources", list(registry._sources))
        patch.setattr(user_values, "_registered", [])
        yield


@pytest.fixture
def declare(transactional_db: None) -> Iterator[Callable[..., Collection]]:
    """`declare(watch, Model, …)`: declares a collection as an app does; all others are none meanwhile."""
    before, sources = registry.collections(), list(registry._sources)

    migrating.replaced_rows_are_deleted(connection=connection)  # as for connections of a server

    def one(how: Callable[..., Collection], *args: Any, **options: Any) -> Collection:
        collection = how(*args, **{"fields": ALL_FIELDS, **options})
        assert triggers.install(registry.collections()) == []
        return collection

    yield one
    registry._collections[:] = before
    registry._sources[:] = sources
    triggers.install(before)


@pytest.fixture
def table(declare: Callable[..., Collection]) -> Iterator[Callable[..., Collection]]:
    """`table("items", "id integer PRIMARY KEY, name text")`: makes a table, and watches it under its name."""
    made: list[str] = []

    def make(table: str, columns: str, **options: Any) -> Collection:
        quoted = '"' + table.replace('"', '""') + '"'
        made.append(quoted)
        run(f"CREATE TABLE {quoted} ({columns})")
        return declare(watch_table, table, **{"name": table, **options})

    yield make
    for quoted in reversed(made):
        run(f"DROP TABLE IF EXISTS {quoted}" + ("" if IS_SQLITE else " CASCADE"))


@pytest.fixture
def items(table: Callable[..., Collection]) -> Collection:
    """A small table."""
    return table("items", "id integer PRIMARY KEY, name text")
