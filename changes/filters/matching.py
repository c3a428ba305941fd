"""Whether a row matches a condition, in memory, as the databases would say of the same row.

A condition is compiled once into closures that are called with a row and the present moment. Text is compared
by the code points, as PostgreSQL does under the collation "C" and SQLite by itself.
"""

from __future__ import annotations

import datetime as dt
import functools
import operator
from collections.abc import Callable, Mapping
from typing import Any

from changes.filters.conditions import AllOf, Comparison, Condition, Field, Part, Related
from changes.filters.folding import fold
from changes.filters.operators import Check
from changes.filters.patterns import matcher_of
from changes.filters.tables import Row
from changes.filters.values import UNREADABLE, Extreme, Kind, UnreadableValueError, Value
from changes.filters.variables import Now, UserValue

#: Asks whether a row matches at a moment.
Matcher = Callable[[Row, dt.datetime], bool]

#: Conditions whose functions are kept for whoever asks next; views keep their own, and one costs some 20 µs.
MAX_COMPILED = 256


@functools.lru_cache(MAX_COMPILED)
def matcher(condition: Condition) -> Matcher:
    """The condition as a function. It has to be bound: variables of a user have no value in a row."""
    inner = _compiled(condition)

    def matches(row: Row, now: dt.datetime) -> bool:
        try:
            return inner(row, now)
        except UnreadableValueError:
            return False

    return matches


def matches(condition: Condition, row: Row, now: dt.datetime | None = None) -> bool:
    """Whether a row matches. Who asks often keeps the `matcher`."""
    return matcher(condition)(row, now or dt.datetime.now(dt.UTC))


def _compiled(condition: Condition) -> Matcher:
    if isinstance(condition, Comparison):
        return _comparison(condition)
    if isinstance(condition, Related):
        return _related(condition)
    parts = tuple(map(_compiled, condition.parts))
    return _every(parts) if isinstance(condition, AllOf) else _some(parts)


def _every(parts: tuple[Matcher, ...]) -> Matcher:
    def every(row: Row, now: dt.datetime) -> bool:
        for part in parts:  # noqa: SIM110 - all() makes a generator for each row
            if not part(row, now):
                return False
        return True

    return every


def _some(parts: tuple[Matcher, ...]) -> Matcher:
    def some(row: Row, now: dt.datetime) -> bool:
        for part in parts:  # noqa: SIM110 - any() makes a generator for each row
            if part(row, now):
                return True
        return False

    return some


def _related(condition: Related) -> Matcher:
    place, part, is_asked = condition.relation.place, _compiled(condition.part), not condition.is_negated

    def related(row: Row, now: dt.datetime) -> bool:
        if place not in row:
            raise UnreadableValueError
        for each in row[place]:
            if part(each, now):
                return is_asked
        return not is_asked

    return related


# ── one comparison ───────────────────────────────────────────────────────────────────────────────────────

#: A row is matched against many conditions, one after the other, and may hold a text of a MiB.
_folded = functools.lru_cache(8)(fold)

#: What is true of a value that is not None, and an operand.
_CHECKS: dict[Check, Callable[[Value, Any], bool]] = {
    Check.EQUAL: operator.eq,
    Check.LESS: operator.lt,
    Check.LESS_OR_EQUAL: operator.le,
    Check.GREATER: operator.gt,
    Check.GREATER_OR_EQUAL: operator.ge,
    Check.IN: lambda value, members: value in members,
    Check.BETWEEN: lambda value, pair: pair[0] <= value <= pair[1],
    Check.CONTAINS: operator.contains,
    Check.STARTS_WITH: lambda value, start: value.startswith(start),
    Check.ENDS_WITH: lambda value, end: value.endswith(end),
    Check.LIKE: lambda value, fits: fits(value),
    Check.SAME_LETTERS: lambda value, text: _folded(value) == text,
    Check.CONTAINS_LETTERS: lambda value, text: text in _folded(value),
    Check.STARTS_WITH_LETTERS: lambda value, start: _folded(value).startswith(start),
    Check.ENDS_WITH_LETTERS: lambda value, end: _folded(value).endswith(end),
    Check.LIKE_LETTERS: lambda value, fits: fits(_folded(value)),
}
FOLDED = frozenset(
    {
        Check.SAME_LETTERS,
        Check.CONTAINS_LETTERS,
        Check.STARTS_WITH_LETTERS,
        Check.ENDS_WITH_LETTERS,
        Check.LIKE_LETTERS,
    }
)


def _comparison(comparison: Comparison) -> Matcher:
    get = getter(comparison.field)
    match comparison.check:
        case Check.IS_NULL:
            return _absent(get, (None,), is_negated=comparison.is_negated)
        case Check.IS_EMPTY:
            return _absent(get, (None, ""), is_negated=comparison.is_negated)
    check, operand = _CHECKS[comparison.check], _operand(comparison)
    if comparison.check in (Check.LIKE, Check.LIKE_LETTERS):
        operand, takes_moment = matcher_of(operand), False
    else:
        takes_moment = callable(operand)
    is_asked = not comparison.is_negated

    def compare(row: Row, _now: dt.datetime) -> bool:
        value = get(row)
        return value is not None and check(value, operand) is is_asked

    def compare_at(row: Row, now: dt.datetime) -> bool:
        value = get(row)
        return value is not None and check(value, operand(now)) is is_asked

    return compare_at if takes_moment else compare


def _absent(get: Callable[[Row], Value], absent: tuple[Value, ...], *, is_negated: bool) -> Matcher:
    # `in` asks UNREADABLE whether it is equal, and is refused.
    def is_absent(row: Row, _now: dt.datetime) -> bool:
        return (get(row) in absent) is not is_negated

    return is_absent


def _operand(comparison: Comparison) -> Any:
    """What values are compared with; a function of the moment, if it depends on that."""
    kind, operand = comparison.field.kind, comparison.operand
    members = operand if isinstance(operand, tuple) else (operand,)
    if any(isinstance(member, UserValue) for member in members):
        raise ValueError("The condition is not bound to a user.")
    if comparison.check in FOLDED:
        return fold(operand)
    shape: Callable[[Any], Any] = frozenset if comparison.check is Check.IN else tuple
    if not any(isinstance(member, Now) for member in members):
        return shape(operand) if isinstance(operand, tuple) else operand
    if isinstance(operand, tuple):
        return lambda now: shape(value_at(member, kind, now) for member in members)
    return lambda now: value_at(operand, kind, now)


def value_at(operand: Any, kind: Kind, now: dt.datetime) -> Value:
    """What an operand is at a moment."""
    if not isinstance(operand, Now):
        return operand
    moment = operand.at(now)
    return moment.date() if kind is Kind.DATE else moment


def getter(field: Field) -> Callable[[Row], Value]:
    """A function that takes a field out of a row."""
    get: Callable[[Mapping[str, Value]], Value] = operator.itemgetter(field.column.name)
    if field.part is None:
        return get
    part = _PARTS[field.part]

    def get_part(row: Row) -> Value:
        value = get(row)
        if value is UNREADABLE:
            raise UnreadableValueError
        return None if value is None or isinstance(value, Extreme) else part(value)

    return get_part


_PARTS: dict[Part, Callable[[Any], int]] = {
    **{each: operator.attrgetter(each) for each in Part if each is not Part.WEEKDAY},
    Part.WEEKDAY: lambda value: value.isoweekday() % 7,
}
