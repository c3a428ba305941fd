"""Helpers that send messages without a client, and read what was stored of them."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from asgiref.sync import sync_to_async

from accounts.models import User
from chat.events import conversation_topic
from chat.models import Conversation, Message, Participant
from chat.services import Draft, Sent, send_messages
from realtime import log
from realtime.log import positions
from realtime.models import LoggedEvent

#: Runs synchronous code from a test's loop, in a thread with a database connection of its own.
aside = sync_to_async


def chat_path(conversation: Conversation, query: str = "") -> str:
    return f"/ws/chat/{conversation.pk}/{query}"


def send(drafts: Sequence[Draft], **options: Any) -> list[Any]:
    """The outcomes of a batch, which the test knows the types of."""
    return list(send_messages(drafts, **options))


def say(
    conversation: Conversation, sender: User, content: str = "Bonjour", client_id: UUID | None = None
) -> Sent:
    """Send one message, which must be stored."""
    [outcome] = send_messages([Draft(conversation.pk, sender, content, client_id)])
    assert isinstance(outcome, Sent), outcome
    return outcome


def head_of(conversation: Conversation) -> int:
    topic = conversation_topic(conversation.pk)
    return log.heads([topic])[topic]


def logged(conversation: Conversation) -> list[str]:
    """The conversation's log, read past the product: the very texts that clients are told."""
    topic = conversation_topic(conversation.pk)
    rows = LoggedEvent.objects.filter(topic__name=topic).order_by("seq")
    return [
        positions.placed(body, seq, positions.mark_of(topic, seq, stored_at))
        for seq, body, stored_at in rows.values_list("seq", "body", "created_at")
    ]


def contents(conversation: Conversation) -> list[str]:
    """The messages of the conversation, in order."""
    rows = Message.objects.filter(conversation=conversation).order_by("seq")
    return list(rows.values_list("content", flat=True))


def share_of(user: User, conversation: Conversation) -> Participant:
    return Participant.objects.get(user=user, conversation=conversation)


async def told_until(socket: Any, last: str) -> list[dict[str, Any]]:
    """All frames up to and including the message whose content is `last`."""
    frames = []
    while not frames or frames[-1].get("content") != last:
        frames.append(await socket.receive())
    return frames
