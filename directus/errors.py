"""Errors as Directus clients read them: a code, a message, a status, and what else belongs to the code.

Our own errors are translated by `told`; what only this dialect knows is raised as one of the classes below.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from accounts.errors import (
    EmailTakenError,
    MixedScriptsError,
    UsernameTakenError,
    WeakPasswordError,
    WrongPasswordError,
)
from changes.filters import Problem, QueryError
from changes.items import InvalidRowError, ProblemKind, RowProblem
from realtime import (
    AccountDisabledError,
    InvalidInputError,
    NotAllowedError,
    NotFoundError,
    OverloadedError,
    RateLimitedError,
    RealtimeError,
    RestartingError,
    SessionRevokedError,
    TokenExpiredError,
    TooBigError,
    TooSlowError,
    UnauthenticatedError,
    UnavailableError,
)

#: The collection of users, in the words of the dialect.
USERS = "directus_users"


@dataclass(frozen=True, slots=True)
class Told:
    """An error in the words of the dialect; `extensions` are the members beside the code."""

    code: str
    message: str
    status: int
    extensions: Mapping[str, Any] = field(default_factory=dict)


class DirectusError(RealtimeError):
    """Base of the errors that only this dialect has; keywords become members beside the code."""

    code, status = "INTERNAL_SERVER_ERROR", 500
    is_foreign = True

    def __init__(
        self, message: str | None = None, *, retry_after_ms: int | None = None, **extensions: Any
    ) -> None:
        super().__init__(message, retry_after_ms=retry_after_ms)
        self.extensions = {name: value for name, value in extensions.items() if value is not None}


class _ReasonedError(DirectusError):
    """An error whose reason, if it has one, is a member and ends the message."""

    def __init__(self, reason: str | None = None, **extensions: Any) -> None:
        super().__init__(reason=reason, **extensions)
        if reason:
            self.message = f"{self.message.rstrip('.')}: {reason}"


class InvalidPayloadError(_ReasonedError, InvalidInputError):
    """The request has a member that is missing, unknown or of the wrong kind."""

    code, status = "INVALID_PAYLOAD", 400


class InvalidQueryError(_ReasonedError, InvalidInputError):
    """The query is not valid."""

    code, status = "INVALID_QUERY", 400


class ForbiddenError(_ReasonedError, NotAllowedError):
    """You may not access this, or it does not exist."""

    code, status = "FORBIDDEN", 403


class InvalidCredentialsError(DirectusError, UnauthenticatedError):
    """These credentials are not valid here."""

    code, status = "INVALID_CREDENTIALS", 401


class InvalidOtpError(DirectusError, UnauthenticatedError):
    """The one-time password is wrong, or missing."""

    code, status = "INVALID_OTP", 401


class DirectusTokenExpiredError(DirectusError, TokenExpiredError):
    """Token expired."""

    code, status = "TOKEN_EXPIRED", 401


class UserSuspendedError(DirectusError, AccountDisabledError):
    """This user is suspended."""

    code, status = "USER_SUSPENDED", 401


class InvalidTokenError(DirectusError, UnauthenticatedError):
    """This token is not one of ours."""

    code, status = "INVALID_TOKEN", 403


class RouteNotFoundError(DirectusError, NotFoundError):
    """There is no such route."""

    code, status = "ROUTE_NOT_FOUND", 404

    def __init__(self, path: str) -> None:
        super().__init__(f"There is no route {path}.", path=path)


class MethodNotAllowedError(DirectusError, InvalidInputError):
    """This route knows other methods."""

    code, status = "METHOD_NOT_ALLOWED", 405

    def __init__(self, *, allowed: Sequence[str], current: str | None = None) -> None:
        super().__init__(f"This route knows {', '.join(allowed)}.", allowed=list(allowed), current=current)
        self.allowed = tuple(allowed)


class OutOfTimeError(DirectusError, TooSlowError):
    """The request did not arrive in time; send it again."""

    code, status = "OUT_OF_TIME", 408


class ContentTooLargeError(DirectusError, TooBigError):
    """The content is larger than this server accepts."""

    code, status = "CONTENT_TOO_LARGE", 413


class UnsupportedMediaTypeError(_ReasonedError, InvalidInputError):
    """This media type is not accepted here."""

    code, status = "UNSUPPORTED_MEDIA_TYPE", 415


class UnprocessableContentError(_ReasonedError, InvalidInputError):
    """The request is understood, and cannot be done."""

    code, status = "UNPROCESSABLE_CONTENT", 422


class RequestsExceededError(DirectusError, RateLimitedError):
    """Too many requests."""

    code, status = "REQUESTS_EXCEEDED", 429


class ServiceUnavailableError(DirectusError, UnavailableError):
    """The service is not available right now; come back later."""

    code, status = "SERVICE_UNAVAILABLE", 503


class FailedValidationError(DirectusError, InvalidInputError):
    """The value of a field is not valid."""

    code, status = "FAILED_VALIDATION", 400

    def __init__(self, field: str, type: str, message: str | None = None, **extensions: Any) -> None:  # noqa: A002 - the wire's word
        super().__init__(
            message or f"The value of {field} is not valid: {type}.",
            field=field,
            path=[],
            type=type,
            **extensions,
        )


class _FieldError(DirectusError, InvalidInputError):
    """An error of one field of a collection; `value` is shown where it is known, and no secret."""

    def __init__(
        self, collection: str | None = None, field: str | None = None, value: Any = None, **extensions: Any
    ) -> None:
        super().__init__(collection=collection, field=field, value=value, **extensions)
        if field:
            self.message = f"{self.message.rstrip('.')}: {field}."


class RecordNotUniqueError(_FieldError):
    """Another row has this value, which must be unique."""

    code, status = "RECORD_NOT_UNIQUE", 400


class InvalidForeignKeyError(_FieldError):
    """This value refers to a row that does not exist, or that others refer to."""

    code, status = "INVALID_FOREIGN_KEY", 400


class NotNullViolationError(_FieldError):
    """This value must not be null."""

    code, status = "NOT_NULL_VIOLATION", 400


class ValueTooLongError(_FieldError):
    """This value is too long."""

    code, status = "VALUE_TOO_LONG", 400


class ValueOutOfRangeError(_FieldError):
    """This value is out of range."""

    code, status = "VALUE_OUT_OF_RANGE", 400


class InvalidCollectionError(DirectusError, NotFoundError):
    """This collection cannot be used here."""

    code, status = "INVALID_COLLECTION", 400


class SeveralErrors(DirectusError):  # noqa: N818 - the word for several
    """Several errors of one request, in the order in which they are listed; the first stands for all."""

    def __init__(self, errors: Sequence[RealtimeError]) -> None:
        self.errors = tuple(errors)
        super().__init__(told(errors[0]).message)


#: The classes that our own errors are told as, the nearest first: `told` walks up the bases of an error.
_CODES: dict[type[RealtimeError], type[DirectusError]] = {
    UnauthenticatedError: InvalidCredentialsError,
    TokenExpiredError: DirectusTokenExpiredError,
    SessionRevokedError: InvalidCredentialsError,
    AccountDisabledError: UserSuspendedError,
    NotAllowedError: ForbiddenError,
    NotFoundError: ForbiddenError,
    InvalidInputError: InvalidPayloadError,
    TooSlowError: OutOfTimeError,
    TooBigError: ContentTooLargeError,
    RateLimitedError: RequestsExceededError,
    OverloadedError: ServiceUnavailableError,
    UnavailableError: ServiceUnavailableError,
    RestartingError: ServiceUnavailableError,
}
#: Statuses of errors that none of those classes has.
_STATUSES: dict[int, type[DirectusError]] = {
    400: InvalidPayloadError,
    401: InvalidCredentialsError,
    403: ForbiddenError,
    404: ForbiddenError,
    408: OutOfTimeError,
    409: UnprocessableContentError,
    413: ContentTooLargeError,
    414: ContentTooLargeError,
    415: UnsupportedMediaTypeError,
    422: UnprocessableContentError,
    429: RequestsExceededError,
    431: ContentTooLargeError,
    503: ServiceUnavailableError,
}
#: Errors of accounts that are about one field of a user.
_OF_USERS: dict[type[RealtimeError], DirectusError] = {
    EmailTakenError: RecordNotUniqueError(USERS, "email"),
    UsernameTakenError: RecordNotUniqueError(USERS, "username"),
    MixedScriptsError: FailedValidationError("username", "regex", MixedScriptsError().message),
    WrongPasswordError: FailedValidationError("password", "eq", WrongPasswordError().message),
}
#: Errors whose message says what exactly is wrong, and is the `reason` of the code.
_REASONED = (InvalidPayloadError, InvalidQueryError, UnprocessableContentError, UnsupportedMediaTypeError)


def told(error: RealtimeError) -> Told:
    """An error in the words of the dialect; of several the first one."""
    if isinstance(error, SeveralErrors):
        return told(error.errors[0])
    ours = error if isinstance(error, DirectusError) else _as_directus(error)
    extensions = dict(ours.extensions)
    message = ours.message
    if (wait := error.retry_after_ms) is not None:
        extensions["retry_after_ms"] = wait
        message += f" Retry after {wait} ms."
    return Told(ours.code, message, ours.status, extensions)


def all_told(error: RealtimeError) -> list[Told]:
    """Every error of a request that failed, in the words of the dialect."""
    if isinstance(error, InvalidRowError):
        return [told(_of_row(problem)) for problem in error.problems] or [told(InvalidPayloadError())]
    return [told(each) for each in (error.errors if isinstance(error, SeveralErrors) else (error,))]


#: The classes of what can be wrong with a row.
_OF_ROWS: dict[ProblemKind, type[_FieldError]] = {
    ProblemKind.TOO_LONG: ValueTooLongError,
    ProblemKind.OUT_OF_RANGE: ValueOutOfRangeError,
    ProblemKind.NOT_NULL: NotNullViolationError,
    ProblemKind.NOT_UNIQUE: RecordNotUniqueError,
    ProblemKind.FOREIGN_KEY: InvalidForeignKeyError,
}


def _of_row(problem: RowProblem) -> DirectusError:
    if (kind := _OF_ROWS.get(problem.kind)) is not None:
        return kind(field=problem.field, value=problem.value)
    return FailedValidationError(problem.field or "", problem.rule or "invalid", problem.message)


def _as_directus(error: RealtimeError) -> DirectusError:
    if (found := _OF_USERS.get(type(error))) is not None:
        return found
    if isinstance(error, InvalidRowError):
        return _of_row(error.problems[0]) if error.problems else InvalidPayloadError()
    if isinstance(error, WeakPasswordError):
        return FailedValidationError("password", "regex", error.message)
    if isinstance(error, QueryError):
        # A field that is hidden is not told from one that does not exist, nor from a missing row.
        return ForbiddenError() if error.problem is Problem.FIELD else InvalidQueryError(error.message)
    kinds = (_CODES[each] for each in type(error).__mro__ if each in _CODES)
    kind = next(kinds, _STATUSES.get(error.status, DirectusError))
    if issubclass(kind, _REASONED):
        return kind(error.message)
    return kind()
