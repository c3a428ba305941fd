"""QueryError: what is wrong with a filter, a sort, a limit or a list of fields, in one class."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from realtime import InvalidInputError

#: So much of what a client wrote is repeated to it.
SHOWN_CHARACTERS = 40


class Problem(StrEnum):
    """The kinds of mistakes; a dialect chooses its own code by them."""

    #: A field is unknown, or not theirs to read: one problem, so that nobody learns which.
    FIELD = "field"
    OPERATOR = "operator"
    VALUE = "value"
    SHAPE = "shape"
    TOO_LARGE = "too_large"


class QueryError(InvalidInputError):
    """The query is not valid."""

    code = "invalid_query"

    def __init__(self, message: str | None = None, problem: Problem = Problem.SHAPE) -> None:
        self.problem = problem
        super().__init__(message)


def unreadable_field(name: Any) -> QueryError:
    """The error for a field that does not exist, and word for word for one that is hidden."""
    return QueryError(f"There is no field {shown(name)}, or it is not yours to read.", Problem.FIELD)


def shown(given: Any) -> str:
    """What a client wrote, short enough to be repeated to it."""
    text = repr(given)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"
