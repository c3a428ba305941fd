"""Signal receivers: a static token that is deleted, by whomever, ends the sockets that it opened."""

from __future__ import annotations

from typing import Any

from django.db.models.signals import post_delete
from django.dispatch import receiver

from accounts.services import was_deleted
from directus.models import StaticToken


@receiver(post_delete, sender=StaticToken, dispatch_uid="directus.static_token_deleted")
def end_sockets_of_token(instance: StaticToken, **_: Any) -> None:
    was_deleted(user_id=instance.user_id, session_id=str(instance.pk))
