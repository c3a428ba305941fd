"""What open sockets do when their user changes: close without access, take its name, tell what it shares."""

from __future__ import annotations

from realtime import AccountDisabledError, Delivery, SessionRevokedError, Told, acts_on


@acts_on("session_revoked")
def close_revoked_sockets(delivery: Delivery, told: Told) -> None:
    """End what one session may, or all of the user's."""
    session_id = delivery.fields["session_id"]
    for access in told.accesses():
        if session_id is None or access.session_id == session_id:
            access.lose(SessionRevokedError())


@acts_on("account_disabled")
def close_disabled_sockets(_delivery: Delivery, told: Told) -> None:
    """End everything of the user."""
    for access in told.accesses():
        access.lose(AccountDisabledError())


@acts_on("sharing_changed")
def share_as_chosen(delivery: Delivery, told: Told) -> None:
    """Let the open sockets know, which read their user when they were opened."""
    for access in told.accesses():
        access.user.shares_receipts = delivery.fields["shares_receipts"]
        access.user.shares_typing = delivery.fields["shares_typing"]


@acts_on("user_renamed")
def take_new_name(delivery: Delivery, told: Told) -> None:
    """From now on the open sockets speak under the new name."""
    for access in told.accesses():
        access.user.username = delivery.fields["username"]
