"""Notices of conversations on notifications sockets: "John sent a message", shown to everybody but John."""

from __future__ import annotations

from chat.events import conversation_topic
from chat.selectors import heads_of_conversations
from notifications.sources import Notice, register_source
from realtime import Delivery


class ConversationNotices:
    """A message is a notice to every other member, whether or not they have the conversation open."""

    entered_on = "conversation_joined"

    def topics(self, user_id: int, limit: int) -> dict[str, int]:
        heads = heads_of_conversations(user_id=user_id, limit=limit)
        return {conversation_topic(conversation_id): head for conversation_id, head in heads.items()}

    def notice(self, delivery: Delivery) -> Notice | None:
        if delivery.type != "message":
            return None
        message = delivery.fields
        return Notice(
            kind="message_received",
            data={"conversation_id": message["conversation_id"]},
            variables={"sender": message["sender_username"]},
            not_for=message["sender_id"],
        )

    def entered(self, delivery: Delivery) -> tuple[str, int]:
        return conversation_topic(delivery.fields["conversation_id"]), delivery.fields["conversation_seq"]


register_source(ConversationNotices())
