"""The operators of filters: for which kinds of columns, and what they need to be compared with."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum

from changes.filters.values import Kind


class Operand(Enum):
    """What stands on the right of an operator."""

    ONE = "one value"
    LIST = "a list"
    PAIR = "two values"
    NOTHING = "true or false"


class Check(StrEnum):
    """What is asked of a value. None of them is true of NULL, but IS_NULL and IS_EMPTY."""

    EQUAL = "eq"
    LESS = "lt"
    LESS_OR_EQUAL = "lte"
    GREATER = "gt"
    GREATER_OR_EQUAL = "gte"
    IN = "in"
    BETWEEN = "between"
    IS_NULL = "null"
    IS_EMPTY = "empty"
    CONTAINS = "contains"
    STARTS_WITH = "starts_with"
    ENDS_WITH = "ends_with"
    #: A pattern with `%` and `_` (`patterns`); no operator of Directus, but of other dialects.
    LIKE = "like"
    #: The same, upper and lower case being one.
    SAME_LETTERS = "ieq"
    CONTAINS_LETTERS = "icontains"
    STARTS_WITH_LETTERS = "istarts_with"
    ENDS_WITH_LETTERS = "iends_with"
    LIKE_LETTERS = "ilike"


@dataclass(frozen=True, slots=True)
class Operator:
    """A check or its negation, under the name that the Directus language gives it."""

    check: Check
    is_negated: bool
    operand: Operand
    kinds: frozenset[Kind]


_NUMBERS = frozenset({Kind.INTEGER, Kind.NUMBER, Kind.DECIMAL})
_TIMES = frozenset({Kind.DATETIME, Kind.DATE, Kind.TIME})
_TEXTS = frozenset({Kind.TEXT})
_ORDERED = _NUMBERS | _TIMES
_LISTED = _ORDERED | _TEXTS | {Kind.UUID}
_COMPARED = _LISTED | {Kind.BOOLEAN}
_ALL = frozenset(Kind)


def _both(
    check: Check, name: str, negated: str, operand: Operand, kinds: frozenset[Kind]
) -> dict[str, Operator]:
    return {
        name: Operator(check, is_negated=False, operand=operand, kinds=kinds),
        negated: Operator(check, is_negated=True, operand=operand, kinds=kinds),
    }


def _one(check: Check, kinds: frozenset[Kind]) -> dict[str, Operator]:
    return {f"_{check}": Operator(check, is_negated=False, operand=Operand.ONE, kinds=kinds)}


#: By name. Kinds that are not listed refuse the operator, as the reference does.
OPERATORS: dict[str, Operator] = {
    **_both(Check.EQUAL, "_eq", "_neq", Operand.ONE, _COMPARED),
    **_one(Check.LESS, _ORDERED),
    **_one(Check.LESS_OR_EQUAL, _ORDERED),
    **_one(Check.GREATER, _ORDERED),
    **_one(Check.GREATER_OR_EQUAL, _ORDERED),
    **_both(Check.IN, "_in", "_nin", Operand.LIST, _LISTED),
    **_both(Check.BETWEEN, "_between", "_nbetween", Operand.PAIR, _ORDERED),
    **_both(Check.IS_NULL, "_null", "_nnull", Operand.NOTHING, _ALL),
    **_both(Check.IS_EMPTY, "_empty", "_nempty", Operand.NOTHING, _TEXTS),
    **_both(Check.CONTAINS, "_contains", "_ncontains", Operand.ONE, _TEXTS),
    **_both(Check.STARTS_WITH, "_starts_with", "_nstarts_with", Operand.ONE, _TEXTS),
    **_both(Check.ENDS_WITH, "_ends_with", "_nends_with", Operand.ONE, _TEXTS),
    **_both(Check.SAME_LETTERS, "_ieq", "_nieq", Operand.ONE, _TEXTS),
    **_both(Check.CONTAINS_LETTERS, "_icontains", "_nicontains", Operand.ONE, _TEXTS),
    **_both(Check.STARTS_WITH_LETTERS, "_istarts_with", "_nistarts_with", Operand.ONE, _TEXTS),
    **_both(Check.ENDS_WITH_LETTERS, "_iends_with", "_niends_with", Operand.ONE, _TEXTS),
}
