"""What open watches do at an event of their collection that is no change of a row.

A watch is a subscription whose id is a `Watcher`: the part of a dialect that can look at a collection again.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from realtime import Delivery, Subscription, acts_on
from realtime import Told as Listening

#: Why a watcher looks again.
CHANGES_MISSED, RIGHTS_CHANGED = "changes_missed", "rights_changed"


@runtime_checkable
class Watcher(Protocol):
    """What watches a collection for a client."""

    def look_again(self, subscription: Subscription, reason: str) -> None:
        """Called just after the event because of which what the client was shown may no longer hold.

        It is paused, and goes on with `resume`; the reason is one of those of `resync`.
        """


@acts_on("changes_missed")
def show_anew(_delivery: Delivery, told: Listening) -> None:
    """Let everybody look again: rows may have changed of which nothing is known."""
    for subscription in told.everyone():
        _look_again(subscription, CHANGES_MISSED)


@acts_on("rights_changed")
def ask_rights_again(delivery: Delivery, told: Listening) -> None:
    """Let those whose rights changed look again."""
    users = delivery.fields["users"]
    for subscription in told.everyone():
        if users is None or subscription.user_id in users:
            _look_again(subscription, RIGHTS_CHANGED)


def _look_again(subscription: Subscription, reason: str) -> None:
    watcher = subscription.id
    if isinstance(watcher, Watcher):
        subscription.suspend()
        watcher.look_again(subscription, reason)
