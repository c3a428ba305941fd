"""Fixtures for collections on the native socket."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from changes import allow, reader, signed_in
from changes.registry import Collection
from tests.changes.conftest import declare, run, table
from tests.native.conftest import page_of, patient, relais, unlimited

__all__ = ["declare", "page_of", "patient", "relais", "table", "unlimited"]

#: A table of tasks; who signed in may read all but the secret, the owner of a task also that.
TASKS = "id integer PRIMARY KEY, title text, owner integer, done boolean, secret text"


@pytest.fixture
def tasks(table: Callable[..., Collection]) -> Collection:
    return table(
        "tasks",
        TASKS,
        rights=[
            allow("read", to=signed_in, fields=["id", "title", "owner", "done"]),
            allow("read", to=signed_in, rows={"owner": "$CURRENT_USER"}),
        ],
    )


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Nothing that is noted is read until the test says so: `held()`."""
    read_some = reader.read_some
    monkeypatch.setattr(reader, "read_some", list)

    def read() -> None:
        while read_some():
            pass

    return read


@pytest.fixture
def written(tasks: Collection) -> Callable[..., Any]:
    """`await written("INSERT …")`: runs SQL, and moves what it changed into the log."""

    def write(*statements: str) -> None:
        for statement in statements:
            run(statement)
        while reader.read_some():
            pass

    return sync_to_async(write)
