"""What a user may do with the rows of a collection: the declared rights, as values of filters."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from changes.filters import Policy, QueryError, Readable, Table, everything, policy, readable
from changes.rights import ALL_FIELDS, Action, Right
from changes.user_values import UserValues, variables

if TYPE_CHECKING:
    from changes.opened import Opened

logger = logging.getLogger(__name__)


def policies_of(table: Table, rights: Iterable[Right]) -> tuple[tuple[Right, Policy], ...]:
    """Rights with their policies. One with a mistake is left out and logged: it lets nobody do anything."""
    return tuple(_usable(table, rights))


def _usable(table: Table, rights: Iterable[Right]) -> Iterator[tuple[Right, Policy]]:
    for right in rights:
        try:
            yield right, policy_of(table, right)
        except (QueryError, ValueError) as error:
            logger.error("A right to %s cannot be used: %s", table.name, error)


def policy_of(table: Table, right: Right) -> Policy:
    """A right as a policy; raises QueryError for a mistake in its rule, ValueError for an unknown field."""
    fields = ALL_FIELDS if right.fields is None else right.fields
    return policy(table, rows=right.rows, fields=fields, variables=variables())


def permitted(action: Action, collection: Opened, user: Any) -> Readable:
    """The rows and fields with which a user, None for nobody, may do this. In a thread; it may query."""
    if user is not None:
        if not user.is_active:
            return Readable()
        if user.is_superuser:
            return everything(collection.table)
    mine = [rule for right, rule in collection.policies if action in right.actions and right.to(user)]
    return readable(mine, user_values(user))


def user_values(user: Any) -> Mapping[str, Any]:
    """What rules and filters may say of the user who asks; in a thread, since some values are queried."""
    return UserValues(user)
