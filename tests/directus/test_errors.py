"""Errors in the words of Directus: code and status of each of ours, and the members beside the code."""

import pytest

from accounts.errors import (
    EmailTakenError,
    TooManyPasswordsError,
    UsernameTakenError,
    WeakPasswordError,
    WrongCredentialsError,
)
from changes.errors import UnknownCollectionError
from changes.filters import Problem, QueryError
from chat.errors import NotAParticipantError
from directus import errors
from directus.errors import Told, all_told, told
from notifications.errors import IdempotencyMismatchError
from realtime import (
    AccountDisabledError,
    BusyError,
    InvalidInputError,
    InvalidJsonError,
    NotAllowedError,
    NotFoundError,
    OverloadedError,
    RateLimitedError,
    RealtimeError,
    RestartingError,
    SessionRevokedError,
    TokenExpiredError,
    TooBigError,
    UnauthenticatedError,
    UnavailableError,
)


@pytest.mark.parametrize(
    ("error", "code", "status"),
    [
        (RealtimeError(), "INTERNAL_SERVER_ERROR", 500),
        (UnauthenticatedError(), "INVALID_CREDENTIALS", 401),
        (WrongCredentialsError(), "INVALID_CREDENTIALS", 401),
        (SessionRevokedError(), "INVALID_CREDENTIALS", 401),
        (TokenExpiredError(), "TOKEN_EXPIRED", 401),
        (AccountDisabledError(), "USER_SUSPENDED", 401),
        (NotAllowedError(), "FORBIDDEN", 403),
        (NotFoundError(), "FORBIDDEN", 403),
        (NotAParticipantError(), "FORBIDDEN", 403),
        (UnknownCollectionError(), "FORBIDDEN", 403),
        (QueryError("No.", Problem.FIELD), "FORBIDDEN", 403),
        (QueryError("No.", Problem.OPERATOR), "INVALID_QUERY", 400),
        (QueryError("No.", Problem.TOO_LARGE), "INVALID_QUERY", 400),
        (InvalidInputError(), "INVALID_PAYLOAD", 400),
        (InvalidJsonError(), "INVALID_PAYLOAD", 400),
        (WeakPasswordError(), "FAILED_VALIDATION", 400),
        (EmailTakenError(), "RECORD_NOT_UNIQUE", 400),
        (UsernameTakenError(), "RECORD_NOT_UNIQUE", 400),
        (TooBigError(), "CONTENT_TOO_LARGE", 413),
        (IdempotencyMismatchError(), "INVALID_PAYLOAD", 400),
        (RateLimitedError(), "REQUESTS_EXCEEDED", 429),
        (OverloadedError(), "SERVICE_UNAVAILABLE", 503),
        (BusyError(), "SERVICE_UNAVAILABLE", 503),
        (TooManyPasswordsError(), "SERVICE_UNAVAILABLE", 503),
        (UnavailableError(), "SERVICE_UNAVAILABLE", 503),
        (RestartingError(), "SERVICE_UNAVAILABLE", 503),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_error_of_ours_has_the_code_of_its_nearest_kind(error: RealtimeError, code: str, status: int):
    assert (told(error).code, told(error).status) == (code, status)


def test_hidden_field_and_missing_row_are_told_in_the_same_words():
    assert told(QueryError("There is no field 'secret'.", Problem.FIELD)) == told(NotFoundError())


@pytest.mark.parametrize(
    ("error", "extensions"),
    [
        (InvalidInputError("Expected a list."), {"reason": "Expected a list."}),
        (QueryError("No operator.", Problem.OPERATOR), {"reason": "No operator."}),
        (errors.InvalidPayloadError(), {}),
        (errors.InvalidPayloadError("Two tokens."), {"reason": "Two tokens."}),
        (errors.ForbiddenError(), {}),
        (errors.RouteNotFoundError("/nowhere"), {"path": "/nowhere"}),
        (
            errors.MethodNotAllowedError(allowed=["GET", "PATCH"], current="DELETE"),
            {"allowed": ["GET", "PATCH"], "current": "DELETE"},
        ),
        (
            errors.FailedValidationError("email", "required"),
            {"field": "email", "path": [], "type": "required"},
        ),
        (WeakPasswordError("Too short."), {"field": "password", "path": [], "type": "regex"}),
        (EmailTakenError(), {"collection": "directus_users", "field": "email"}),
        (
            errors.InvalidForeignKeyError("articles", "author", 7),
            {"collection": "articles", "field": "author", "value": 7},
        ),
        (RateLimitedError(retry_after_ms=300), {"retry_after_ms": 300}),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_members_beside_the_code(error: RealtimeError, extensions: dict[str, object]):
    assert told(error).extensions == extensions


def test_reason_stands_in_the_message_too():
    assert told(InvalidInputError("Expected a list.")).message.endswith(": Expected a list.")


def test_of_several_errors_the_first_stands_for_all():
    both = errors.SeveralErrors([errors.FailedValidationError("email", "required"), TooBigError()])

    assert told(both).extensions["field"] == "email"
    assert [each.code for each in all_told(both)] == ["FAILED_VALIDATION", "CONTENT_TOO_LARGE"]
    assert all_told(TooBigError()) == [told(TooBigError())]


def test_error_of_the_dialect_is_one_of_ours_for_every_other_reader():
    """A close code, a status and whether to come back follow from the class of ours below it."""
    assert errors.UserSuspendedError().close_with == AccountDisabledError.close_with
    assert errors.RequestsExceededError().retryable
    assert errors.InvalidTokenError().close_with == UnauthenticatedError.close_with
    assert told(errors.InvalidTokenError()) == Told("INVALID_TOKEN", "This token is not one of ours.", 403)
