"""Companions: topics of apps above the chat that are sent along with a conversation."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple

from realtime import Event, Rendering

if TYPE_CHECKING:
    from native.feeds import Feed, Subscribe


class Companion(NamedTuple):
    """A topic beside each conversation, open to whoever may listen to the conversation."""

    topic_of: Callable[[int], str]
    rendering: Rendering
    #: Whether a subscription asks for this companion.
    is_wished: Callable[[Subscribe], bool]
    #: The event types of the topic.
    events: tuple[type[Event], ...] = ()


_companions: list[Companion] = []


def add_companion(companion: Companion) -> None:
    """Register a companion; called once, when its app is ready."""
    if companion not in _companions:
        _companions.append(companion)


def companion_events() -> Iterable[type[Event]]:
    """The event types of all companions."""
    return [event for companion in _companions for event in companion.events]


def listen_to_companions(feed: Feed, conversation_id: int, *, shown_as: str) -> None:
    """Subscribe a feed to the companions of a conversation; their events are sent under its topic."""
    for companion in _companions:
        if companion.is_wished(feed.wish):
            feed.listen(companion.topic_of(conversation_id), companion.rendering, shown_as=shown_as)


def end_companions(feed: Feed, conversation_id: int) -> None:
    """End a feed's subscriptions to the companions of a conversation."""
    for companion in _companions:
        subscription = feed.socket.subscription(companion.topic_of(conversation_id), feed)
        if subscription is not None:
            subscription.end()
