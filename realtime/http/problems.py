"""Problem documents (RFC 9457): the body of every HTTP error, with the same `code` that a socket is told."""

from __future__ import annotations

import math
from typing import Any

from realtime.errors import RealtimeError

PROBLEM_JSON = "application/problem+json"


def problem(
    status: int, code: str, detail: str, *, retryable: bool = False, retry_after_ms: int | None = None
) -> dict[str, Any]:
    """The body of an HTTP error: the members of RFC 9457 and our own."""
    return {
        "type": "about:blank",
        "title": code.replace("_", " ").capitalize(),
        "status": status,
        "detail": detail,
        "code": code,
        "retryable": retryable,
        "retry_after_ms": retry_after_ms,
    }


def problem_of(error: RealtimeError) -> dict[str, Any]:
    """The body of an HTTP error for a RealtimeError."""
    return problem(
        error.status,
        error.code,
        error.message,
        retryable=error.retryable,
        retry_after_ms=error.retry_after_ms,
    )


def retry_after(milliseconds: int) -> str:
    """The value of a Retry-After header: whole seconds, and never too early."""
    return str(max(1, math.ceil(milliseconds / 1000)))
