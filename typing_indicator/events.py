"""The topic and the event of typing, and its rendering."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from chat.events import conversation_topic
from realtime import Delivery, Event, Frame

#: A typist repeats itself every 3 s at most; one lost frame must not make the indicator flicker.
TYPING_TTL_SECONDS = 6
#: Keystrokes within this time are one event.
COALESCE_SECONDS = 3


def typing_topic(conversation_id: int) -> str:
    """The topic of who types in a conversation; ephemeral."""
    return f"{conversation_topic(conversation_id)}.typing"


class Typing(Event, tag="typing", frozen=True):
    """Somebody types, or stopped: the guide's frame, with whose it is and how long it holds."""

    username: str
    is_typing: bool
    user_id: int
    conversation_id: int
    expires_in_ms: int


@dataclass(frozen=True, slots=True)
class TypingRendering:
    """Renders typing as it is, for everybody but the typist."""

    def render(self, write: Sequence[Delivery]) -> Iterable[Frame]:
        return [Frame(event.body, (event.fields["user_id"],)) for event in write if event.type == "typing"]


def typing(*, username: str, user_id: int, conversation_id: int, is_typing: bool) -> Typing:
    """The event that somebody types, or stopped."""
    return Typing(
        username=username,
        is_typing=is_typing,
        user_id=user_id,
        conversation_id=conversation_id,
        expires_in_ms=TYPING_TTL_SECONDS * 1000 if is_typing else 0,
    )
