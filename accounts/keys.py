"""The keys that sign our tokens, and what a token must look like before anybody reads it.

A token exactly as we write them is checked here, in one look; any other is left to PyJWT, which takes ten
times as long. What the claims mean is decided in `tokens.py`.
"""

from __future__ import annotations

import hmac
import json
import re
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
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
# What PyJWT has more to say of than we do.
_UNUSUAL_CLAIMS = frozenset({"nbf", "sub"})
# How each token of ours begins: nothing of it is left to be read.
_OUR_HEADER = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9"  # {"alg":"HS256","typ":"JWT"}
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
        ours = _recognised(token)
        if ours is not None:
            return ours
        _check_header(token)
        for key in _keys():
            try:
                claims = _backend(key).decode(token)  # type: ignore[arg-type]  # simplejwt types its text as a Token
            except TokenBackendExpiredToken:
                raise
            except TokenBackendError:
                continue
            _check_claims(claims)
            return claims
        raise TokenBackendError("Token is invalid")


def _keys() -> tuple[str, ...]:
    return (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)


def _recognised(token: str) -> dict[str, Any] | None:
    """The claims of a token that is as we write them, signed by us and valid now; None says nothing of it."""
    signed, _, signature = token.rpartition(".")
    head, _, body = signed.partition(".")
    if head != _OUR_HEADER or not any(_is_signature(signature, signed, key) for key in _keys()):
        return None
    try:
        text = urlsafe_b64decode(body + "=" * (-len(body) % 4))
        claims = json.loads(text)
        return claims if _unpadded(text) == body.encode() and _are_usual(claims) else None
    except (ValueError, RecursionError, TokenBackendError):
        return None


def _is_signature(signature: str, signed: str, key: str) -> bool:
    digest = hmac.digest(_backend(key).prepared_signing_key, signed.encode(), "sha256")
    # As texts: of two that stand for the same bytes, one is not as we write it.
    return hmac.compare_digest(_unpadded(digest), signature.encode())


def _unpadded(data: bytes) -> bytes:
    return urlsafe_b64encode(data).rstrip(b"=")


def _are_usual(claims: Any) -> bool:
    """Whether these are claims as we make them, of a token that has not expired."""
    if type(claims) is not dict or not _UNUSUAL_CLAIMS.isdisjoint(claims):
        return False
    _check_claims(claims)
    now = time.time()
    return int(claims["exp"]) > now and claims.get("iat", 0) <= now


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
