"""Errors: every code that clients are sent, with its HTTP status, its close code, and whether to come back.

Services raise errors from here (or from their app's `errors.py`); sockets and REST translate them.
The docstring of an error is its message. The table a client developer reads is `docs/errors.md`.
"""

from __future__ import annotations

import inspect
from enum import IntEnum
from typing import Any, ClassVar

from django.db import InterfaceError, InternalError, OperationalError


class CloseCode(IntEnum):
    """Why a socket ends. The last three digits of 44xx and 45xx rhyme with HTTP.

    4400, 4401, 4403, 4404 and 4409 do not invite to come back with the same token; the others do.
    """

    TOO_BIG = 1009
    RESTARTING = 1012
    UNREADABLE = 4400
    UNAUTHENTICATED = 4401
    DISABLED = 4403
    NOT_FOUND = 4404
    TOO_SLOW = 4408
    REPLACED = 4409
    TOO_MANY = 4429
    INTERNAL = 4500
    OVERLOADED = 4503


class RealtimeError(Exception):
    """Something went wrong on our side."""

    code: ClassVar[str] = "internal_error"
    status: ClassVar[int] = 500
    #: The socket is closed with this code when the error refuses the connection itself.
    close_with: ClassVar[CloseCode] = CloseCode.INTERNAL
    #: Whether the same request may succeed later.
    retryable: ClassVar[bool] = False
    #: Whether only a foreign dialect tells the error, with a code of its own, so that our contract leaves it
    #: out.
    is_foreign: ClassVar[bool] = False

    def __init__(self, message: str | None = None, *, retry_after_ms: int | None = None) -> None:
        self.message = message or inspect.cleandoc(type(self).__doc__ or "").partition("\n")[0]
        self.retry_after_ms = retry_after_ms
        super().__init__(self.message)

    def as_fields(self) -> dict[str, Any]:
        """The fields that every dialect sends of an error."""
        return {
            "code": self.code,
            "message": self.message,
            "retryable": self.retryable,
            "retry_after_ms": self.retry_after_ms,
        }


class UnauthenticatedError(RealtimeError):
    """A valid access token is required."""

    code, status, close_with = "unauthenticated", 401, CloseCode.UNAUTHENTICATED


class TokenExpiredError(UnauthenticatedError):
    """The access token has expired."""

    code = "token_expired"


class SessionRevokedError(UnauthenticatedError):
    """This session was signed out."""

    code = "session_revoked"


class AccountDisabledError(RealtimeError):
    """This account is disabled."""

    code, status, close_with = "account_disabled", 403, CloseCode.DISABLED


class NotAllowedError(RealtimeError):
    """You may not do this."""

    code, status, close_with = "not_allowed", 403, CloseCode.DISABLED


class NotFoundError(RealtimeError):
    """There is nothing here, or it is not yours."""

    code, status, close_with = "not_found", 404, CloseCode.NOT_FOUND


class InvalidInputError(RealtimeError):
    """The request is not valid."""

    code, status, close_with = "invalid_input", 400, CloseCode.UNREADABLE


class InvalidJsonError(InvalidInputError):
    """The frame is not a JSON object."""

    code = "invalid_json"


class InvalidFrameError(InvalidInputError):
    """The frame has a missing, unknown or wrongly typed field."""

    code = "invalid_frame"


class InvalidTextError(InvalidInputError):
    """The text holds characters that cannot be stored."""

    code = "invalid_text"


class BadRequestError(InvalidInputError):
    """This is not HTTP, or a request that can be read in two ways."""

    code = "bad_request"


class TooSlowError(RealtimeError):
    """The request did not arrive in time; send it again."""

    code, status, close_with, retryable = "too_slow", 408, CloseCode.TOO_SLOW, True


class TooManyErrorsError(RealtimeError):
    """Too many mistakes in a short time."""

    code, status, close_with = "too_many_errors", 400, CloseCode.UNREADABLE


class TooBigError(RealtimeError):
    """The message is larger than this socket accepts."""

    code, status, close_with = "too_big", 413, CloseCode.TOO_BIG


class TargetTooLongError(RealtimeError):
    """The address of the request is longer than this server accepts."""

    code, status = "target_too_long", 414


class HeadTooBigError(RealtimeError):
    """The head of the request is larger, or has more headers, than this server accepts."""

    code, status = "head_too_big", 431


class RateLimitedError(RealtimeError):
    """Too many requests; slow down."""

    code, status, close_with, retryable = "rate_limited", 429, CloseCode.TOO_MANY, True


class OverloadedError(RealtimeError):
    """The server has more to do than it can; come back later."""

    code, status, close_with, retryable = "overloaded", 503, CloseCode.OVERLOADED, True


class BusyError(OverloadedError):
    """Something else is using what this needs; nothing was stored, come back later."""


class UnavailableError(RealtimeError):
    """The database cannot be reached right now; nothing was stored."""

    code, status, close_with, retryable = "unavailable", 503, CloseCode.OVERLOADED, True


class UncertainError(UnavailableError):
    """The database did not answer: it is not known whether this was stored."""


class RestartingError(RealtimeError):
    """The server is restarting; reconnect."""

    code, status, close_with, retryable = "restarting", 503, CloseCode.RESTARTING, True


#: SQLSTATE of a write to a database that takes none: a standby, or a primary that was demoted.
_READ_ONLY = "25006"


def is_outage(error: BaseException) -> bool:
    """Whether a database error means that the database cannot serve now, rather than a mistake of ours."""
    if isinstance(error, InternalError):
        return getattr(error.__cause__, "sqlstate", None) == _READ_ONLY
    return isinstance(error, (OperationalError, InterfaceError))
