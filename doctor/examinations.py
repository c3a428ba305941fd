"""What `manage.py doctor` examines: the registry, and how one reads a live database without disturbing it.

An app adds examinations in its `doctor.py`, which is found like `admin.py`. Each is a generator of findings:

    @examination(remedy="What to do about it, in one sentence.")
    def orders() -> Iterator[Finding]:
        \"\"\"The promise that is proved again, in one line.\"\"\"
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.db import connection
from django.db.models import Model, QuerySet
from django.utils.module_loading import autodiscover_modules

#: Rows looked at in one snapshot. It is read in milliseconds, and its bodies fit into a few megabytes.
BATCH = 1_000


@dataclass(frozen=True, slots=True)
class Finding:
    """One place where what is stored is not what was promised. It never holds a text or a secret."""

    what: str
    where: Mapping[str, object]
    expected: str
    found: str


@dataclass(frozen=True, slots=True)
class Examination:
    """One promise about what is stored, and how to prove it again."""

    #: The app and the function: `realtime.log_numbers`.
    name: str
    promise: str
    remedy: str
    findings: Callable[[], Iterator[Finding]]


_examinations: dict[str, Examination] = {}


def examination(
    *, remedy: str, app: str = ""
) -> Callable[[Callable[[], Iterator[Finding]]], Callable[[], Iterator[Finding]]]:
    """Register a generator of findings; its docstring is the promise. `app` is whose tables it reads."""

    def register(findings: Callable[[], Iterator[Finding]]) -> Callable[[], Iterator[Finding]]:
        name = f"{app or findings.__module__.partition('.')[0]}.{findings.__name__}"
        _examinations[name] = Examination(name, inspect.getdoc(findings) or "", remedy, findings)
        return findings

    return register


def registered() -> list[Examination]:
    """All examinations, those of the core first and then in the order of the apps."""
    importlib.import_module("doctor.core")
    autodiscover_modules("doctor")
    return list(_examinations.values())


_BEGIN = {
    "postgresql": "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
    # Not Django's own transaction, which takes the write lock at its start.
    "sqlite": "BEGIN DEFERRED",
}


@contextmanager
def snapshot() -> Iterator[None]:
    """One unchanging view of the database for a few queries: what is written meanwhile is not seen.

    Plain reads, which hold no writer up. Nothing is yielded from inside: who reads the findings may be slow,
    and an old snapshot keeps the database from cleaning up behind it.
    """
    with connection.cursor() as cursor:
        cursor.execute(_BEGIN[connection.vendor])
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ROLLBACK")


def id_ranges(rows: QuerySet[Any]) -> Iterator[tuple[int, int]]:
    """Ranges (above, up to and including) of integer ids that hold a batch of rows each."""
    above = 0
    while True:
        ids = rows.filter(pk__gt=above).order_by("pk").values_list("pk", flat=True)[:BATCH]
        last = max(ids, default=None)
        if last is None:
            return
        yield above, last
        above = last


def table(model: type[Model]) -> str:
    """What a finding calls the table of a model."""
    return model._meta.db_table  # noqa: SLF001 - documented, in spite of its name
