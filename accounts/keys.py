"""The keys that sign our tokens, and what a token must look like before anybody reads it.

A token with our usual header is checked here. PyJWT, which takes ten times as long, checks other headers and
unusual claims. `tokens.py` decides what the claims mean.
"""

from __future__ import annotations

import hmac
import json
import re
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from functools import lru_cache
from typing import Any

from django.conf import settings
from rest_framework_simplejwt.backends import TokenBackend
from rest_framework_simplejwt.exceptions import TokenBackendError, TokenBackendExpiredToken

ALGORITHM = "HS256"
MAX_TOKEN_CHARACTERS = 4096  # ours have about 330; a header line may hold more, and hashing it is work

# RFC 7515 compact form, and nothing the decoder would forgive: no padding, no white space, no fourth part.
_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
# Every other header member names a key or an extension (kid, jku, jwk, x5u, crit, b64…): we have neither.
_HEADER_MEMBERS = frozenset({"alg", "typ"})
# A claim that ties a token to an audience or issuer: we make none, so such a token is not for us.
_FOREIGN_CLAIMS = frozenset({"aud", "iss"})
# Claims that only PyJWT checks.
_UNUSUAL_CLAIMS = frozenset({"nbf", "sub"})
# The header of each token of ours, encoded: it need not be parsed.
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
        if token.startswith(f"{_OUR_HEADER}."):
            claims = _signed_claims(token)
            if _are_usual(claims):
                return claims
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


def _signed_claims(token: str) -> dict[str, Any]:
    """The claims of a token with our usual header, if we signed it."""
    signed, _, signature = token.rpartition(".")
    body = signed.partition(".")[2]
    if not any(_is_signature(signature, signed, key) for key in _keys()):
        raise TokenBackendError("Token is invalid")
    return _read(body)


def _read(part: str) -> dict[str, Any]:
    """Decode the header or the claims: a JSON object in canonical base64."""
    try:
        text = urlsafe_b64decode(part + "=" * (-len(part) % 4))
        members = json.loads(text)
    except (ValueError, RecursionError):
        raise TokenBackendError("Token is invalid") from None
    if type(members) is not dict or _unpadded(text) != part.encode():
        raise TokenBackendError("Token is invalid")
    return members


def _is_signature(signature: str, signed: str, key: str) -> bool:
    digest = hmac.digest(_backend(key).prepared_signing_key, signed.encode(), "sha256")
    # Compared as texts: of two texts for the same bytes, only one is canonical.
    return hmac.compare_digest(_unpadded(digest), signature.encode())


def _unpadded(data: bytes) -> bytes:
    return urlsafe_b64encode(data).rstrip(b"=")


def _are_usual(claims: dict[str, Any]) -> bool:
    """Whether the claims are of the kinds that we make, and the token is valid now."""
    exp, now = claims.get("exp"), time.time()
    if type(exp) is not int or exp <= now or not _UNUSUAL_CLAIMS.isdisjoint(claims):
        return False
    _check_claims(claims)
    return bool(claims.get("iat", 0) <= now)


def _check_header(token: str) -> None:
    header = _read(token.partition(".")[0])
    if not header.keys() <= _HEADER_MEMBERS or str(header.get("typ", "JWT")).upper() != "JWT":
        raise TokenBackendError("Token is invalid")


def _check_claims(claims: dict[str, Any]) -> None:
    """Check what PyJWT and simplejwt leave open: types that they would convert or fail on."""
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
