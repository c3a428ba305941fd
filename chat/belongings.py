"""A user's data in conversations, for export and forgetting: memberships, cursors, messages and the name."""

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
    """Export the conversations that the user is a member of."""
    rows = Conversation.objects.filter(participants__user=user).order_by("pk")
    yield from rows.values("id", "kind", "title", "created_at").iterator(BATCH)


@exported("memberships")
def memberships(user: User) -> Iterator[Row]:
    """Export the user's memberships, with how far the user has received and read."""
    rows = Participant.objects.filter(user=user).order_by("conversation_id")
    yield from rows.values(
        "conversation_id", "role", "joined_at", "joined_seq", "delivered_seq", "read_seq"
    ).iterator(BATCH)


@exported("departures")
def departures(user: User) -> Iterator[Row]:
    """Export where the user last left each conversation."""
    rows = Departure.objects.filter(user=user).order_by("conversation_id")
    yield from rows.values("conversation_id", "seq").iterator(BATCH)


@exported("messages")
def messages(user: User) -> Iterator[Row]:
    """Export the user's messages, also in conversations they left; of a deleted one only that it existed."""
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
    """Remove the user from groups; a direct conversation keeps its two members."""
    shares = Participant.objects.filter(user=person.user_id, conversation__kind=Conversation.Kind.GROUP)
    left = 0
    while share := shares.select_related("user").order_by("pk").first():
        share.delete()
        left += 1
    delete_in_batches(Departure.objects.filter(user=person.user_id))
    return left


@forgotten("messages were deleted")
def said(person: Forgetting) -> int:
    """Delete the user's messages, if the operator asked for that."""
    return services.delete_messages_of(person.user) if person.deletes_messages else 0


@forgotten("logged events were rewritten without the name")
def logged_names(person: Forgetting) -> int:
    """Take the user's former names out of the logs, once the events logged under them have been sent."""
    return services.forget_name(person.user)
