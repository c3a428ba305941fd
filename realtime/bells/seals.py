"""A seal on what travels between processes: who writes to Redis without our secret tells nobody anything."""

from __future__ import annotations

import hashlib
import hmac
from functools import lru_cache

from django.conf import settings

#: Bytes in front of what is sealed.
_SIZE = 16


def sealed(payload: bytes) -> bytes:
    """As it travels."""
    return _seal(settings.SECRET_KEY, payload) + payload


def opened(data: bytes) -> bytes | None:
    """What was sealed, by us or with a key that is being replaced; None when nobody of ours did."""
    seal, payload = data[:_SIZE], data[_SIZE:]
    for secret in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS):
        if hmac.compare_digest(seal, _seal(secret, payload)):
            return payload
    return None


def _seal(secret: str, payload: bytes) -> bytes:
    return hashlib.blake2b(payload, digest_size=_SIZE, key=_key(secret)).digest()


@lru_cache
def _key(secret: str) -> bytes:
    """A key for this and nothing else: what a seal could tell of it says nothing about the secret."""
    return hashlib.blake2b(secret.encode(), digest_size=32, person=b"relais.seals").digest()
