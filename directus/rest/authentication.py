"""Authentication of REST requests: a token in the header, in the query or in the cookie of a session."""

from __future__ import annotations

from django.http import HttpRequest
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from accounts.authentication import bearer_token
from accounts.models import User
from accounts.tokens import Identity
from directus import credentials
from directus.errors import ForbiddenError, InvalidCredentialsError, InvalidPayloadError
from realtime import is_listed, is_own

#: Methods that only read; SEARCH is a read with a body.
READS = frozenset({"GET", "HEAD", "OPTIONS", "SEARCH"})


class CredentialAuthentication(BaseAuthentication):
    """Authenticates by any token of the dialect: `request.user` is its user, `request.auth` its Identity."""

    def authenticate(self, request: Request) -> tuple[User, Identity] | None:
        token = _offered(request)
        if token is None:
            return None
        identity = credentials.identify(token)
        return identity.user, identity

    def authenticate_header(self, request: Request) -> str:
        """The scheme to name in a 401; without it, Django REST framework would answer 403."""
        return "Bearer"


def _offered(request: Request) -> str | None:
    """The token of a request; another scheme than Bearer is a proxy's, and passed over."""
    named = request.query_params.getlist("access_token")
    if header := bearer_token(request.META.get("HTTP_AUTHORIZATION", "")):
        named.append(header)
    if len(named) > 1:
        raise InvalidPayloadError("send one access token, in the header or in the query.")
    if named:
        return str(named[0])
    cookie = request.COOKIES.get(credentials.SESSION_COOKIE)
    if cookie:
        refuse_foreign_page(request)
    return cookie or None


def refuse_foreign_page(request: Request | HttpRequest) -> None:
    """Refuse a write with a cookie by a page that is neither ours nor in ALLOWED_ORIGINS.

    A browser sends a cookie along whoever asks, so a page of another site could write with it; it sends the
    Origin of that page along too.
    """
    origin = request.META.get("HTTP_ORIGIN")
    if origin is None or request.method in READS:
        return
    # A proxy may have ended TLS without saying so: then the page's own scheme is as good.
    scheme = "https" if request.is_secure() else None
    if not is_listed(origin) and not is_own(origin, hosts=[request.get_host()], scheme=scheme):
        raise ForbiddenError(
            "pages of this origin may not write with a cookie; ALLOWED_ORIGINS names others."
        )


def identity_of(request: Request) -> Identity:
    """The identity of a request that needs one; 401 without."""
    if not isinstance(request.auth, Identity):
        raise InvalidCredentialsError
    return request.auth
