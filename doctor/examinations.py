"""The registry of examinations, and helpers that read a live database without disturbing it.

An app registers examinations in its `doctor.py`, which is found as `admin.py` is: generators of findings.

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

from django.db import connection
from django.db.models import Model
from django.utils.module_loading import autodiscover_modules

#: Rows read in one snapshot: that takes milliseconds, and the bodies of so many events take a few megabytes.
BATCH = 1_000


@dataclass(frozen=True, slots=True)
class Finding:
    """One place where the stored data breaks a promise; it never holds a message's text or a secret."""

    what: str
    where: Mapping[str, object]
    expected: str
    found: str


@dataclass(frozen=True, slots=True)
class Examination:
    """One promise about the stored data, and the function that proves it again."""

    #: The app and the function: `realtime.log_numbers`.
    name: str
    promise: str
    remedy: str
    findings: Callable[[], Iterator[Finding]]


_examinations: dict[str, Examination] = {}


def examination(
    *, remedy: str, app: str = ""
) -> Callable[[Callable[[], Iterator[Finding]]], Callable[[], Iterator[Finding]]]:
    """Register a generator of findings; its docstring is the promise.

    `app` names the app whose tables it reads, where that is not the app it is written in.
    """

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
    # Django's own transaction would take the write lock at its start (`realtime/database/url.py`).
    "sqlite": "BEGIN DEFERRED",
}


@contextmanager
def snapshot() -> Iterator[None]:
    """One unchanging view of the database for a few queries: later writes are not seen.

    Plain reads in it hold up no writer. An examination yields nothing from inside: whoever prints the
    findings may be slow, and an old snapshot keeps the database from cleaning up.
    """
    with connection.cursor() as cursor:
        cursor.execute(_BEGIN[connection.vendor])
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ROLLBACK")


def table(model: type[Model]) -> str:
    """The name by which a finding calls the table of a model."""
    return model._meta.db_table  # noqa: SLF001 - documented, in spite of its name
