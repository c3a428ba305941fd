"""A membership that is deleted without a service of ours (a shell, somebody's code) ends all the same."""

from __future__ import annotations

from typing import Any

from django.db.models import Model, QuerySet
from django.db.models.signals import post_delete
from django.dispatch import receiver

from chat import services
from chat.models import Participant


@receiver(post_delete, sender=Participant, dispatch_uid="chat.member_deleted")
def tell_that_member_is_gone(instance: Participant, origin: Model | QuerySet[Any], **_: Any) -> None:
    # With a conversation everything of it goes, with a user all sockets: there is nobody left to tell.
    if (origin.model if isinstance(origin, QuerySet) else type(origin)) is Participant:
        services.was_removed(instance)
