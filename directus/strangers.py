"""Requests that need not take turns with strangers, by the credentials that only this dialect has."""

from __future__ import annotations

from collections.abc import Iterable

from accounts.authentication import bearer_token
from accounts.tokens import claims_of
from directus import credentials, static_tokens
from realtime import RealtimeError


def has_credential(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether the headers hold a session token as a cookie, or a static token that was good a moment ago.

    An access token in the `Authorization` header is seen by `accounts.strangers.has_token`.
    """
    headers = list(headers)
    if (token := credentials.cookie(headers, credentials.SESSION_COOKIE)) is not None:
        try:
            claims_of(token)
        except RealtimeError:
            return False
        return True
    for name, value in headers:
        if name == b"authorization" and (token := bearer_token(value.decode("latin1"))) is not None:
            return static_tokens.was_seen(token)
    return False
