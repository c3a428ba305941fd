"""Keys of other services, which sign in with a key instead of a user, and may only send notifications."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from realtime import UnauthenticatedError, conf

#: The headers that may hold a key.
_HEADERS = frozenset({b"authorization", b"x-api-key"})


class Service:
    """A holder of one of SERVICE_API_KEYS; it is no user."""

    is_authenticated = True
    is_active = True
    pk = None

    def __init__(self, scope: str) -> None:
        #: Tells services apart without naming their keys.
        self.scope = scope


class ServiceKeyAuthentication(BaseAuthentication):
    """Authenticates by `Authorization: Api-Key <key>` or `X-Api-Key: <key>`."""

    def authenticate(self, request: Request) -> tuple[Service, Service] | None:
        offered = _key_in(request)
        if offered is None:
            return None
        digest = _digest(offered)
        if not _is_ours(digest):
            raise UnauthenticatedError("This API key is not valid.")
        service = Service(scope=digest)
        return service, service

    def authenticate_header(self, request: Request) -> str:
        return "Api-Key"


class IsService(BasePermission):
    """Lets only services pass: no user, however trusted, speaks for the server."""

    message = "Only services with an API key may do this."
    #: The credentials that pass, as the OpenAPI document names them.
    security_scheme = "serviceKey"

    def has_permission(self, request: Request, view: APIView) -> bool:
        return isinstance(request.auth, Service)


def has_service_key(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether the headers of an ASGI scope contain one of the keys."""
    shown = {name: value.decode("latin1") for name, value in headers if name in _HEADERS}
    offered = _key(shown.get(b"authorization", ""), shown.get(b"x-api-key"))
    return offered is not None and _is_ours(_digest(offered))


def _key_in(request: Request) -> str | None:
    return _key(request.META.get("HTTP_AUTHORIZATION", ""), request.META.get("HTTP_X_API_KEY"))


def _key(authorization: str, api_key: str | None) -> str | None:
    scheme, _, key = authorization.strip().partition(" ")
    if scheme.lower() == "api-key":
        return key.strip()
    return None if api_key is None else api_key.strip()


def _is_ours(digest: str) -> bool:
    # Compares in constant time and with every key, so that the time taken says nothing about any key.
    known = [hmac.compare_digest(digest, _digest(key)) for key in conf.service_api_keys if key]
    return any(known)


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode(errors="replace")).hexdigest()


class ServiceKeyScheme(OpenApiAuthenticationExtension):
    """Describes the API key in the OpenAPI document, so that its page can ask for one."""

    target_class = "notifications.service_keys.ServiceKeyAuthentication"
    name = IsService.security_scheme

    def get_security_definition(self, _auto_schema: AutoSchema) -> dict[str, Any]:
        return {
            "type": "apiKey",
            "in": "header",
            "name": "X-Api-Key",
            "description": "One of the server's `SERVICE_API_KEYS`, also as `Authorization: Api-Key <key>`.",
        }
