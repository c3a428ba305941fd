"""The OpenAPI security scheme of our bearer tokens."""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema


class BearerScheme(OpenApiAuthenticationExtension):
    """The bearer scheme; it lets the documentation page ask for an access token."""

    target_class = "accounts.authentication.BearerAuthentication"
    name = "bearer"

    def get_security_definition(self, _auto_schema: AutoSchema) -> dict[str, Any]:
        return {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "An access token, from `POST /api/token/` or `POST /api/token/refresh/`.",
        }

    def get_security_requirement(self, auto_schema: AutoSchema) -> list[dict[str, list[Any]]]:
        """None where a permission names another scheme: there a token only tells whom to refuse."""
        permissions = auto_schema.view.get_permissions()
        wanted = {getattr(permission, "security_scheme", self.name) for permission in permissions}
        return [{self.name: []}] if self.name in wanted else []
