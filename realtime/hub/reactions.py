"""What the server itself does when an event passes: forget a typist, end who was removed or revoked.

A reaction runs on the loop, in the turn in which the event was handed out. There are two kinds. One that
*reacts* keeps something of its own up to date. One that *acts* does something to the subscriptions that were
just told the event: all live ones at once, or the one that is reading it in the log. So a removal ends
everybody exactly at its seq, whether they are live or catch up, and nobody by one older than their right to
listen.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, TypeVar

from django.apps import AppConfig
from django.core.checks import CheckMessage, register
from django.core.checks import Warning as Caution

from realtime import events
from realtime.checks import TAG
from realtime.events import Delivery
from realtime.hub.subscription import Access, Subscription

logger = logging.getLogger(__name__)

Reaction = Callable[[Delivery], None]
Action = Callable[[Delivery, "Told"], None]
R = TypeVar("R", bound=Callable[..., None])

_reactions: dict[str, list[Reaction]] = {}
_actions: dict[str, list[Action]] = {}


def reacts_to(event_type: str) -> Callable[[Reaction], Reaction]:
    """Register a function for one type of event; apps do it in `reactions.py`, imported when ready."""
    return _register(_reactions, event_type)


def acts_on(event_type: str) -> Callable[[Action], Action]:
    """Register a function that looks for subscriptions after an event of this type was written to them."""
    return _register(_actions, event_type)


def _register(registry: dict[str, list[R]], event_type: str) -> Callable[[R], R]:
    def register(function: R) -> R:
        registered = registry.setdefault(event_type, [])
        if function not in registered:
            registered.append(function)
        return function

    return register


@register(TAG)
def check_event_types(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """What waits for a type that no event has waits for ever: mostly the type is mistyped."""
    known = events.declared_types()
    waiting: list[tuple[str, str]] = [
        (event_type, getattr(function, "__qualname__", repr(function)))
        for registry in (_reactions, _actions)
        for event_type, functions in registry.items()
        for function in functions
        if event_type not in known
    ]
    return [
        Caution(f"{name} waits for {event_type!r}, which no event is.", id="relais.W002")
        for event_type, name in waiting
    ]


def are_acted_on(event_type: str) -> bool:
    """Whether something may be done to those who are told events of this type."""
    return event_type in _actions


class Told:
    """The subscriptions that were just told an event, and that it may concern."""

    __slots__ = ("_groups", "_seq")

    def __init__(self, groups: Iterable[Collection[Subscription]], seq: int | None) -> None:
        self._groups = groups
        self._seq = seq

    def everyone(self) -> list[Subscription]:
        """All of them: a list of its own, since an action may end some."""
        seq = self._seq
        return [
            subscription
            for group in self._groups
            for subscription in group
            if seq is None or seq > subscription.authorized_at
        ]

    def of_user(self, user_id: int) -> list[Subscription]:
        """Those of one user."""
        return [subscription for subscription in self.everyone() if subscription.user_id == user_id]

    def accesses(self) -> list[Access]:
        """The accesses that these belong to, each once."""
        return list(dict.fromkeys(subscription.access for subscription in self.everyone()))

    def __bool__(self) -> bool:
        seq = self._seq
        return any(
            seq is None or seq > subscription.authorized_at
            for group in self._groups
            for subscription in group
        )


def react(
    delivery: Delivery, groups: Collection[Collection[Subscription]], write: Callable[[], None] | None = None
) -> None:
    """Run what is registered for this event; what fails is logged and stops nobody.

    Before the first action, `write` writes what waits, so that each subscription has been told the event. One
    that had no room for it is not live any more: it meets the event in the log, and is acted on there.
    Who reads the past is left out: what it caused was known when their right to listen was read.
    """
    event_type = delivery.type
    reactions, actions = _reactions.get(event_type), _actions.get(event_type)
    if reactions is None and actions is None:
        return
    told = Told(groups, delivery.seq)
    if not told:
        return
    for reaction in reactions or ():
        _safely(delivery, reaction, delivery)
    if actions and write is not None:
        write()
    for action in actions or ():
        _safely(delivery, action, delivery, told)


def _safely(delivery: Delivery, function: Callable[..., None], *arguments: object) -> None:
    try:
        function(*arguments)
    except Exception:
        logger.exception("A reaction to %s on %s failed", delivery.type, delivery.topic)
