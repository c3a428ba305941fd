"""Every error has one stable code, a message, and the same shape everywhere."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, InterfaceError, OperationalError
from django.http import Http404
from rest_framework import exceptions as drf
from rest_framework.test import APIRequestFactory
from rest_framework.views import APIView
from rest_framework_simplejwt.exceptions import InvalidToken

from realtime import errors
from realtime.errors import CloseCode, RateLimitedError, RealtimeError, UnavailableError
from realtime.http.rest_errors import exception_handler

OURS = ("realtime", "accounts", "notifications", "chat", "typing_indicator")


def every_error() -> list[type[RealtimeError]]:
    """All errors of the project, wherever they are declared; the tests' own are left out."""
    for package in OURS:
        for source in Path(apps.get_app_config(package).path).rglob("errors.py"):
            parts = source.with_suffix("").relative_to(Path(apps.get_app_config(package).path).parent).parts
            importlib.import_module(".".join(parts))
    found, unseen = [], [RealtimeError]
    while unseen:
        kind = unseen.pop()
        unseen += kind.__subclasses__()
        if kind.__module__.startswith(OURS):
            found.append(kind)
    return found


@pytest.mark.parametrize("kind", every_error(), ids=lambda kind: kind.__name__)
def test_error_has_a_code_a_status_and_a_message(kind):
    error = kind()

    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", error.code)
    assert 400 <= error.status < 600
    assert isinstance(error.close_with, CloseCode)
    assert kind.__doc__ != RealtimeError.__doc__ or kind is RealtimeError
    assert re.fullmatch(r"[A-Z].{5,88}\.", error.message), error.message
    assert inspect.isclass(kind)
    assert kind.__name__.endswith("Error")


def test_codes_are_unique():
    # An error without a code of its own is its parent to clients, with another message.
    codes = [kind.code for kind in every_error() if "code" in vars(kind)]

    assert len(codes) > 15
    assert sorted(set(codes)) == sorted(codes)


@pytest.mark.parametrize("kind", every_error(), ids=lambda kind: kind.__name__)
def test_close_code_says_whether_to_come_back(kind):
    invites = {CloseCode.TOO_SLOW, CloseCode.TOO_MANY, CloseCode.OVERLOADED, CloseCode.RESTARTING}

    assert kind.retryable == (kind.close_with in invites) or kind.close_with == CloseCode.INTERNAL


def test_message_can_be_more_precise_than_the_docstring():
    error = errors.InvalidFrameError("Unknown type 'x'.", retry_after_ms=5)

    assert error.as_fields() == {
        "code": "invalid_frame",
        "message": "Unknown type 'x'.",
        "retryable": False,
        "retry_after_ms": 5,
    }
    assert str(error) == "Unknown type 'x'."


# ── HTTP ─────────────────────────────────────────────────────────────────────────────────────────────────


def answer(exception: Exception) -> Any:
    """The answer that a client gets when a view raises this."""

    class View(APIView):
        authentication_classes = ()
        permission_classes = ()
        throttle_classes = ()

        def get(self, request: Any) -> None:
            raise exception

    response = View.as_view()(APIRequestFactory().get("/"))
    response.render()
    return response


