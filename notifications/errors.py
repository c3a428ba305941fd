"""The errors of notifications; each docstring is the message that clients see."""

from __future__ import annotations

from realtime import InvalidInputError, RealtimeError


class UnknownKindError(InvalidInputError):
    """There is no such kind of notification."""

    code = "unknown_kind"


class InvalidDataError(InvalidInputError):
    """The data does not fit the kind of notification."""

    code = "invalid_data"


class InvalidIdempotencyKeyError(InvalidInputError):
    """An Idempotency-Key is 1 to 255 printable ASCII characters."""

    code = "invalid_idempotency_key"


class IdempotencyMismatchError(InvalidInputError):
    """This Idempotency-Key was used for another request."""

    code, status = "idempotency_mismatch", 422


class IdempotencyInProgressError(RealtimeError):
    """The first request with this Idempotency-Key is still being answered."""

    code, status, retryable = "idempotency_in_progress", 409, True
