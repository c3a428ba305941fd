"""Signal receivers: changes made without a service (a shell, the admin, a cascade) have the same
consequences.

The deletion of a membership is announced, and the groups of a disabled or deleted account get an heir.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from django.db import transaction
from django.db.models import Model, QuerySet
from django.db.models.signals import post_delete, pre_delete
from django.dispatch import receiver

from accounts.models import User
from accounts.signals import account_switched, renamed
from chat import services
from chat.models import Participant


@receiver(pre_delete, sender=Participant, dispatch_uid="chat.member_goes")
def lock_before_member_goes(instance: Participant, origin: Model | QuerySet[Any], **_: Any) -> None:
    if _is_about_members(origin):
        services.will_be_removed(instance)


@receiver(post_delete, sender=Participant, dispatch_uid="chat.member_deleted")
def tell_that_member_is_gone(instance: Participant, origin: Model | QuerySet[Any], **_: Any) -> None:
    if _is_about_members(origin):
        services.was_removed(instance)


def _is_about_members(origin: Model | QuerySet[Any]) -> bool:
    """Whether memberships alone are deleted, not with a conversation or a user (handled elsewhere)."""
    return (origin.model if isinstance(origin, QuerySet) else type(origin)) is Participant


@receiver(pre_delete, sender=User, dispatch_uid="chat.user_deleted")
def tell_that_user_is_gone(instance: User, origin: Model | QuerySet[Any], **_: Any) -> None:
    if isinstance(origin, QuerySet) and origin.model is User:
        together = origin.order_by("pk").values_list("pk", flat=True)
        if together.first() == instance.pk:  # Django sends the signals in this order; the first locks for all
            services.users_will_be_deleted(list(together))
    services.user_is_deleted(instance)


@receiver(account_switched, sender=User, dispatch_uid="chat.account_switched")
def appoint_heirs(user: User, **_: Any) -> None:
    services.account_was_switched(user_id=user.pk, is_active=user.is_active)


@receiver(renamed, sender=User, dispatch_uid="chat.user_renamed")
def tell_conversations_the_name(user: User, **_: Any) -> None:
    # Robust: the new name is stored, even if announcing it fails.
    transaction.on_commit(partial(services.tell_new_name, user_id=user.pk), robust=True)
