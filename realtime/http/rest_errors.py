"""The exception handler of REST: answers every error of a view with a problem document."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.http import Http404
from rest_framework import exceptions as drf
from rest_framework.response import Response

from realtime.database import outages
from realtime.errors import (
    InvalidInputError,
    RealtimeError,
    TooBigError,
    UnauthenticatedError,
    UnavailableError,
    is_outage,
)
from realtime.http.problems import PROBLEM_JSON, problem, problem_of, retry_after

#: The codes for exceptions of Django and Django REST framework.
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


def exception_handler(exc: Exception, context: dict[str, Any]) -> Response | None:
    """Answer an error of a REST view with a problem document; exceptions we do not know stay Django's."""
    # Imported late: the views load the classes that the settings name, and those load this module.
    from rest_framework.renderers import JSONRenderer
    from rest_framework.views import exception_handler as drf_exception_handler
    from rest_framework.views import set_rollback

    # A problem document is JSON, also where a view answers with something else: the OpenAPI document is YAML.
    if (request := context.get("request")) is not None:
        request.accepted_renderer, request.accepted_media_type = JSONRenderer(), PROBLEM_JSON
    if is_outage(exc):
        outages.DATABASE.noticed(exc)
        exc = UnavailableError(retry_after_ms=1000)
    if isinstance(exc, SuspiciousOperation):  # Django would log a traceback for each
        exc = TooBigError() if isinstance(exc, RequestDataTooBig) else InvalidInputError()
    if isinstance(exc, RealtimeError):
        set_rollback()
        response = Response(problem_of(exc), status=exc.status, content_type=PROBLEM_JSON)
        if exc.status == UnauthenticatedError.status:
            response["WWW-Authenticate"] = 'Bearer realm="api"'
        if exc.retry_after_ms is not None:
            response["Retry-After"] = retry_after(exc.retry_after_ms)
        return response

    answer = drf_exception_handler(exc, context)
    if answer is None:
        return None
    otherwise = "invalid_input" if answer.status_code < 500 else RealtimeError.code
    code = next((code for kind, code in _DRF_CODES if isinstance(exc, kind)), otherwise)
    is_about_fields = isinstance(exc, drf.ValidationError)  # a field may have the name "detail"
    detail = None if is_about_fields else _instead(exc, context) or answer.data.get("detail")
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
    if isinstance(exc, drf.UnsupportedMediaType):
        answer["Accept"] = _media_types(context["view"].parser_classes)  # RFC 9110 §15.5.16
    return answer


def _instead(exc: Exception, context: dict[str, Any]) -> str | None:
    """A sentence on the right form, for a request that reached a view in a form that it does not take."""
    if isinstance(exc, drf.NotAuthenticated):
        return "An access token is required: send the header Authorization: Bearer <token>."
    if isinstance(exc, drf.MethodNotAllowed):
        return f"This path knows {', '.join(context['view'].allowed_methods)}."
    if isinstance(exc, drf.NotAcceptable):
        return f"This path answers with {_media_types(context['view'].renderer_classes)}."
    if isinstance(exc, drf.UnsupportedMediaType):
        return f"Send the body as {_media_types(context['view'].parser_classes)}, and say so in Content-Type."
    return None


def _media_types(kinds: Iterable[Any]) -> str:
    return ", ".join(kind.media_type for kind in kinds)
