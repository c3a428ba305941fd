"""Building blocks for the OpenAPI descriptions of views: each shape has an example, each error stands once.

@extend_schema(
    summary="Rename a group",
    description="…",
    parameters=[path_id("conversation_id", "The conversation.", 123)],
    request=takes(RenameSerializer, {"title": "Project"}),
    responses={200: gives(ConversationSerializer, CONVERSATION, "The group."), **problems(400, 404)},
)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiRequest, OpenApiResponse
from rest_framework import serializers

from realtime.errors import (
    AccountDisabledError,
    InvalidInputError,
    InvalidJsonError,
    NotAllowedError,
    NotFoundError,
    OverloadedError,
    RateLimitedError,
    RealtimeError,
    TokenExpiredError,
    UnauthenticatedError,
    UnavailableError,
)
from realtime.http.problems import PROBLEM_JSON, problem_of, retry_after

#: The meaning of each error status, and examples of its answers, the commonest first.
_PROBLEMS: dict[int, tuple[str, tuple[RealtimeError, ...]]] = {
    400: (
        "The request is not valid; `code` says why, `errors` in which fields.",
        (InvalidInputError(), InvalidJsonError("The body is not a JSON object.")),
    ),
    401: ("No valid credentials.", (UnauthenticatedError(), TokenExpiredError())),
    403: ("The account is disabled, or may not do this.", (AccountDisabledError(), NotAllowedError())),
    404: ("There is nothing here, or it is not yours.", (NotFoundError(),)),
    429: (
        "Too many requests; come back after `retry_after_ms`.",
        (RateLimitedError(retry_after_ms=1500),),
    ),
    503: (
        "The server has too much to do, or its database is away; come back after `retry_after_ms`.",
        (OverloadedError(retry_after_ms=1000), UnavailableError(retry_after_ms=1000)),
    ),
}
#: The example of an answer to invalid input.
_ERRORS = {"title": ["This field is required."]}
_RETRY_AFTER = {
    "description": "Seconds to wait before asking again.",
    "schema": {"type": "integer", "minimum": 1},
}


class ProblemSerializer(serializers.Serializer[Any]):
    """An error, as RFC 9457 has it, with a stable `code`."""

    type = serializers.CharField(help_text="Always `about:blank`: the `code` says what it is.")
    title = serializers.CharField(help_text="The `code` in words.")
    status = serializers.IntegerField(help_text="The HTTP status.")
    detail = serializers.CharField(help_text="What went wrong, for people; it may change.")
    code = serializers.CharField(help_text="What went wrong, for programs; it is stable and documented.")
    retryable = serializers.BooleanField(help_text="Whether the same request may succeed later.")
    retry_after_ms = serializers.IntegerField(allow_null=True, help_text="Milliseconds to wait until then.")
    errors = serializers.DictField(  # type: ignore[assignment]  # a field, which hides a property of serializers
        required=False, help_text="With `invalid_input`: what is wrong, by field."
    )


def takes(shape: Any, example: Any) -> OpenApiRequest:
    """Describe a request body: its shape and an example."""
    return OpenApiRequest(shape, examples=[OpenApiExample("Example", example)])


def gives(shape: Any, example: Any, description: str) -> OpenApiResponse:
    """Describe an answer: its shape and an example; for a list, an example of its items."""
    return OpenApiResponse(shape, description, [OpenApiExample("Example", example)])


def problems(*statuses: int) -> dict[tuple[int, str], OpenApiResponse]:
    """Describe the error answers of some statuses, for `extend_schema(responses=…)`."""
    found: dict[tuple[int, str], OpenApiResponse] = {}
    for status in statuses:
        description, errors = _PROBLEMS[status]
        found |= refuses(description, *errors)
    return found


def refuses(description: str, *errors: RealtimeError) -> dict[tuple[int, str], OpenApiResponse]:
    """Describe one error answer with some errors, all of one status, as examples."""
    examples = [OpenApiExample(error.code, _example_of(error)) for error in errors]
    return {
        (errors[0].status, PROBLEM_JSON): OpenApiResponse(ProblemSerializer, description, examples),
    }


def path_id(name: str, description: str, example: int) -> OpenApiParameter:
    """Describe an id in the path, as `IdConverter` reads it."""
    return OpenApiParameter(
        name,
        {"type": "integer", "minimum": 1, "maximum": 10**15 - 1},
        OpenApiParameter.PATH,
        description=description,
        examples=[OpenApiExample("Example", example)],
    )


def path_uuid(name: str, description: str, example: str) -> OpenApiParameter:
    """Describe a UUID in the path."""
    return OpenApiParameter(
        name,
        OpenApiTypes.UUID,
        OpenApiParameter.PATH,
        description=description,
        examples=[OpenApiExample("Example", example)],
    )


def share_problems(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Move each error answer among the components, once, and refer to it where it is given.

    A hook of drf-spectacular's. An answer is named after the code of its first example.
    """
    shared: dict[str, Any] = {}
    for answers in _answers_in(result):
        for status, answer in answers.items():
            examples = answer.get("content", {}).get(PROBLEM_JSON, {}).get("examples")
            if examples is None:
                continue
            first = next(iter(examples.values()))["value"]
            name = first["title"].title().replace(" ", "")
            if first["retry_after_ms"] is not None:
                answer["headers"] = {
                    "Retry-After": {**_RETRY_AFTER, "example": int(retry_after(first["retry_after_ms"]))}
                }
            if shared.setdefault(name, answer) != answer:
                raise ValueError(f"two different answers are called {name}")
            answers[status] = {"$ref": f"#/components/responses/{name}"}
    result["components"]["responses"] = dict(sorted(shared.items()))
    return result


def _answers_in(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for methods in document["paths"].values():
        for operation in methods.values():
            yield operation["responses"]


def _example_of(error: RealtimeError) -> dict[str, Any]:
    shown = problem_of(error)
    return shown | {"errors": _ERRORS} if type(error) is InvalidInputError else shown
