"""Slices of numbered rows: the newest, those below a number, or the lowest above one; always newest first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from django.db.models import QuerySet


@dataclass(frozen=True, slots=True)
class Slice:
    """Rows that follow each other, and what lies on either side of them.

    The side that the reader comes from is `behind`: whether it has rows is asked by the caller, together with
    something else, and given to `older_before` and `newer_after`.
    """

    rows: list[Any]
    behind: QuerySet[Any, Any]
    is_upwards: bool
    #: Whether there are more rows on the other side, the way it was read.
    goes_on: bool
    #: Everything between these two numbers was looked at, them included.
    lowest: int
    highest: int

    def older_before(self, *, is_behind: bool) -> int | None:
        """The next older rows are below this number; None when there are none."""
        return self.lowest if (is_behind if self.is_upwards else self.goes_on) else None

    def newer_after(self, *, is_behind: bool) -> int | None:
        """The next newer rows are above this number; None when there are none."""
        return self.highest if (self.goes_on if self.is_upwards else is_behind) else None


def slice_of(
    rows: QuerySet[Any, Any],
    number: str,
    *,
    before: int | None,
    after: int | None,
    limit: int,
    made: Callable[[Any], Any] = lambda row: row,
) -> Slice:
    """The newest rows, those below `before`, or the lowest above `after`; with both the newest between.

    One query. `number` is a field, and what is `made` of a row has it as an attribute. An empty slice leads
    on as well, from where it was looked for.
    """
    is_upwards = after is not None and before is None
    within, behind = rows, rows.none()
    if after is not None:
        within, behind = within.filter(**{f"{number}__gt": after}), rows.filter(**{f"{number}__lte": after})
    if before is not None:
        within, behind = within.filter(**{f"{number}__lt": before}), rows.filter(**{f"{number}__gte": before})
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
