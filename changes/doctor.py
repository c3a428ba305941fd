"""The examinations of changes for `manage.py doctor`: what notes them, and what was noted."""

from __future__ import annotations

import time
from collections.abc import Iterator

import msgspec
from django.db import connection

from changes import reader, triggers
from changes.models import NotedChange
from changes.registry import collections, rights_sources
from changes.rights_notes import SAID
from doctor.examinations import Finding, examination

#: Rows shown of one fault.
SHOWN = 100
#: How long a change may wait, and how long a look at those that wait longer takes: a transaction that was
#: open for an hour leaves changes that are an hour old, for as long as the reader needs to take them.
LONGEST_WAIT_SECONDS = 60
PATIENCE_SECONDS = 5.0
_TABLE = NotedChange._meta.db_table  # noqa: SLF001 - documented, in spite of its name


@examination(
    remedy="Run `manage.py migrate`, which installs, refreshes and removes triggers; where it says that a "
    "table is not as declared, correct the app's `watched.py`."
)
def triggers_installed() -> Iterator[Finding]:
    """Each watched table has its triggers, as its collection or rights source has them, and no other any."""
    for fault in triggers.faults(collections()):
        where = {"collection": fault.collection, "part": fault.part}
        yield Finding("changes are not noted as declared", where, "as declared", fault.what)


@examination(
    remedy="Start a server: the first one reads what waits. Where servers run, their logs say what is wrong."
)
def read() -> Iterator[Finding]:
    """What triggers noted is in the log within a minute."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    old = NotedChange.objects.filter(noted_at__lt=(time.time() - LONGEST_WAIT_SECONDS) * 1000).order_by("id")
    waiting = set(old.values_list("id", flat=True)[:SHOWN])
    while waiting and time.monotonic() < deadline:
        time.sleep(0.2)
        waiting &= set(old.values_list("id", flat=True)[:SHOWN])
    if not waiting:
        return
    found = "a reader" if reader.somebody_reads() else "no reader"
    for pk, collection in (
        NotedChange.objects.filter(id__in=waiting).order_by("id").values_list("id", "collection")
    ):
        where = {"table": _TABLE, "id": pk, "collection": collection}
        yield Finding("a change waits for the log", where, "a minute at most", found)


@examination(remedy="Delete these rows: whoever watches their collections is told that changes were missed.")
def notes() -> Iterator[Finding]:
    """What was noted can be read, and belongs to a collection or a rights source that is declared."""
    declared = {SAID} | {each.name for each in (*collections(), *rights_sources())}
    strange = NotedChange.objects.exclude(collection__in=declared).order_by("id")
    for pk, collection in strange.values_list("id", "collection")[:SHOWN]:
        where = {"table": _TABLE, "id": pk, "collection": collection}
        yield Finding("a change is of no collection", where, "a collection that an app declares", "none")
    for pk, old, new in NotedChange.objects.order_by("id").values_list("id", "old", "new")[:SHOWN]:
        if not all(row is None or _is_object(row) for row in (old, new)):
            yield Finding(
                "a change cannot be read", {"table": _TABLE, "id": pk}, "rows as JSON", "another text"
            )


def _is_object(text: str) -> bool:
    try:
        return isinstance(msgspec.json.decode(text), dict)
    except (msgspec.DecodeError, RecursionError):
        return False


@examination(remedy="Set the sequence `changes_notedchange_id_seq` to the highest id: a backup was restored.")
def numbers() -> Iterator[Finding]:
    """The next change gets a number that no change has."""
    if connection.vendor != "postgresql":
        return  # SQLite never gives a number twice
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT last_value, coalesce((SELECT max(id) FROM {_TABLE}), 0) FROM {_TABLE}_id_seq"  # noqa: S608
        )
        last, newest = cursor.fetchone()
    if last < newest:
        yield Finding("numbers repeat", {"table": _TABLE}, f"{newest} or more", str(last))
