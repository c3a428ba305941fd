"""Who may read a collection: for each user which fields, and which rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol


class RowFilter(Protocol):
    """A frozen value that tells the rows that belong from those that do not.

    Filters that are equal are asked once for all who have them.
    """

    def matches(self, row: Mapping[str, Any]) -> bool:
        """Whether a row belongs. It runs on the loop: no database, no waiting."""

    def __hash__(self) -> int: ...


@dataclass(frozen=True, slots=True)
class EveryRow:
    """The filter that leaves nothing out."""

    def matches(self, row: Mapping[str, Any]) -> bool:
        return True


EVERY_ROW = EveryRow()


@dataclass(frozen=True, slots=True)
class Reading:
    """What somebody may read of a collection."""

    #: The fields; None: all that the collection has.
    fields: frozenset[str] | None = None
    rows: RowFilter = EVERY_ROW


#: What a user, None for somebody who is not signed in, may read; None: nothing.
Readable = Callable[[Any], Reading | None]


def nobody(user: Any) -> None:
    """Let nobody read but superusers."""
