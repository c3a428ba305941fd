"""The consumer of the typing socket, one participant in one conversation: /ws/typing/{conversation_id}/."""

from __future__ import annotations

from typing import Annotated

import msgspec

from chat.errors import NotAParticipantError
from chat.events import conversation_topic
from chat.resuming import conversation_id_of, membership_of
from guide_dialect.consumer import COMMON_FRAMES, GuideConsumer
from guide_dialect.dialect import GuideDialect
from realtime import NOTHING, Bucket, Command, ErrorTold, Ref, Rendering, Subscription
from typing_indicator.events import Typing, TypingRendering, typing_topic
from typing_indicator.voices import Voice


class SetTyping(msgspec.Struct):
    """You type, or have stopped; may be sent at every keystroke."""

    is_typing: Annotated[bool, msgspec.Meta(examples=[True])]


class TypingIndicatorConsumer(GuideConsumer):
    """The socket of one conversation's typing. It does not show the user's own."""

    kind = "typing"
    guide = GuideDialect(default_command="typing")

    _voice: Voice | None = None

    async def authorize(self) -> None:
        conversation_id = conversation_id_of(self.path["conversation_id"])
        membership = await membership_of((self.user_id, conversation_id))
        assert self.access is not None
        self._voice = Voice(self.access, conversation_id, Bucket())
        self.join(typing_topic(conversation_id))
        # Subscribed for reactions: a message ends its sender's typing, a removal ends this socket.
        self.join(conversation_topic(conversation_id), position=membership.end, authorized_at=membership.end)

    def rendering_of(self, topic: str) -> Rendering:
        return TypingRendering() if topic.endswith(".typing") else NOTHING

    def on_access_lost(self, subscription: Subscription) -> None:
        self.refuse(NotAParticipantError())

    def _type(self, frame: SetTyping, _ref: Ref) -> None:
        if self._voice is not None:
            self._voice.say(is_typing=frame.is_typing)

    commands = {**GuideConsumer.commands, "typing": Command(SetTyping, _type)}
    frames = (Typing, *COMMON_FRAMES)
    guide_frames = (Typing, ErrorTold)

    async def left(self) -> None:
        if self._voice is not None:
            self._voice.fall_silent()
