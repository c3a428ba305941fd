"""Authentication of REST requests: `Authorization: Bearer`, and nothing else."""

from __future__ import annotations

from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from accounts.models import User
from accounts.tokens import Identity, identify
from realtime import UnauthenticatedError


def bearer_token(header: str) -> str | None:
    """The token of an Authorization header; None when the header has another scheme."""
    scheme, _, token = header.strip().partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


class BearerAuthentication(BaseAuthentication):
    """Authenticates by access token: `request.user` is its user, `request.auth` its Identity."""

    def authenticate(self, request: Request) -> tuple[User, Identity] | None:
        header = request.META.get("HTTP_AUTHORIZATION", "")
        token = bearer_token(header)
        if token is None:
            if header.strip():
                raise UnauthenticatedError("This scheme is not known: send Authorization: Bearer <token>.")
            return None
        identity = identify(token)
        return identity.user, identity

    def authenticate_header(self, request: Request) -> str:
        """The scheme to name in a 401; without it, Django REST framework would answer 403."""
        return 'Bearer realm="api"'


def identity_of_request(request: Request) -> Identity:
    """The identity of an authenticated request; 401 for one authenticated otherwise than by a token."""
    if not isinstance(request.auth, Identity):
        raise UnauthenticatedError
    return request.auth
