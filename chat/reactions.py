"""Reactions to conversations' events: the subscriptions of a removed member end."""

from __future__ import annotations

from realtime import Delivery, Told, acts_on


@acts_on("member_removed")
def end_removed_member(delivery: Delivery, told: Told) -> None:
    """End the removed member's subscriptions: they were told this event, and are told nothing after it.

    A member who was added again reads an old removal in the log without being among `told`.
    """
    for subscription in told.of_user(delivery.fields["user_id"]):
        subscription.lose_access()
