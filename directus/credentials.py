"""Credentials of Directus clients: who a token stands for, and how sessions begin, go on and end.

All functions are synchronous, for a thread. They stand on `accounts`: an access token, and a session token,
which is an access token of a cookie, is read by `accounts.tokens` and checked against the stored session.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

from django.http import parse_cookie

from accounts import hashing, services, tokens
from accounts.models import Session
from accounts.serializers import MAX_PASSWORD_CHARACTERS
from accounts.throttling import count_sign_in
from accounts.tokens import Identity, Pair
from directus import static_tokens
from directus.errors import InvalidCredentialsError, InvalidTokenError
from realtime import (
    AccountDisabledError,
    SessionRevokedError,
    TokenExpiredError,
    UnauthenticatedError,
    client_address,
)

#: The names of the cookies, which clients know.
SESSION_COOKIE = "directus_session_token"
REFRESH_COOKIE = "directus_refresh_token"


def identify(token: str) -> Identity:
    """The identity of an access token, a session token or a static token.

    Raises DirectusErrors and errors of accounts; `directus.errors.told` has their codes.
    """
    if not static_tokens.JWT.fullmatch(token):
        return static_tokens.identify(token)
    try:
        return tokens.identify(token)
    except (TokenExpiredError, SessionRevokedError):
        raise
    except UnauthenticatedError:
        raise InvalidTokenError from None


def sign_in(*, email: str, password: str, source: object, user_agent: str = "") -> Pair:
    """An access token and a refresh token for this e-mail (or username) and password.

    `source` is the Django request or the ASGI scope that asks: the attempt is counted for its address before
    anything is hashed.
    """
    return tokens.pair(_open_session(email, password, source, user_agent))


def sign_in_for_cookie(*, email: str, password: str, source: object, user_agent: str = "") -> str:
    """A session token for this e-mail (or username) and password; counted as `sign_in` is."""
    return str(tokens.session_token(_open_session(email, password, source, user_agent)))


def _open_session(email: str, password: str, source: object, user_agent: str) -> Session:
    can_be_right = _is_storable(email) and _is_storable(password) and len(password) <= MAX_PASSWORD_CHARACTERS
    count_sign_in(source, email if can_be_right else "")
    if not can_be_right:
        raise InvalidCredentialsError
    with hashing.on_behalf_of(source):
        return services.open_session(
            username=email, password=password, user_agent=user_agent, address=client_address(source)
        )


def _is_storable(text: str) -> bool:
    """Whether a name or a password can be one: a database takes neither U+0000 nor half a character."""
    return bool(text) and "\0" not in text and not any("\ud800" <= each <= "\udfff" for each in text)


def refresh(token: str) -> Pair:
    """Trade a refresh token for the next pair."""
    try:
        return services.refresh(token=token)
    except UnauthenticatedError:  # expired, used up, signed out, forged: it buys nothing
        raise InvalidCredentialsError from None


def renew(token: str) -> str:
    """Trade a session token for the next one; the old one stays valid for a minute."""
    try:
        return str(services.renew(token=token))
    except UnauthenticatedError:
        raise InvalidCredentialsError from None


def sign_out(*, refresh_token: str | None = None, session_token: str | None = None) -> None:
    """End the session of a token, with its sockets; a token that is not valid any more has nothing to end."""
    with contextlib.suppress(UnauthenticatedError, AccountDisabledError):
        services.sign_out(access_token=session_token, refresh_token=refresh_token)


def cookie(headers: Iterable[tuple[bytes, bytes]], name: str) -> str | None:
    """A cookie among the headers of an ASGI scope; None where it is absent or empty."""
    for header, value in headers:
        if header == b"cookie" and (found := parse_cookie(value.decode("latin1")).get(name)):
            return found
    return None
