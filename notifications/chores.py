"""The daily chore of notifications: it deletes expired answers to services."""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from notifications.idempotency import KEPT
from notifications.models import IdempotencyKey
from realtime import daily, delete_some


@daily("idempotency_keys")
def forget_idempotency_keys(_position: Any) -> tuple[int, Any]:
    """Delete expired idempotency keys. Each new key deletes older ones too, so few are left here."""
    return delete_some(IdempotencyKey.objects.filter(created_at__lt=timezone.now() - KEPT))
