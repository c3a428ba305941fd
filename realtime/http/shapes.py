"""Shapes of errors: how the clients of a path read one. Below `/api/` it is a problem document.

Paths without a shape are pages for people. A foreign dialect declares the shape of its own paths.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from realtime.errors import RealtimeError
from realtime.http.problems import PROBLEM_JSON, problem_of


@dataclass(frozen=True)
class Shape:
    """The form of errors below some paths."""

    media_type: str
    #: The status and the body, which is sent as JSON, of an error.
    told: Callable[[RealtimeError], tuple[int, Any]]


PROBLEM = Shape(PROBLEM_JSON, lambda error: (error.status, problem_of(error)))

_shapes: dict[str, Shape] = {}


def declare_shape(first_words: Iterable[str], shape: Shape) -> None:
    """Give this shape to all paths whose first word is one of these."""
    _shapes.update(dict.fromkeys(first_words, shape))


def shape_of(path: str) -> Shape | None:
    """The shape of errors at a path; None where they are pages."""
    if path.startswith("/api/"):
        return PROBLEM
    return _shapes.get(path[1:].partition("/")[0])
