"""Policies as apps declare them, in the language of filters."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from changes.filters.parsing import USER_VARIABLES, parse_filter
from changes.filters.rights import Policy, everything
from changes.filters.tables import Table


def policy(
    table: Table,
    *,
    rows: Mapping[str, Any] | None = None,
    fields: Collection[str] | str = "*",
    variables: Collection[str] = USER_VARIABLES,
) -> Policy:
    """Let rows be read that match a filter, all if there is none, in these fields.

    `variables` are the names of the user's values that the filter may use. A rule may look at every field,
    and at related rows whoever may read those. A mistake in it is a QueryError, when it is declared.
    """
    listed = frozenset(table.names if fields == "*" else fields)
    if unknown := listed - set(table.names):
        raise ValueError(f"{table.name} has no field {min(unknown)!r}.")
    rule = parse_filter(rows, table, variables=variables, related=lambda relation: everything(relation.table))
    return Policy(rule, listed)
