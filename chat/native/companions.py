"""Topics that come along with a conversation: an app above the chat adds those of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple

from realtime import Event, Rendering

if TYPE_CHECKING:
    from native.feeds import Feed, Subscribe


class Companion(NamedTuple):
    """A topic beside each conversation, for those who may listen to that."""

    topic_of: Callable[[int], str]
    rendering: Rendering
    #: Whether a client wishes it.
    is_wished: Callable[[Subscribe], bool]
    #: The events that are told there.
    events: tuple[type[Event], ...] = ()


_companions: list[Companion] = []


def add_companion(companion: Companion) -> None:
    """Let it come along from now on; called once, when the app is ready."""
    if companion not in _companions:
        _companions.append(companion)


def companion_events() -> Iterable[type[Event]]:
    """The events that come along with a conversation."""
    return [event for companion in _companions for event in companion.events]


def listen_to_companions(feed: Feed, conversation_id: int, *, shown_as: str) -> None:
    """Tell a feed what comes along with a conversation, under the name that the conversation has there."""
    for companion in _companions:
        if companion.is_wished(feed.wish):
            feed.listen(companion.topic_of(conversation_id), companion.rendering, shown_as=shown_as)


def end_companions(feed: Feed, conversation_id: int) -> None:
    """The conversation is no longer told."""
    for companion in _companions:
        subscription = feed.socket.subscription(companion.topic_of(conversation_id), feed)
        if subscription is not None:
            subscription.end()
