"""Who may read what: policies as declared, and as they are for one user.

A policy lets its rows be read, in its fields. Several add up: a row is readable if one of them lets it be
read, a field of it if one that lets this row be read has the field. What a user may not read of a row is, in
every respect, as if it were not there: a filter that names it does not match, and a sort takes it for NULL.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from changes.filters.conditions import (
    ALWAYS,
    NEVER,
    Comparison,
    Condition,
    Leaf,
    all_of,
    any_of,
    bound,
    transformed,
)
from changes.filters.tables import Table


@dataclass(frozen=True, slots=True)
class Policy:
    """Rows that may be read, and which of their fields. Made by `policy`."""

    rule: Condition
    fields: frozenset[str]


@dataclass(frozen=True, slots=True)
class Readable:
    """What one user may read of a table: equal for all users of whom the same is true.

    Made by `readable`; without policies nothing is readable.
    """

    policies: tuple[Policy, ...] = ()

    @property
    def rows(self) -> Condition:
        """The rows that may be read."""
        return any_of(*(policy.rule for policy in self.policies))

    @property
    def fields(self) -> frozenset[str]:
        """The fields that may be named: those that are readable in some row."""
        return frozenset().union(*(policy.fields for policy in self.policies))

    def guard(self, field: str) -> Condition:
        """The readable rows in which this field is readable too; ALWAYS if that is all of them."""
        if all(field in policy.fields for policy in self.policies):
            return ALWAYS
        return any_of(*(policy.rule for policy in self.policies if field in policy.fields))

    def matching(self, condition: Condition) -> Condition:
        """The readable rows that match, a field that may not be read matching nothing."""

        def guarded(leaf: Leaf) -> Condition:
            column = leaf.field.column if isinstance(leaf, Comparison) else leaf.relation.column
            return all_of(leaf, self.guard(column.name))

        return all_of(self.rows, transformed(condition, guarded))


def readable(policies: Iterable[Policy], user_values: Mapping[str, Any]) -> Readable:
    """What a user of these values may read by these policies."""
    fields_by_rule: dict[Condition, frozenset[str]] = {}
    for policy in policies:
        rule = bound(policy.rule, user_values)
        if rule != NEVER:
            fields_by_rule[rule] = fields_by_rule.get(rule, frozenset()) | policy.fields
    # What is readable everywhere anyway needs no other rule.
    everywhere = fields_by_rule.get(ALWAYS, frozenset())
    needed = [
        Policy(rule, fields)
        for rule, fields in fields_by_rule.items()
        if rule == ALWAYS or not fields <= everywhere
    ]
    return Readable(tuple(sorted(needed, key=lambda policy: (repr(policy.rule), sorted(policy.fields)))))


def everything(table: Table) -> Readable:
    """What a superuser may read."""
    return Readable((Policy(ALWAYS, frozenset(table.names)),))
