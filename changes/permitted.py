"""What a user may do with the rows of a collection: the declared rights, as values of filters."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from changes.filters import Policy, Readable, Table, everything, policy, readable
from changes.rights import ALL_FIELDS, Action, Right

if TYPE_CHECKING:
    from changes.opened import Opened


def policies_of(table: Table, rights: Iterable[Right]) -> tuple[tuple[Right, Policy], ...]:
    """Rights with their policies; a mistake in one is a QueryError."""
    return tuple(
        (right, policy(table, rows=right.rows, fields=ALL_FIELDS if right.fields is None else right.fields))
        for right in rights
    )


def permitted(action: Action, collection: Opened, user: Any) -> Readable:
    """The rows and fields with which a user, None for nobody, may do this. In a thread; it may query."""
    if user is not None:
        if not user.is_active:
            return Readable()
        if user.is_superuser:
            return everything(collection.table)
    mine = [rule for right, rule in collection.policies if action in right.actions and right.to(user)]
    return readable(mine, user_values(user))


def user_values(user: Any) -> dict[str, Any]:
    """What a filter may say of the user who asks."""
    if user is None:
        return {"$CURRENT_USER": None}
    return {"$CURRENT_USER": user.pk}
