"""The keys that sign our tokens, and what a token must look like before anybody reads it.

What its claims mean is decided in `tokens.py`.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import jwt
from django.conf import settings
from rest_framework_simplejwt.backends import TokenBackend
from rest_framework_simplejwt.exceptions import TokenBackendError, TokenBackendExpiredToken

ALGORITHM = "HS256"
MAX_TOKEN_CHARACTERS = 4096  # ours have about 330; a header line may hold more, and hashing it is work

# RFC 7515 compact form, and nothing the decoder would forgive: no padding, no white space, no fourth part.
_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
# Every other header member names a key or an extension (kid, jku, jwk, x5u, crit, b64…): we have neither.
_HEADER_MEMBERS = frozenset({"alg", "typ"})
# A claim that ties a token to another audience or issuer: we mint none, so such a token is not for us.
_FOREIGN_CLAIMS = frozenset({"aud", "iss"})
_LAST_SECOND = 253_402_300_799  # of the year 9999, where Python's calendar ends


@lru_cache(maxsize=8)
def _backend(key: str) -> TokenBackend:
    return TokenBackend(ALGORITHM, signing_key=key)


class KeyRing(TokenBackend):
    """Signs with SECRET_KEY; verifies with it and, while keys rotate, with SECRET_KEY_FALLBACKS."""

    def __init__(self) -> None:
        super().__init__(ALGORITHM)

    def encode(self, payload: dict[str, Any]) -> str:
        return _backend(settings.SECRET_KEY).encode(payload)

    def decode(self, token: Any, verify: bool = True) -> dict[str, Any]:  # noqa: FBT001, FBT002 - theirs
        """The claims of a well-signed token; `verify=False` is ignored: nothing unsigned is ever read."""
        if not isinstance(token, str) or len(token) > MAX_TOKEN_CHARACTERS or not _COMPACT.fullmatch(token):
            raise TokenBackendError("Token is invalid")
        _check_header(token)
        for key in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS):
            try:
                claims = _backend(key).decode(token)  # type: ignore[arg-type]  # simplejwt types its text as a Token
            except TokenBackendExpiredToken:
                raise
            except TokenBackendError:
                continue
            _check_claims(claims)
            return claims
        raise TokenBackendError("Token is invalid")


def _check_header(token: str) -> None:
    try:
        header = jwt.get_unverified_header(token)
    except jwt.InvalidTokenError as error:
        raise TokenBackendError("Token is invalid") from error
    if not header.keys() <= _HEADER_MEMBERS or str(header.get("typ", "JWT")).upper() != "JWT":
        raise TokenBackendError("Token is invalid")


def _check_claims(claims: dict[str, Any]) -> None:
    """What PyJWT and simplejwt leave open: types they would convert or stumble over."""
    times = [claims.get("exp"), *(claims[name] for name in ("iat", "nbf") if name in claims)]
    identifier = claims.get("jti")
    if (
        not all(type(time) in (int, float) and 0 <= time <= _LAST_SECOND for time in times)
        or not isinstance(identifier, str)
        or not 0 < len(identifier) <= 255  # the width of simplejwt's column
        or not _FOREIGN_CLAIMS.isdisjoint(claims)
    ):
        raise TokenBackendError("Token is invalid")


key_ring = KeyRing()
