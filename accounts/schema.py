"""What OpenAPI says of our errors and of our bearer tokens."""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiResponse
from rest_framework import serializers

from realtime import PROBLEM_JSON

_MEANINGS = {
    400: "The request is not valid; `code` says why, `errors` in which fields.",
    401: "No valid access token, or wrong credentials.",
    403: "The account is disabled, or may not do this.",
    404: "There is nothing here, or it is not yours.",
    429: "Too many requests; come back after `retry_after_ms`.",
    503: "Too many passwords are being checked, or the database is away; come back after `retry_after_ms`.",
}


class ProblemSerializer(serializers.Serializer[Any]):
    """An error, as RFC 9457 has it, with a stable `code`."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField()
    code = serializers.CharField(help_text="Stable, and documented; the prose is for humans.")
    retryable = serializers.BooleanField()
    retry_after_ms = serializers.IntegerField(allow_null=True)
    errors = serializers.DictField(  # type: ignore[assignment]  # a field, which hides a property of serializers
        required=False, help_text="For `invalid_input`: what is wrong, by field."
    )


def problems(*statuses: int) -> dict[tuple[int, str], OpenApiResponse]:
    """The error answers of an endpoint, for `extend_schema(responses=…)`."""
    return {
        (status, PROBLEM_JSON): OpenApiResponse(ProblemSerializer, description=_MEANINGS[status])
        for status in statuses
    }


class BearerScheme(OpenApiAuthenticationExtension):
    """Lets the browsable page ask for an access token."""

    target_class = "accounts.authentication.BearerAuthentication"
    name = "bearer"

    def get_security_definition(self, _auto_schema: AutoSchema) -> dict[str, Any]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
