"""The topic of typing, its event, and its rendering."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from chat.events import Username, conversation_topic
from realtime import Count, Delivery, Event, Frame, Id

#: Seconds after which typing expires. A client repeats it every 3 s: one lost frame does not show.
TYPING_TTL_SECONDS = 6
#: Seconds for which further keystrokes cause no new event.
COALESCE_SECONDS = 3


def typing_topic(conversation_id: int) -> str:
    """The ephemeral topic of typing in a conversation."""
    return f"{conversation_topic(conversation_id)}.typing"


class Typing(Event, tag="typing", frozen=True):
    """Another member types, or stopped. After `expires_in_ms` without another frame they have stopped."""

    username: Username
    is_typing: Annotated[bool, Meta(examples=[True])]
    user_id: Id
    conversation_id: Id
    expires_in_ms: Annotated[Count, Meta(examples=[6000])]


@dataclass(frozen=True, slots=True)
class TypingRendering:
    """Renders typing for everybody but the typist."""

    def render(self, write: Sequence[Delivery]) -> Iterable[Frame]:
        return [Frame(event.body, (event.fields["user_id"],)) for event in write if event.type == "typing"]


def typing(*, username: str, user_id: int, conversation_id: int, is_typing: bool) -> Typing:
    """The event that a user types, or stopped."""
    return Typing(
        username=username,
        is_typing=is_typing,
        user_id=user_id,
        conversation_id=conversation_id,
        expires_in_ms=TYPING_TTL_SECONDS * 1000 if is_typing else 0,
    )
