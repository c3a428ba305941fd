"""Slices of numbered rows: the newest, those below a number, or the lowest above one; always newest first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from django.db.models import QuerySet

from realtime.fields import MAX_INTEGER

#: Bounds with no number between them: an empty side.
NO_NUMBERS = (1, 0)


@dataclass(frozen=True, slots=True)
class Slice:
    """Consecutive rows, and whether there are more on either side of them.

    The caller finds out whether there are rows `behind`, on the side that the reader comes from (it asks
    something else in the same query), and passes it to `older_before` and `newer_after`.
    """

    rows: list[Any]
    #: The lowest and the highest number of a row on the side the reader comes from, or `NO_NUMBERS`.
    behind: tuple[int, int]
    is_upwards: bool
    #: Whether there are more rows in the direction of reading.
    goes_on: bool
    #: The range of numbers that this slice covers, both included.
    lowest: int
    highest: int

    def older_before(self, *, is_behind: bool) -> int | None:
        """The number below which the next older rows are; None when there are none."""
        return self.lowest if (is_behind if self.is_upwards else self.goes_on) else None

    def newer_after(self, *, is_behind: bool) -> int | None:
        """The number above which the next newer rows are; None when there are none."""
        return self.highest if (self.goes_on if self.is_upwards else is_behind) else None


def slice_of(
    rows: QuerySet[Any, Any],
    number: str,
    *,
    before: int | None,
    after: int | None,
    limit: int,
    lowest: int = 0,
    highest: int = MAX_INTEGER,
    made: Callable[[Any], Any] = lambda row: row,
) -> Slice:
    """The newest rows, the newest below `before`, or the lowest above `after`; with both, the newest between.

    One query of rows from the `lowest` number to the `highest`. `number` names a field of the row, and an
    attribute of the value that `made` returns. An empty slice leads on too, from the bound that was given.
    """
    is_upwards = after is not None and before is None
    low, high, behind = lowest, highest, NO_NUMBERS
    if after is not None:
        low, behind = max(low, after + 1), (lowest, min(highest, after))
    if before is not None:
        high, behind = min(high, before - 1), (max(lowest, before), highest)
    # One bound on each side: given two, SQLite may use the wider one for its index and read the rows between.
    within = rows.filter(**{f"{number}__gte": low, f"{number}__lte": high})
    found = [made(row) for row in within.order_by(number if is_upwards else f"-{number}")[: limit + 1]]
    goes_on, found = len(found) > limit, found[:limit]
    if is_upwards:
        found.reverse()
    number_of = attrgetter(number)
    return Slice(
        rows=found,
        behind=behind,
        is_upwards=is_upwards,
        goes_on=goes_on,
        lowest=number_of(found[-1]) if found else (after or 0) + 1,
        highest=number_of(found[0]) if found else max(0, (before or 0) - 1),
    )
