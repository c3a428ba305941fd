"""What the typing sockets are told."""

from __future__ import annotations

from chat.events import conversation_topic
from realtime.events import Delivery, Event
from realtime.hub.rendering import Framing

#: A typist repeats itself every 3 s at most; one lost frame must not make the indicator flicker.
TYPING_TTL_SECONDS = 6
#: Keystrokes within this time are one event.
COALESCE_SECONDS = 3


def typing_topic(conversation_id: int) -> str:
    """Who types in a conversation; ephemeral."""
    return f"{conversation_topic(conversation_id)}.typing"


class Typing(Event, tag="typing", frozen=True):
    """The guide's frame, with who it was and how long it holds."""

    username: str
    is_typing: bool
    user_id: int
    conversation_id: int
    expires_in_ms: int


class _TypingFraming:
    """Typing as it is, to everyone but the typist."""

    def frame(self, delivery: Delivery) -> str | None:
        return delivery.body if delivery.type == "typing" else None

    def not_for(self, delivery: Delivery) -> int | None:
        typist: int = delivery.fields["user_id"]
        return typist


TYPING_FRAMING: Framing = _TypingFraming()


def typing(*, username: str, user_id: int, conversation_id: int, is_typing: bool) -> Typing:
    """The event that somebody types, or stopped."""
    return Typing(
        username=username,
        is_typing=is_typing,
        user_id=user_id,
        conversation_id=conversation_id,
        expires_in_ms=TYPING_TTL_SECONDS * 1000 if is_typing else 0,
    )
