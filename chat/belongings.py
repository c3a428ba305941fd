"""A user's data in conversations, to export and to forget: memberships, cursors, messages and the name."""

from __future__ import annotations

from collections.abc import Iterator

from django.db.models import F

from accounts.belongings import delete_in_batches
from accounts.leaving import BATCH, Row, exported, forgotten
from accounts.models import Forgetting, User
from chat import services
from chat.models import Conversation, Departure, Message, Participant


@exported("conversations")
def conversations(user: User) -> Iterator[Row]:
    """Those they are a member of."""
    rows = Conversation.objects.filter(participants__user=user).order_by("pk")
    yield from rows.values("id", "kind", "title", "created_at").iterator(BATCH)


@exported("memberships")
def memberships(user: User) -> Iterator[Row]:
    """Their part in each of them, with how far they received and read."""
    rows = Participant.objects.filter(user=user).order_by("conversation_id")
    yield from rows.values(
        "conversation_id", "role", "joined_at", "joined_seq", "delivered_seq", "read_seq"
    ).iterator(BATCH)


@exported("departures")
def departures(user: User) -> Iterator[Row]:
    """Where they left, the last time."""
    rows = Departure.objects.filter(user=user).order_by("conversation_id")
    yield from rows.values("conversation_id", "seq").iterator(BATCH)


@exported("messages")
def messages(user: User) -> Iterator[Row]:
    """What they said, also where they are no member any more; of deleted ones only that they were there."""
    rows = Message.objects.filter(sender=user).order_by("pk").annotate(message_id=F("pk"))
    yield from rows.values(
        "message_id",
        "conversation_id",
        "seq",
        "client_id",
        "content",
        "created_at",
        "edited_at",
        "deleted_at",
    ).iterator(BATCH)


@forgotten("groups were left")
def groups(person: Forgetting) -> int:
    """Direct conversations keep their two members."""
    shares = Participant.objects.filter(user=person.user_id, conversation__kind=Conversation.Kind.GROUP)
    left = 0
    while share := shares.select_related("user").order_by("pk").first():
        share.delete()
        left += 1
    delete_in_batches(Departure.objects.filter(user=person.user_id))
    return left


@forgotten("messages were deleted")
def said(person: Forgetting) -> int:
    """Only where the operator wants it."""
    return services.delete_messages_of(person.user) if person.deletes_messages else 0


@forgotten("logged events were rewritten without the name")
def logged_names(person: Forgetting) -> int:
    """After what was said in between has been told."""
    return services.forget_name(person.user)
