"""A voice announces that a socket's user types in a conversation: coalesced, and only if shared."""

from __future__ import annotations

import time

from realtime import Access, Bucket, conf, publish_now
from typing_indicator.events import COALESCE_SECONDS, TYPING_TTL_SECONDS, typing, typing_topic
from typing_indicator.typists import is_typing_here


class Voice:
    """The typing of one socket's user in one conversation. `bucket` is the socket's share of LIMIT_TYPING."""

    __slots__ = ("_access", "_bucket", "_conversation_id", "_told_at")

    def __init__(self, access: Access, conversation_id: int, bucket: Bucket) -> None:
        self._access = access
        self._conversation_id = conversation_id
        self._bucket = bucket
        #: When it last announced that the user types; None after it announced that they stopped.
        self._told_at: float | None = None

    def say(self, *, is_typing: bool) -> None:
        """Announce that the user types, or stopped, if that is news: a page calls this at every keystroke."""
        now = time.monotonic()
        since_told = self._since_told(now)
        is_news = since_told >= COALESCE_SECONDS if is_typing else since_told < TYPING_TTL_SECONDS
        if is_news and not self._bucket.wait(conf.limit_typing, now):
            self._tell(is_typing=is_typing)

    def fall_silent(self) -> None:
        """Announce that the user stopped, when the socket closes."""
        if self._since_told(time.monotonic()) < TYPING_TTL_SECONDS:
            self._tell(is_typing=False)

    def _since_told(self, now: float) -> float:
        """Seconds since typing was announced; the full time if it has ended since."""
        topic, user_id = typing_topic(self._conversation_id), self._access.user_id
        if self._told_at is None or user_id is None or not is_typing_here(topic, user_id):
            return TYPING_TTL_SECONDS
        return now - self._told_at

    def _tell(self, *, is_typing: bool) -> None:
        user = self._access.user
        if not user.shares_typing:
            return  # nothing is announced, not even the end: what was announced before expires
        self._told_at = time.monotonic() if is_typing else None
        event = typing(
            username=user.username,
            user_id=user.pk,
            conversation_id=self._conversation_id,
            is_typing=is_typing,
        )
        publish_now(typing_topic(self._conversation_id), event)
