"""Every code we ever send: what can go wrong, its HTTP status, its close code, and whether to come back.

Services raise facts from here (or from their app's `errors.py`); sockets and REST translate them.
The docstring of an error is its message. The table a client developer reads is `docs/errors.md`.
"""

from __future__ import annotations

import inspect
import math
from enum import IntEnum
from typing import Any, ClassVar

from django.core.exceptions import PermissionDenied
from django.db import InterfaceError, InternalError, OperationalError
from django.http import Http404
from rest_framework import exceptions as drf
from rest_framework.response import Response

PROBLEM_JSON = "application/problem+json"  # RFC 9457


class CloseCode(IntEnum):
    """Why a socket ends. The last three digits rhyme with HTTP; 4408 and above invite to come back."""

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
    #: Sending the same thing again later may work.
    retryable: ClassVar[bool] = False

    def __init__(self, message: str | None = None, *, retry_after_ms: int | None = None) -> None:
        self.message = message or inspect.cleandoc(type(self).__doc__ or "").partition("\n")[0]
        self.retry_after_ms = retry_after_ms
        super().__init__(self.message)

    def as_fields(self) -> dict[str, Any]:
        """What every dialect says of an error."""
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


class TooManyErrorsError(RealtimeError):
    """Too many unusable frames in a row."""

    code, status, close_with = "too_many_errors", 400, CloseCode.UNREADABLE


class TooBigError(RealtimeError):
    """The message is larger than this socket accepts."""

    code, status, close_with = "too_big", 413, CloseCode.TOO_BIG


class RateLimitedError(RealtimeError):
    """Too many requests; slow down."""

    code, status, close_with, retryable = "rate_limited", 429, CloseCode.TOO_MANY, True


class OverloadedError(RealtimeError):
    """The server has more to do than it can; come back later."""

    code, status, close_with, retryable = "overloaded", 503, CloseCode.OVERLOADED, True


class BusyError(OverloadedError):
    """Something else holds what this needs; nothing was stored, come back later."""


class UnavailableError(RealtimeError):
    """The database cannot be reached right now; nothing was stored."""

    code, status, close_with, retryable = "unavailable", 503, CloseCode.OVERLOADED, True


class UncertainError(UnavailableError):
    """The database fell silent: nobody knows yet whether this was stored."""


class RestartingError(RealtimeError):
    """The server is restarting; reconnect."""

    code, status, close_with, retryable = "restarting", 503, CloseCode.RESTARTING, True


#: SQLSTATE of a write to a database that takes none: a standby, or a primary that was demoted.
_READ_ONLY = "25006"


def is_outage(error: BaseException) -> bool:
    """Whether a database error says that the database cannot serve now, rather than that we are wrong."""
    if isinstance(error, InternalError):
        return getattr(error.__cause__, "sqlstate", None) == _READ_ONLY
    return isinstance(error, (OperationalError, InterfaceError))


# --- HTTP -------------------------------------------------------------------------------------------

#: Django REST framework's own exceptions, told in our codes.
_DRF_CODES: tuple[tuple[type[Exception], str], ...] = (
    (drf.ValidationError, "invalid_input"),
    (drf.ParseError, "invalid_json"),
    (drf.AuthenticationFailed, "unauthenticated"),
    (drf.NotAuthenticated, "unauthenticated"),
    (PermissionDenied, "not_allowed"),
    (drf.PermissionDenied, "not_allowed"),
    (Http404, "not_found"),
    (drf.NotFound, "not_found"),
    (drf.MethodNotAllowed, "method_not_allowed"),
    (drf.UnsupportedMediaType, "unsupported_media_type"),
    (drf.NotAcceptable, "not_acceptable"),
    (drf.Throttled, "rate_limited"),
)


def problem(
    status: int, code: str, detail: str, *, retryable: bool = False, retry_after_ms: int | None = None
) -> dict[str, Any]:
    """The body of an HTTP error, RFC 9457 with our `code`."""
    return {
        "type": "about:blank",
        "title": code.replace("_", " ").capitalize(),
        "status": status,
        "detail": detail,
        "code": code,
        "retryable": retryable,
        "retry_after_ms": retry_after_ms,
    }


def exception_handler(exc: Exception, context: dict[str, Any]) -> Response | None:
    """Answer every error of a REST view as a problem document; unknown exceptions stay Django's."""
    # Late: loading the views loads the authentication class of the settings, which needs the errors above.
    from rest_framework.renderers import JSONRenderer
    from rest_framework.views import exception_handler as drf_exception_handler
    from rest_framework.views import set_rollback

    # A problem is JSON whatever the view speaks: the OpenAPI document is YAML, its errors are not.
    if (request := context.get("request")) is not None:
        request.accepted_renderer, request.accepted_media_type = JSONRenderer(), PROBLEM_JSON
    if is_outage(exc):
        exc = UnavailableError(retry_after_ms=1000)
    if isinstance(exc, RealtimeError):
        set_rollback()
        body = problem(
            exc.status, exc.code, exc.message, retryable=exc.retryable, retry_after_ms=exc.retry_after_ms
        )
        response = Response(body, status=exc.status, content_type=PROBLEM_JSON)
        if exc.status == UnauthenticatedError.status:
            response["WWW-Authenticate"] = 'Bearer realm="api"'
        if exc.retry_after_ms is not None:
            response["Retry-After"] = str(max(1, math.ceil(exc.retry_after_ms / 1000)))
        return response

    answer = drf_exception_handler(exc, context)
    if answer is None:
        return None
    otherwise = "invalid_input" if answer.status_code < 500 else RealtimeError.code
    code = next((code for kind, code in _DRF_CODES if isinstance(exc, kind)), otherwise)
    is_about_fields = isinstance(exc, drf.ValidationError)  # one of which may be called "detail"
    detail = None if is_about_fields else answer.data.get("detail")
    wait = getattr(exc, "wait", None)
    body = problem(
        answer.status_code,
        code,
        str(detail) if detail else "The request is not valid.",
        retryable=code == "rate_limited",
        retry_after_ms=None if wait is None else math.ceil(wait * 1000),
    )
    if is_about_fields:
        body["errors"] = answer.data if isinstance(answer.data, dict) else {"non_field_errors": answer.data}
    answer.data = body
    answer.content_type = PROBLEM_JSON
    return answer
