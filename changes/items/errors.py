"""The errors of those who write rows; each docstring is the message that clients see."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from changes.filters import Problem, QueryError
from changes.filters.errors import shown
from realtime import InvalidInputError, NotAllowedError, NotFoundError

#: Problems that are told of one call: who sends a thousand wrong rows learns it from the first ones.
MAX_PROBLEMS = 20


class ProblemKind(StrEnum):
    """The kinds of what can be wrong with a row; a dialect chooses its own code by them."""

    #: The value is nothing that the column could hold.
    VALUE = "value"
    TOO_LONG = "too_long"
    OUT_OF_RANGE = "out_of_range"
    #: Null, where the column holds none.
    NOT_NULL = "not_null"
    #: Another row has this value.
    NOT_UNIQUE = "not_unique"
    #: It leads to no row; or others lead to the row that should go.
    FOREIGN_KEY = "foreign_key"
    #: A rule of the app or of the table does not allow it: `RowProblem.rule`.
    RULE = "rule"


@dataclass(frozen=True, slots=True)
class RowProblem:
    """One thing that is wrong with one row."""

    kind: ProblemKind
    message: str
    #: The field, where one is known that the writer may know.
    field: str | None = None
    #: What was given for it.
    value: Any = None
    #: Of a RULE its name: `required`, `blank`, `invalid_choice`, `check`, or another code of a validator.
    rule: str = ""
    #: The number of the row among those of the call, from 0; None where it is about none of them.
    row: int | None = None


class InvalidRowError(InvalidInputError):
    """A row is not valid."""

    code = "invalid_row"

    def __init__(self, problems: Iterable[RowProblem] = ()) -> None:
        listed = tuple(problems)
        self.problems = listed[:MAX_PROBLEMS]
        more = f" And {len(listed) - 1:,} more." if len(listed) > 1 else ""
        super().__init__(listed[0].message + more if listed else None)


class TooManyRowsError(InvalidInputError):
    """These are more rows than can be written at once."""

    code = "too_many_rows"


class RowNotFoundError(NotFoundError):
    """There is no such row, or it is not yours."""

    code = "row_not_found"


class RowNotAllowedError(NotAllowedError):
    """A row like this is not yours to write."""

    code = "row_not_allowed"


def unwritable_field(name: Any) -> QueryError:
    """The error for a field that does not exist, and word for word for one that may not be written."""
    return QueryError(f"There is no field {shown(name)}, or it is not yours to write.", Problem.FIELD)


def shown_value(given: Any) -> str:
    """What was given for a field, short enough to be repeated."""
    try:
        return shown(given)
    except ValueError:  # Python writes no number of so many digits
        return "a number like this"
