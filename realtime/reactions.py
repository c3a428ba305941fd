"""What the server itself does when an event passes: detach who was removed, close what was revoked.

A reaction runs on the loop, after the event was handed out, with the subscribers that just got it:
all live ones at once, or the one that is reading it in the log. So a removal cuts everybody exactly
at its seq, whether they were listening or catching up; and nobody by one older than their right to
listen.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from realtime.events import Delivery

if TYPE_CHECKING:
    from realtime.audience import Subscriber

logger = logging.getLogger(__name__)

Reaction = Callable[[Delivery, Collection["Subscriber"]], None]

_reactions: dict[str, list[Reaction]] = {}


def reacts_to(event_type: str) -> Callable[[Reaction], Reaction]:
    """Register a function for one type of event; apps do it in `reactions.py`, imported when ready."""

    def register(reaction: Reaction) -> Reaction:
        registered = _reactions.setdefault(event_type, [])
        if reaction not in registered:
            registered.append(reaction)
        return reaction

    return register


def exist_for(event_type: str) -> bool:
    """Whether anything at all happens on such an event."""
    return event_type in _reactions


def react(delivery: Delivery, subscribers: Collection[Subscriber]) -> None:
    """Run what is registered for this event; a failing reaction is logged and stops nobody.

    Who reads the past in the log is left out of it: what it caused was known when they were let in.
    """
    seq = delivery.seq
    concerned = [subscriber for subscriber in subscribers if seq is None or seq > subscriber.as_of]
    if not concerned:
        return
    for reaction in _reactions.get(delivery.type, ()):
        try:
            reaction(delivery, concerned)
        except Exception:
            logger.exception("A reaction to %s on %s failed", delivery.type, delivery.topic)
