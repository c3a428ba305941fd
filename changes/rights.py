"""Rights, as an app declares them: who may do what with which rows and fields of a collection.

    watch(
        Order,
        name="orders",
        fields=ALL_FIELDS,
        rights=[
            allow("read", to=signed_in, rows={"customer": "$CURRENT_USER"}, fields=["id", "status", "total"]),
            allow("read", "update", to=is_staff),
        ],
    )

Several add up. Superusers may do everything, an account that is switched off nothing, and what nobody is
allowed nobody may do. `permitted` asks them; `rights_notes` tells that they changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal, cast

#: Every column of the table, also those that are added later.
ALL_FIELDS: Literal["*"] = "*"


class Action(StrEnum):
    """What somebody may do with rows."""

    READ = "read"
    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"


@dataclass(frozen=True, eq=False)
class Right:
    """Who may do what with which rows and fields; made by `allow`."""

    actions: frozenset[Action]
    #: Asked for a user, or for None: somebody who is not signed in. In a thread; it may use the database.
    to: Callable[[Any], bool]
    #: A filter; None: all rows.
    rows: Mapping[str, Any] | None
    #: None: all that the collection has.
    fields: tuple[str, ...] | None


def allow(
    *actions: Action | Literal["read", "create", "update", "delete"],
    to: Callable[[Any], bool],
    rows: Mapping[str, Any] | None = None,
    fields: Iterable[str] | Literal["*"] = ALL_FIELDS,
) -> Right:
    """Let those of whom `to` is true do this with the rows that match a filter, in these fields."""
    return Right(
        frozenset(map(_action, actions)),
        to,
        rows,
        None if fields == ALL_FIELDS else tuple(fields),
    )


def _action(given: str) -> Action:
    """The action of that name; of another name it is nobody's, and a system check says so."""
    return Action(given) if given in set(Action) else cast("Action", given)


def anybody(user: Any) -> bool:
    """Everybody, also who is not signed in."""
    return True


def signed_in(user: Any) -> bool:
    """Every user."""
    return user is not None
