"""Following: a listener subscribes to the topics of other apps that its user may read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from notifications import selectors
from notifications.sources import NoticeRendering, Source
from notifications.texts import supported_language
from realtime import Position, RealtimeError, Rendering, Subscription

#: Topics that one listener follows: more than anybody reads, and what one connect may cost. A new topic never
#: replaces another, or anybody could silence all others with new ones; the inbox has the rest.
MAX_TOPICS = 1_000


class Listener(Protocol):
    """Follows topics for its user: a notifications socket, or the inbox's feed on a native socket."""

    @property
    def user_id(self) -> int: ...
    @property
    def user(self) -> Any: ...
    @property
    def run(self) -> Callable[..., Awaitable[Any]]: ...
    @property
    def spawn(self) -> Callable[..., object]: ...

    def listen_to(self, topic: str, rendering: Rendering, position: Position) -> None:
        """Subscribe to a topic from a position on."""

    def subscription_to(self, topic: str) -> Subscription | None:
        """The listener's subscription to a topic, if there is one."""

    def fail(self, error: RealtimeError) -> None:
        """End the listener, which cannot go on."""


class Following:
    """The topics that one listener follows, each with its source."""

    def __init__(self, listener: Listener) -> None:
        self._listener: Listener | None = listener
        self._followed: dict[str, Source] = {}
        self._language = supported_language(listener.user.language)
        #: Whether a task will ask again which topics the user may read.
        self._begins_anew = False

    def rendering_of(self, topic: str) -> Rendering | None:
        """The rendering of a followed topic's notices; None for a topic that is not followed."""
        source = self._followed.get(topic)
        return None if source is None else NoticeRendering(source, self._language)

    def begin(self, topics: selectors.Following) -> None:
        """Follow the topics that the user may read now."""
        for source, topic, head in topics.topics:
            if topic not in self._followed:
                self._listen(source, topic, after=head)

    def enter(self, source: Source, topic: str, *, after: int) -> None:
        """Follow one more topic after a seq: the user may read it from there on."""
        if self._listener is None:
            return
        followed = self._listener.subscription_to(topic)
        if followed is not None:
            # The topic may still be behind an earlier removal of the user. That removal must not end the new
            # subscription, and what was said between the two is not for this user.
            is_new = followed.seq < after
        else:
            is_new = len(self._followed) < MAX_TOPICS
        if is_new:
            self._listen(source, topic, after=after)

    def leave(self, topic: str) -> None:
        """Stop following a topic, which the user may no longer read."""
        self._followed.pop(topic, None)

    def was_misled(self, subscription: Subscription) -> bool:
        """A followed topic has another log: follow it anew if still allowed. False for other topics."""
        if subscription.topic not in self._followed:
            return False
        del self._followed[subscription.topic]
        subscription.end()
        if not self._begins_anew and self._listener is not None:
            self._begins_anew = True
            self._listener.spawn(self._begin_anew())
        return True

    def end(self) -> None:
        """The listener has ended: drop the reference to it, since it holds this object."""
        self._listener = None

    def _listen(self, source: Source, topic: str, *, after: int) -> None:
        if self._listener is None:
            return
        self._followed[topic] = source
        self._listener.listen_to(topic, NoticeRendering(source, self._language), Position(after))

    async def _begin_anew(self) -> None:
        """Follow again the topics whose log was another one, as far as the user may still read them."""
        self._begins_anew = False
        listener = self._listener
        if listener is None:
            return
        try:
            self.begin(await listener.run(selectors.following, user_id=listener.user_id, limit=MAX_TOPICS))
        except RealtimeError as error:
            listener.fail(error)
