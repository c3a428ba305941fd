"""What the server itself does when an event passes: detach who was removed, close what was revoked.

A reaction runs on the loop, after the event was handed out, with the subscribers that just got it:
all live ones at once, or the one that is reading it in the log. So a removal cuts everybody exactly
at its seq, whether they were listening or catching up; and nobody by one older than their right to
listen.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import TYPE_CHECKING

from realtime.events import Delivery

if TYPE_CHECKING:
    from realtime.hub.subscription import Subscriber

logger = logging.getLogger(__name__)

Reaction = Callable[[Delivery, Iterable["Subscriber"]], None]

_reactions: dict[str, list[Reaction]] = {}


def reacts_to(event_type: str) -> Callable[[Reaction], Reaction]:
    """Register a function for one type of event; apps do it in `reactions.py`, imported when ready."""

    def register(reaction: Reaction) -> Reaction:
        registered = _reactions.setdefault(event_type, [])
        if reaction not in registered:
            registered.append(reaction)
        return reaction

    return register


class Concerned:
    """Those whom an event concerns: gone through only by reactions that look for somebody.

    Every message of a conversation has a reaction; it must not cost a look at every member.
    """

    __slots__ = ("_groups", "_seq", "_tell")

    def __init__(
        self, groups: Iterable[Collection[Subscriber]], seq: int | None, tell: Callable[[], None]
    ) -> None:
        self._groups = groups
        self._seq = seq
        self._tell = tell

    def __iter__(self) -> Iterator[Subscriber]:
        seq = self._seq
        # Who has no room for it is among them no more, and meets it in the log.
        self._tell()
        # Copies: a reaction may make subscribers leave.
        for group in tuple(self._groups):
            for subscriber in tuple(group):
                if seq is None or seq > subscriber.as_of:
                    yield subscriber

    def __bool__(self) -> bool:
        seq = self._seq
        return any(seq is None or seq > subscriber.as_of for group in self._groups for subscriber in group)


def _told() -> None:
    """They have been told the event already."""


def react(
    delivery: Delivery, groups: Iterable[Collection[Subscriber]], tell: Callable[[], None] = _told
) -> None:
    """Run what is registered for this event; a failing reaction is logged and stops nobody.

    Before the first reaction that looks for somebody, `tell` writes what waits to be written.
    Who reads the past in the log is left out of it: what it caused was known when they were let in.
    """
    registered = _reactions.get(delivery.type)
    if registered is None or not (concerned := Concerned(groups, delivery.seq, tell)):
        return
    for reaction in registered:
        try:
            reaction(delivery, concerned)
        except Exception:
            logger.exception("A reaction to %s on %s failed", delivery.type, delivery.topic)
