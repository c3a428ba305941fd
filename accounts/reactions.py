"""What open sockets do when their user changes: close without access, take its name, tell what it shares."""

from __future__ import annotations

from collections.abc import Iterable

from realtime.errors import AccountDisabledError, SessionRevokedError
from realtime.events import Delivery
from realtime.hub.reactions import reacts_to
from realtime.hub.subscription import Subscriber


@reacts_to("session_revoked")
def close_revoked_sockets(delivery: Delivery, subscribers: Iterable[Subscriber]) -> None:
    """Close the sockets of one session, or of all."""
    session_id = delivery.fields["session_id"]
    for subscriber in subscribers:
        if session_id is None or subscriber.socket.identity.session_id == session_id:
            subscriber.socket.refuse(SessionRevokedError())


@reacts_to("account_disabled")
def close_disabled_sockets(_delivery: Delivery, subscribers: Iterable[Subscriber]) -> None:
    """Close all sockets of the user."""
    for subscriber in subscribers:
        subscriber.socket.refuse(AccountDisabledError())


@reacts_to("sharing_changed")
def share_as_chosen(delivery: Delivery, subscribers: Iterable[Subscriber]) -> None:
    """Let the open sockets know, which read their user when they were opened."""
    for subscriber in subscribers:
        user = subscriber.socket.user
        user.shares_receipts = delivery.fields["shares_receipts"]
        user.shares_typing = delivery.fields["shares_typing"]


@reacts_to("user_renamed")
def take_new_name(delivery: Delivery, subscribers: Iterable[Subscriber]) -> None:
    """From now on the open sockets speak under the new name."""
    for subscriber in subscribers:
        subscriber.socket.user.username = delivery.fields["username"]
