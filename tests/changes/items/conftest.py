"""Fixtures for rows that users write."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from accounts.models import User
from changes.items import InvalidRowError
from changes.opened import opened
from changes.rows import postgresql_columns, row_as_json, sqlite_object
from tests.changes.conftest import IS_SQLITE, run
from tests.factories import make_user


@pytest.fixture
def ana(transactional_db: None) -> User:
    return make_user("ana")


@pytest.fixture
def bruno(transactional_db: None) -> User:
    return make_user("bruno")


@pytest.fixture
def root(transactional_db: None) -> User:
    """A superuser."""
    return make_user("root", is_superuser=True)


def shown(name: str) -> list[dict[str, Any]]:
    """All rows of a collection as JSON, as a trigger writes them, in the order of the key."""
    shape = opened(name).shape
    table = '"' + shape.table.replace('"', '""') + '"'
    key = ", ".join('"' + field.column.replace('"', '""') + '"' for field in shape.key)
    if IS_SQLITE:
        rows = run(f"SELECT CAST({sqlite_object(shape, 'r')} AS BLOB) FROM {table} AS r ORDER BY {key}")
    else:
        rows = run(
            f"SELECT row_to_json(s)::text FROM (SELECT {postgresql_columns(shape.fields, 'r')}"
            f" FROM {table} AS r ORDER BY {key}) AS s"
        )
    return [msgspec.json.decode(row_as_json(text)) for (text,) in rows]


def problems(error: InvalidRowError) -> list[tuple[str, str | None]]:
    """What is wrong, and with which field."""
    return [(problem.kind.value, problem.field) for problem in error.problems]
