"""Signal receivers: rows changed without our services (admin, shell, cascade) have consequences too."""

from __future__ import annotations

from typing import Any

from django.db.models.signals import post_delete, post_save
from django.dispatch import receiver

from accounts import handles, services
from accounts.models import Session, User
from accounts.signals import access_withdrawn, renamed


@receiver(access_withdrawn, sender=User, dispatch_uid="accounts.access_withdrawn")
def end_sessions(user: User, disabled: bool, **_: Any) -> None:  # noqa: FBT001 - signals pass keywords
    services.access_was_withdrawn(user=user, disabled=disabled)


@receiver(renamed, sender=User, dispatch_uid="accounts.user_renamed")
def tell_new_name(user: User, **_: Any) -> None:
    services.was_renamed(user=user)


@receiver(post_save, sender=User, dispatch_uid="accounts.user_saved")
def keep_handles(instance: User, using: str, update_fields: frozenset[str] | None = None, **_: Any) -> None:
    if update_fields is None or not handles.NAMED.isdisjoint(update_fields):
        handles.follow([instance.pk], using=using)


@receiver(post_delete, sender=User, dispatch_uid="accounts.user_deleted")
def end_sockets_of_user(instance: User, **_: Any) -> None:
    services.was_deleted(user_id=instance.pk)


@receiver(post_delete, sender=Session, dispatch_uid="accounts.session_deleted")
def end_sockets_of_session(instance: Session, **_: Any) -> None:
    if instance.revoked_at is None:
        services.was_deleted(user_id=instance.user_id, session_id=str(instance.pk))
