"""What open sockets do when access is withdrawn: say why, and close."""

from __future__ import annotations

from collections.abc import Iterable

from realtime.audience import Subscriber
from realtime.errors import AccountDisabledError, SessionRevokedError
from realtime.events import Delivery
from realtime.reactions import reacts_to


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
