"""Ranges of ids, to walk through a large table in steps of a bounded number of rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db.models import QuerySet

#: Rows in one range: they are read in milliseconds, and bodies of events take a few megabytes.
ROWS = 1_000


def id_ranges(rows: QuerySet[Any]) -> Iterator[tuple[int, int]]:
    """Ranges of integer ids (above the first, up to and with the second) that hold `ROWS` rows each."""
    above = 0
    while True:
        ids = rows.filter(pk__gt=above).order_by("pk").values_list("pk", flat=True)[:ROWS]
        last = max(ids, default=None)
        if last is None:
            return
        yield above, last
        above = last
