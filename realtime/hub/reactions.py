"""Reactions: what the server itself does at an event, such as ending a removed member's subscriptions.

A reaction runs on the loop, in the turn in which the event is handed out. There are two kinds. One that
*reacts* updates a state of its own. One that *acts* does something to the subscriptions that were just sent
the event: to all live ones at once, or to the one that reads it in the log. So a removal ends every
subscription exactly at its seq, live or behind, but not one whose right to listen was read later.
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
    """Register a reaction to an event type; an app's `reactions.py` is imported when the apps are ready."""
    return _register(_reactions, event_type)


def acts_on(event_type: str) -> Callable[[Action], Action]:
    """Register an action: it is called with the subscriptions to which an event of the type was written."""
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
    """A reaction to a type that no event has never runs: mostly the type is mistyped."""
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
    """Whether an event of this type has actions."""
    return event_type in _actions


class Told:
    """The subscriptions that were just sent an event, and that it may concern."""

    __slots__ = ("_groups", "_seq")

    def __init__(self, groups: Iterable[Collection[Subscription]], seq: int | None) -> None:
        self._groups = groups
        self._seq = seq

    def everyone(self) -> list[Subscription]:
        """All of these subscriptions, in a new list, since an action may end some."""
        seq = self._seq
        return [
            subscription
            for group in self._groups
            for subscription in group
            if seq is None or seq > subscription.authorized_at
        ]

    def of_user(self, user_id: int) -> list[Subscription]:
        """The subscriptions of one user."""
        return [subscription for subscription in self.everyone() if subscription.user_id == user_id]

    def accesses(self) -> list[Access]:
        """The accesses of these subscriptions, each once."""
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
    """Run the reactions and actions of an event; one that fails is logged, and the others run.

    Before the first action, `write` writes the pending events, so that each subscription has been sent the
    event. One without room is no longer live: it reads the event from the log, and is acted on there.
    Subscriptions whose right to listen was read after the event are left out: the right already reflects it.
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
