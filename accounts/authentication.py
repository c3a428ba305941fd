"""How REST learns who is asking: `Authorization: Bearer`, and nothing else."""

from __future__ import annotations

from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from accounts.models import User
from accounts.tokens import Identity, identify
from realtime import UnauthenticatedError


def bearer_token(header: str) -> str | None:
    """The token of an Authorization header; None when it speaks of something else."""
    scheme, _, token = header.strip().partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


class BearerAuthentication(BaseAuthentication):
    """`request.user` is the user of the access token, `request.auth` its Identity."""

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
        """Its presence makes Django REST framework answer 401 instead of 403."""
        return 'Bearer realm="api"'


def identity_of_request(request: Request) -> Identity:
    """The identity of an authenticated request; 401 for one that came by something else than a token."""
    if not isinstance(request.auth, Identity):
        raise UnauthenticatedError
    return request.auth
