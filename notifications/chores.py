"""What of notifications expires: the answers that are kept for services which ask twice."""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from notifications.idempotency import KEPT
from notifications.models import IdempotencyKey
from realtime import daily, delete_some


@daily("idempotency_keys")
def forget_idempotency_keys(_position: Any) -> tuple[int, Any]:
    """Using one deletes the old ones; the last are left."""
    return delete_some(IdempotencyKey.objects.filter(created_at__lt=timezone.now() - KEPT))
