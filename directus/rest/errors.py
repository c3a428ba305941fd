"""Failures of REST: every one is answered as `{"errors": [{"message", "extensions": {"code"}}]}`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.http import Http404
from rest_framework import exceptions as drf
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response
from rest_framework.views import set_rollback

from directus.errors import (
    ContentTooLargeError,
    FailedValidationError,
    ForbiddenError,
    InvalidCredentialsError,
    InvalidPayloadError,
    NotNullViolationError,
    RecordNotUniqueError,
    RouteNotFoundError,
    ServiceUnavailableError,
    SeveralErrors,
    UnsupportedMediaTypeError,
    ValueOutOfRangeError,
    ValueTooLongError,
    all_told,
    told,
)
from realtime import (
    RateLimitedError,
    RealtimeError,
    RestThrottle,
    Shape,
    counted_address,
    is_outage,
    outages,
    retry_after,
)

MEDIA_TYPE = "application/json"


def body_of(error: RealtimeError) -> tuple[int, dict[str, Any]]:
    """The status and the body of a failure."""
    listed = [
        {"message": each.message, "extensions": {"code": each.code, **each.extensions}}
        for each in all_told(error)
    ]
    return told(error).status, {"errors": listed}


#: The shape of failures that no view has seen.
SHAPE = Shape(MEDIA_TYPE, body_of)


def exception_handler(exc: Exception, context: Mapping[str, Any]) -> Response | None:
    """Answer every failure of a view in the shape of the dialect; exceptions we do not know stay Django's.

    A request that failed before any throttle was asked, for a bad token, is counted for its address.
    """
    error = _error_of(exc, context)
    if error is None:
        return None
    request = context["request"]
    if not getattr(request, "is_counted", False):
        try:
            RestThrottle.take(counted_address(request))
        except RateLimitedError as limited:
            error = limited
    set_rollback()
    request.accepted_renderer, request.accepted_media_type = JSONRenderer(), MEDIA_TYPE
    status, body = body_of(error)
    answer = Response(body, status=status)
    if status == InvalidCredentialsError.status:
        answer["WWW-Authenticate"] = "Bearer"
    if error.retry_after_ms is not None:
        answer["Retry-After"] = retry_after(error.retry_after_ms)
    return answer


#: Exceptions that need no look at the request, the first that fits.
_AS_THEY_ARE: tuple[tuple[tuple[type[Exception], ...], Callable[[], RealtimeError]], ...] = (
    ((RequestDataTooBig,), ContentTooLargeError),
    (
        (drf.UnsupportedMediaType,),
        lambda: UnsupportedMediaTypeError("send the body as application/json, and say so in Content-Type."),
    ),
    ((PermissionDenied, drf.PermissionDenied), ForbiddenError),
    ((drf.NotAuthenticated, drf.AuthenticationFailed), InvalidCredentialsError),
)
#: What is left of what a client can cause.
_OTHERS = (SuspiciousOperation, drf.APIException)


def _error_of(exc: Exception, context: Mapping[str, Any]) -> RealtimeError | None:
    """One of our errors for any exception of a view; None for one that is a mistake of ours."""
    if isinstance(exc, RealtimeError):
        return exc
    if is_outage(exc):
        outages.DATABASE.noticed(exc)
        return ServiceUnavailableError(retry_after_ms=1000)
    if isinstance(exc, drf.ValidationError):
        return SeveralErrors(list(faults_of(exc)))
    if isinstance(exc, (Http404, drf.NotFound)):
        return RouteNotFoundError(context["request"].path)
    for kinds, error in _AS_THEY_ARE:
        if isinstance(exc, kinds):
            return error()
    return InvalidPayloadError() if isinstance(exc, _OTHERS) else None


def faults_of(exc: drf.ValidationError, collection: str | None = None) -> Iterator[RealtimeError]:
    """An error for each fault that a serializer found in the fields of a collection."""
    details: Any = exc.get_full_details()
    if not isinstance(details, dict):
        details = {"": details}
    for field, faults in details.items():
        for fault in faults if isinstance(faults, list) else [faults]:
            yield _fault(collection, field, str(fault.get("code", "invalid")), str(fault.get("message", "")))


def _fault(collection: str | None, field: str, kind: str, message: str) -> RealtimeError:
    match kind:
        case "null":
            return NotNullViolationError(collection, field)
        case "max_length":
            return ValueTooLongError(collection, field)
        case "max_value" | "min_value" | "max_string_length":
            return ValueOutOfRangeError(collection, field)
        case "unique":
            return RecordNotUniqueError(collection, field)
        case "invalid" if field == "email":
            return FailedValidationError(field, "email", message)
        case _:
            return FailedValidationError(field, kind, message)
