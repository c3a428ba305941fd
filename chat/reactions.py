"""What the server does itself when a conversation's event passes."""

from __future__ import annotations

from collections.abc import Iterable

from realtime.events import Delivery
from realtime.hub.reactions import reacts_to
from realtime.hub.subscription import Subscriber, of_user


@reacts_to("member_removed")
def detach_removed_member(delivery: Delivery, subscribers: Iterable[Subscriber]) -> None:
    """The removed member's sockets got this event, and get nothing after it.

    Someone who was added again and reads their old removal in the log is not among the subscribers.
    """
    for subscriber in of_user(subscribers, delivery.fields["user_id"]):
        subscriber.detach()
