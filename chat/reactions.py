"""The chat's reactions: a `member_removed` event ends the removed member's subscriptions."""

from __future__ import annotations

from realtime import Delivery, Told, acts_on


@acts_on("member_removed")
def end_removed_member(delivery: Delivery, told: Told) -> None:
    """End the removed member's subscriptions, to which this event is the last.

    A member who was added again may read an old removal in the log; that one is not among `told`.
    """
    for subscription in told.of_user(delivery.fields["user_id"]):
        subscription.lose_access()
