"""The consumer that the guide leads to: stores a message and sends it to the group; each socket writes it."""

import json
from typing import Any

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer

from bench.peers.guide.models import Message


class ChatConsumer(AsyncWebsocketConsumer):
    """The socket of one conversation: /ws/chat/{conversation_id}/."""

    async def connect(self) -> None:
        self.conversation_id = self.scope["url_route"]["kwargs"]["conversation_id"]
        self.group_name = f"chat_{self.conversation_id}"
        await self.channel_layer.group_add(self.group_name, self.channel_name)
        await self.accept()

    async def disconnect(self, code: int) -> None:
        await self.channel_layer.group_discard(self.group_name, self.channel_name)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        content = json.loads(text_data or "{}")["message"]
        message = await self.save_message(content)
        user = self.scope["user"]
        event = {
            "type": "chat_message",
            "message_id": message.pk,
            "sender_id": user.pk,
            "sender_username": user.username,
            "content": message.content,
            "created_at": message.created_at.isoformat(),
            "is_read": message.is_read,
        }
        await self.channel_layer.group_send(self.group_name, event)

    async def chat_message(self, event: dict[str, Any]) -> None:
        await self.send(text_data=json.dumps({**event, "type": "message"}))

    @database_sync_to_async
    def save_message(self, content: str) -> Message:
        user = self.scope["user"]
        return Message.objects.create(
            conversation_id=self.conversation_id,
            sender=user if user.is_authenticated else None,
            content=content,
        )
