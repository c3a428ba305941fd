"""One participant's typing socket: /ws/typing/{conversation_id}/."""

from __future__ import annotations

import time

import msgspec

from chat.consumers import conversation_id_in, membership_of
from chat.errors import NotAParticipantError
from chat.events import conversation_topic
from guide_dialect.consumer import GuideConsumer
from guide_dialect.dialect import GuideDialect
from realtime import NOTHING, Bucket, Command, Ref, Rendering, Subscription, conf, publish_now
from typing_indicator.events import (
    COALESCE_SECONDS,
    TYPING_TTL_SECONDS,
    TypingRendering,
    typing,
    typing_topic,
)
from typing_indicator.typists import is_typing_here


class SetTyping(msgspec.Struct):
    is_typing: bool


class TypingIndicatorConsumer(GuideConsumer):
    """Tells the others that its user types, if the user shares it; coalesced, since pages say it often."""

    kind = "typing"
    guide = GuideDialect(default_command="typing")

    conversation_id = 0
    #: When it last told the others that its user types; None once it told that they stopped.
    _told_at: float | None = None

    async def authorize(self) -> None:
        self.conversation_id = conversation_id_in(self.path)
        membership = await membership_of((self.user_id, self.conversation_id))
        self._typing_bucket = Bucket()
        self.join(typing_topic(self.conversation_id))
        # Joined for reactions: a message ends its sender's typing, a removal ends this socket.
        self.join(
            conversation_topic(self.conversation_id), position=membership.end, authorized_at=membership.end
        )

    def rendering_of(self, topic: str) -> Rendering:
        return TypingRendering() if topic.endswith(".typing") else NOTHING

    def on_access_lost(self, subscription: Subscription) -> None:
        self.refuse(NotAParticipantError())

    def _type(self, frame: SetTyping, _ref: Ref) -> None:
        is_typing = frame.is_typing
        now = time.monotonic()
        since_told = self._since_told(now)
        is_news = since_told >= COALESCE_SECONDS if is_typing else since_told < TYPING_TTL_SECONDS
        if is_news and not self._typing_bucket.wait(conf.limit_typing, now):
            self._tell(is_typing=is_typing)

    commands = {**GuideConsumer.commands, "typing": Command(SetTyping, _type)}

    async def left(self) -> None:
        if self._since_told(time.monotonic()) < TYPING_TTL_SECONDS:
            self._tell(is_typing=False)

    def _since_told(self, now: float) -> float:
        """Seconds since this socket told that its user types; the full time if that has ended since."""
        if self._told_at is None or not is_typing_here(typing_topic(self.conversation_id), self.user_id):
            return TYPING_TTL_SECONDS
        return now - self._told_at

    def _tell(self, *, is_typing: bool) -> None:
        if not self.user.shares_typing:
            return  # nor that they stopped: what was told before the setting changed expires
        self._told_at = time.monotonic() if is_typing else None
        event = typing(
            username=self.user.username,
            user_id=self.user_id,
            conversation_id=self.conversation_id,
            is_typing=is_typing,
        )
        publish_now(typing_topic(self.conversation_id), event)
