"""The anon key: the key that a page gives to `createClient`, and that says nothing about its user.

It is a token of a type of its own, so it is no access token anywhere else. It follows from SECRET_KEY, and
those of SECRET_KEY_FALLBACKS are good as well.
"""

from __future__ import annotations

import hmac
from functools import lru_cache

from django.conf import settings
from rest_framework_simplejwt.backends import TokenBackend

from accounts.keys import ALGORITHM

#: It never expires; clients want a time in it all the same: the last second of the year 2099.
_EXPIRES_AT = 4_102_444_799


def anon_key() -> str:
    """The anon key of this server."""
    return _signed_with(settings.SECRET_KEY)


def is_anon_key(text: str) -> bool:
    """Whether a text is an anon key of this server, now or before its keys were rotated."""
    keys = map(_signed_with, (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS))
    given = text.encode(errors="replace")
    return any(hmac.compare_digest(given, key.encode()) for key in keys)


@lru_cache(maxsize=8)
def _signed_with(key: str) -> str:
    claims = {"token_type": "anon", "role": "anon", "jti": "anon", "exp": _EXPIRES_AT}
    return TokenBackend(ALGORITHM, signing_key=key).encode(claims)
