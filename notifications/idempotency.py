"""Idempotency keys: a service's request is done once, and its answer is kept for a day.

A key is claimed before the work, and answered in the transaction of the work. A process that dies in between
leaves a claim without an answer; after a minute the next request takes it over.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec
from django.utils import timezone

from notifications.errors import (
    IdempotencyInProgressError,
    IdempotencyMismatchError,
    InvalidIdempotencyKeyError,
)
from notifications.models import IdempotencyKey
from realtime import RealtimeError, announcing, problem

KEPT = dt.timedelta(hours=24)
#: Longer than any request takes.
ABANDONED_AFTER = dt.timedelta(seconds=60)

_KEY = re.compile(r"[\x21-\x7e]{1,255}")


class Answer(NamedTuple):
    """The answer to a request, new or repeated."""

    status: int
    body: dict[str, Any]
    is_replayed: bool = False


def answer_once(
    *, scope: str, key: str, request: Mapping[str, Any], work: Callable[[], dict[str, Any]]
) -> Answer:
    """Do the work of a request (201), or repeat the answer to the first request with this key.

    A refusal (4xx) is kept as an answer; an error of the server (5xx) is not, so that the request may be
    tried again.
    """
    if not _KEY.fullmatch(key):
        raise InvalidIdempotencyKeyError
    claim = _claim(scope, _hash(key.encode()), _hash(msgspec.json.encode(request, order="deterministic")))
    if claim.status is not None:
        return Answer(claim.status, msgspec.json.decode(claim.body), is_replayed=True)
    try:
        with announcing():
            return _keep(claim, Answer(201, work()))
    except RealtimeError as error:
        if error.status >= 500 or isinstance(error, IdempotencyInProgressError):
            _release(claim)
            raise
        refusal = problem(error.status, error.code, error.message, retryable=error.retryable)
        return _keep(claim, Answer(error.status, refusal))
    except BaseException:
        _release(claim)
        raise


@announcing()
def _claim(scope: str, key: str, fingerprint: str) -> IdempotencyKey:
    """The row of a key; without a status it is claimed, and the caller has to answer it."""
    now = timezone.now()
    IdempotencyKey.objects.filter(created_at__lt=now - KEPT).delete()
    row, is_new = IdempotencyKey.objects.get_or_create(
        scope=scope, key=key, defaults={"fingerprint": fingerprint, "created_at": now}
    )
    if row.fingerprint != fingerprint:
        raise IdempotencyMismatchError
    if is_new or row.status is not None:
        return row
    abandoned = _claimed(row).filter(created_at__lt=now - ABANDONED_AFTER)
    if not abandoned.update(created_at=now):
        raise IdempotencyInProgressError(retry_after_ms=1000)
    row.created_at = now
    return row


def _keep(claim: IdempotencyKey, answer: Answer) -> Answer:
    body = msgspec.json.encode(answer.body).decode()
    if not _claimed(claim).update(status=answer.status, body=body):
        raise IdempotencyInProgressError(retry_after_ms=1000)  # taken over by another request: work is undone
    return answer


def _release(claim: IdempotencyKey) -> None:
    _claimed(claim).delete()


def _claimed(row: IdempotencyKey) -> Any:
    """The row as a query set, which is empty once another request has taken the claim over."""
    return IdempotencyKey.objects.filter(pk=row.pk, status=None, created_at=row.created_at)


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
