"""Conditions: filters and rules as values.

    Comparison    a field, a check, what it is checked against
    Related       a condition that holds for a related row, or for none
    AllOf         every part holds; of no parts: always
    AnyOf         one part holds; of no parts: never

Equal conditions are equal values, whatever the order in which their parts were written; so what is equal is
evaluated once. There is no negation above a comparison. Hence "unknown", which SQL makes of NULL, and "false"
need not be told apart: a comparison is true or it is not.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

from changes.filters.asked import value_from_filter
from changes.filters.operators import Check
from changes.filters.tables import Column, Relation
from changes.filters.values import Kind, Value
from changes.filters.variables import Now, UserValue


class Part(StrEnum):
    """What a function takes out of a date or a time: `year(created_at)`."""

    YEAR = "year"
    MONTH = "month"
    DAY = "day"
    #: 0 is Sunday.
    WEEKDAY = "weekday"
    HOUR = "hour"
    MINUTE = "minute"
    SECOND = "second"


_DATE_PARTS = frozenset({Part.YEAR, Part.MONTH, Part.DAY, Part.WEEKDAY})
_TIME_PARTS = frozenset({Part.HOUR, Part.MINUTE, Part.SECOND})
#: Which parts a kind of column has.
PARTS: dict[Kind, frozenset[Part]] = {
    Kind.DATETIME: _DATE_PARTS | _TIME_PARTS,
    Kind.DATE: _DATE_PARTS,
    Kind.TIME: _TIME_PARTS,
}


@dataclass(frozen=True, slots=True)
class Field:
    """What stands on the left: a column, or a part of its value."""

    column: Column
    part: Part | None = None

    @property
    def name(self) -> str:
        """Its name in a row that is shown."""
        return f"{self.column.name}_{self.part}" if self.part else self.column.name

    @property
    def kind(self) -> Kind:
        """What it holds."""
        return Kind.INTEGER if self.part else self.column.kind


#: A value, a variable, a tuple of them (`in`, `between`), or None where nothing stands on the right.
Operand = Any


@dataclass(frozen=True, slots=True)
class Comparison:
    """One check of one field."""

    field: Field
    check: Check
    operand: Operand = None
    is_negated: bool = False


@dataclass(frozen=True, slots=True)
class Related:
    """A related row for which the condition holds; negated: there is none."""

    relation: Relation
    part: Condition
    is_negated: bool = False


@dataclass(frozen=True, slots=True)
class AllOf:
    """Every part holds."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """One of the parts holds."""

    parts: tuple[Condition, ...]


Leaf = Comparison | Related
Condition = Leaf | AllOf | AnyOf
ALWAYS = AllOf(())
NEVER = AnyOf(())


def all_of(*conditions: Condition) -> Condition:
    """Every one of them holds."""
    return _joined(AllOf, conditions, neutral=ALWAYS, decisive=NEVER)


def any_of(*conditions: Condition) -> Condition:
    """One of them holds."""
    return _joined(AnyOf, conditions, neutral=NEVER, decisive=ALWAYS)


def _joined(
    kind: type[AllOf | AnyOf], conditions: Iterable[Condition], *, neutral: Condition, decisive: Condition
) -> Condition:
    parts = {
        part
        for condition in conditions
        for part in (condition.parts if isinstance(condition, kind) else (condition,))
    }
    if decisive in parts:
        return decisive
    if len(parts) == 1:
        return parts.pop()
    return kind(tuple(sorted(parts, key=repr))) if parts else neutral


def comparisons(condition: Condition) -> Iterator[Comparison]:
    """All comparisons in it, those about related rows too."""
    if isinstance(condition, Comparison):
        yield condition
    elif isinstance(condition, Related):
        yield from comparisons(condition.part)
    else:
        for part in condition.parts:
            yield from comparisons(part)


def transformed(condition: Condition, change: Callable[[Leaf], Condition]) -> Condition:
    """The condition with another one in place of each leaf."""
    if isinstance(condition, Comparison | Related):
        return change(condition)
    join = all_of if isinstance(condition, AllOf) else any_of
    return join(*(transformed(part, change) for part in condition.parts))


# ── variables ────────────────────────────────────────────────────────────────────────────────────────────


def _operands(comparison: Comparison) -> Iterable[Any]:
    operand = comparison.operand
    return operand if isinstance(operand, tuple) else (operand,)


#: The relations that something needs, with what their rows need in turn.
Needs = dict[Relation, "Needs"]


def needs(condition: Condition) -> Needs:
    """The related rows without which it cannot be evaluated in memory."""
    if isinstance(condition, Comparison):
        return {}
    if isinstance(condition, Related):
        return {condition.relation: needs(condition.part)}
    return joined_needs(*map(needs, condition.parts))


def joined_needs(*several: Needs) -> Needs:
    """All of them together."""
    joined: Needs = {}
    for each in several:
        for relation, further in each.items():
            joined[relation] = joined_needs(joined.get(relation, {}), further)
    return joined


def depends_on_time(condition: Condition) -> bool:
    """Whether the same row may match now and not later."""
    return any(isinstance(operand, Now) for each in comparisons(condition) for operand in _operands(each))


def bound(condition: Condition, values: Mapping[str, Any]) -> Condition:
    """The condition for one user: the user's values in place of variables.

    A value that is missing, None, empty, or nothing that the column could hold matches no row: nobody is let
    in by what they lack.
    """
    return transformed(condition, functools.partial(_bound, values=values))


_NOTHING: Final = object()


def _bound(leaf: Leaf, values: Mapping[str, Any]) -> Condition:
    if isinstance(leaf, Comparison):
        return _bound_comparison(leaf, values)
    part = bound(leaf.part, values)
    return NEVER if part == NEVER else replace(leaf, part=part)


def _bound_comparison(comparison: Comparison, values: Mapping[str, Any]) -> Condition:
    kind, is_list = comparison.field.kind, comparison.check is Check.IN
    members = [
        value
        for operand in _operands(comparison)
        for value in _values(operand, kind, values, is_list=is_list)
    ]
    if is_list:
        if comparison.is_negated and _NOTHING in members:
            return NEVER
        listed = tuple_of(member for member in members if member is not _NOTHING)
        return replace(comparison, operand=listed) if listed or comparison.is_negated else NEVER
    if _NOTHING in members:
        return NEVER
    return replace(comparison, operand=tuple(members) if comparison.check is Check.BETWEEN else members[0])


def _values(operand: Operand, kind: Kind, values: Mapping[str, Any], *, is_list: bool) -> Iterator[Value]:
    """The values of an operand: several for a list of the user's, _NOTHING for what the user lacks."""
    if not isinstance(operand, UserValue):
        yield operand
        return
    given = values.get(operand.name)
    for value in given if is_list and isinstance(given, list | tuple | set | frozenset) else (given,):
        try:
            yield _NOTHING if value is None or value == "" else value_from_filter(kind, value)
        except ValueError:
            yield _NOTHING


def tuple_of(members: Iterable[Any]) -> tuple[Any, ...]:
    """A list of values as the operand of `in`: each once, in one order."""
    return tuple(sorted(set(members), key=repr))
