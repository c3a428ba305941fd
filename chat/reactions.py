"""What the server does itself when a conversation's event passes."""

from __future__ import annotations

from realtime import Delivery, Told, acts_on


@acts_on("member_removed")
def end_removed_member(delivery: Delivery, told: Told) -> None:
    """The removed member's subscriptions were told this event, and are told nothing after it.

    Of somebody who was added again and reads the old removal in the log, none is among those told.
    """
    for subscription in told.of_user(delivery.fields["user_id"]):
        subscription.lose_access()
