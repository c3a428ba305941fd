"""A bell is a message between processes: it carries the events of one batch, sealed with the secret.

It may be lost, doubled or late. The database is the truth, and every hub compares itself with it. A topic's
bells travel in the group of its shard, so that a process hears only shards that somebody there listens to.

A message without a valid seal is ignored: whoever writes to Redis must know `SECRET_KEY` to be heard.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import uuid
import zlib
from functools import lru_cache
from typing import Any

import msgspec
from django.conf import settings

from realtime.bells import metrics
from realtime.defaults import conf

logger = logging.getLogger(__name__)

#: Bytes of the seal, which precedes the payload.
_SEAL_SIZE = 16


class Ring(msgspec.Struct, array_like=True):
    """One event in a bell."""

    topic: str
    seq: int | None
    body: str


class Bell(msgspec.Struct):
    """The content of a bell; a message that holds anything else is ignored."""

    origin: str
    #: Empty from a process that has just started, maybe in the place of one that died before it rang.
    rings: list[Ring]
    #: When the oldest of the events was announced, by the ringing process's clock; 0 if that is not known.
    told_at: float = 0.0


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Bell)

_origin = uuid.uuid4().hex


def origin() -> str:
    """The name of this process in its bells; a forked child has another one."""
    return _origin


def _rename_child() -> None:
    global _origin  # noqa: PLW0603 - one per process
    _origin = uuid.uuid4().hex


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(after_in_child=_rename_child)


# --- shards -------------------------------------------------------------------------------------------


def shard_of(topic: str) -> int:
    """The shard whose group carries the bells of a topic."""
    return zlib.crc32(topic.encode()) % conf.bell_shards


def group_of(shard: int) -> str:
    """The group of the channel layer that carries a shard."""
    return f"relais.bells.{shard}"


# --- messages -----------------------------------------------------------------------------------------


def encode(rings: list[Ring], *, told_at: float = 0.0) -> dict[str, Any]:
    """A bell of this process, as the message that the channel layer carries."""
    return {"type": "bell", "bell": sealed(_encoder.encode(Bell(origin(), rings, told_at)))}


def decode(message: Any) -> Bell:
    """The bell in a message; KeyError, TypeError or MsgspecError where there is none with a valid seal."""
    return _decoder.decode(opened(message["bell"]) or b"")


def heard_in(message: Any) -> Bell | None:
    """The bell in a message from another process; None for this process's own, and for anything else."""
    try:
        bell = decode(message)
    except (KeyError, TypeError, msgspec.MsgspecError):
        logger.warning("Ignored a message of the channel layer that is no bell")
        metrics.BELLS.add("unreadable")
        return None
    if bell.origin == origin():
        return None
    metrics.BELLS.add("heard")
    return bell


# --- seals --------------------------------------------------------------------------------------------


def sealed(payload: bytes) -> bytes:
    """The payload behind a seal made with the project's secret."""
    return _seal(settings.SECRET_KEY, payload) + payload


def opened(data: bytes) -> bytes | None:
    """The payload of sealed data; None unless SECRET_KEY, or one of its fallbacks, made the seal."""
    seal, payload = data[:_SEAL_SIZE], data[_SEAL_SIZE:]
    for secret in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS):
        if hmac.compare_digest(seal, _seal(secret, payload)):
            return payload
    return None


def _seal(secret: str, payload: bytes) -> bytes:
    return hashlib.blake2b(payload, digest_size=_SEAL_SIZE, key=_key(secret)).digest()


@lru_cache
def _key(secret: str) -> bytes:
    """A key for seals only, so that a seal reveals nothing about the secret."""
    return hashlib.blake2b(secret.encode(), digest_size=32, person=b"relais.seals").digest()