DRF = [
    (drf.ValidationError({"title": ["Too long."]}), 400, "invalid_input", "The request is not valid."),
    (drf.ValidationError(["Too long."]), 400, "invalid_input", "The request is not valid."),
    (drf.ValidationError({"detail": ["Required."]}), 400, "invalid_input", "The request is not valid."),
    (drf.ParseError(), 400, "invalid_json", "Malformed request."),
    (drf.AuthenticationFailed(), 403, "unauthenticated", "Incorrect authentication credentials."),
    (
        drf.NotAuthenticated(),
        403,
        "unauthenticated",
        "An access token is required: send the header Authorization: Bearer <token>.",
    ),
    (InvalidToken("No."), 403, "unauthenticated", "No."),
    (drf.PermissionDenied(), 403, "not_allowed", "You do not have permission to perform this action."),
    (PermissionDenied(), 403, "not_allowed", "You do not have permission to perform this action."),
    (drf.NotFound(), 404, "not_found", "Not found."),
    (Http404("No such thing"), 404, "not_found", "No such thing"),
    (drf.MethodNotAllowed("PUT"), 405, "method_not_allowed", "This path knows GET, HEAD, OPTIONS."),
    (drf.NotAcceptable(), 406, "not_acceptable", "This path answers with application/json."),
    (
        drf.UnsupportedMediaType("a/b"),
        415,
        "unsupported_media_type",
        "Send the body as application/json, and say so in Content-Type.",
    ),
    (drf.APIException(), 500, "internal_error", "A server error occurred."),
]


@pytest.mark.parametrize(("exception", "status", "code", "detail"), DRF, ids=lambda value: str(value)[:30])
def test_exception_of_the_framework_is_a_problem_document(exception, status, code, detail):
    response = answer(exception)

    errors_told = response.data.pop("errors", None)
    assert response.data == {
        "type": "about:blank",
        "title": code.replace("_", " ").capitalize(),
        "status": status,
        "detail": detail,
        "code": code,
        "retryable": False,
        "retry_after_ms": None,
    }
    assert response.status_code == status
    assert response["Content-Type"] == "application/problem+json"
    assert (errors_told is not None) == isinstance(exception, drf.ValidationError)


def test_every_exception_of_the_framework_is_in_the_list_above():
    kinds = {
        kind for kind in vars(drf).values() if inspect.isclass(kind) and issubclass(kind, drf.APIException)
    }

    assert kinds == {type(exception) for exception, *_ in DRF if type(exception) in kinds} | {drf.Throttled}


def test_fields_that_do_not_fit_are_named():
    assert answer(drf.ValidationError({"title": ["Too long."]})).data["errors"] == {"title": ["Too long."]}
    assert answer(drf.ValidationError("Odd.")).data["errors"] == {"non_field_errors": ["Odd."]}


def test_throttled_says_when_to_come_back():
    response = answer(drf.Throttled(wait=1.2))  # the framework rounds this up

    told = (response.status_code, response["Retry-After"], response.data["code"])
    assert told == (429, "2", "rate_limited")
    assert (response.data["retryable"], response.data["retry_after_ms"]) == (True, 2000)


@pytest.mark.parametrize("kind", every_error(), ids=lambda kind: kind.__name__)
def test_error_of_ours_is_a_problem_document(kind):
    response = answer(kind())

    assert (response.status_code, response["Content-Type"]) == (kind.status, "application/problem+json")
    assert (response.data["code"], response.data["detail"]) == (kind.code, kind().message)
    assert response.data["retryable"] == kind.retryable
    assert response.has_header("WWW-Authenticate") == (kind.status == 401)
    assert not response.has_header("Retry-After")


@pytest.mark.parametrize(("milliseconds", "seconds"), [(1, "1"), (1000, "1"), (1001, "2"), (0, "1")])
def test_wait_is_told_in_whole_seconds_too(milliseconds, seconds):
    response = answer(RateLimitedError(retry_after_ms=milliseconds))

    assert (response["Retry-After"], response.data["retry_after_ms"]) == (seconds, milliseconds)


@pytest.mark.parametrize("exception", [OperationalError("gone"), InterfaceError("closed")])
def test_database_that_is_away_is_unavailable_and_says_no_more(exception):
    response = answer(exception)

    assert (response.status_code, response.data["code"]) == (503, UnavailableError.code)
    assert response["Retry-After"] == "1"
    assert "gone" not in str(response.data)


@pytest.mark.parametrize("exception", [IntegrityError("duplicate"), RuntimeError("a bug")])
def test_unexpected_exception_is_left_to_django(exception):
    assert exception_handler(exception, {}) is None
