"""Reactions of open sockets to changes of their user: they close, take a new name, or follow the switches."""

from __future__ import annotations

from realtime import AccountDisabledError, Delivery, SessionRevokedError, Told, acts_on


@acts_on("session_revoked")
def close_revoked_sockets(delivery: Delivery, told: Told) -> None:
    """End the access of one session, or of all sessions of the user."""
    session_id = delivery.fields["session_id"]
    for access in told.accesses():
        if session_id is None or access.session_id == session_id:
            access.lose(SessionRevokedError())


@acts_on("account_disabled")
def close_disabled_sockets(_delivery: Delivery, told: Told) -> None:
    """End all access of the user."""
    for access in told.accesses():
        access.lose(AccountDisabledError())


@acts_on("sharing_changed")
def share_as_chosen(delivery: Delivery, told: Told) -> None:
    """Update the switches that open sockets keep: they read their user when they were opened."""
    for access in told.accesses():
        access.user.shares_receipts = delivery.fields["shares_receipts"]
        access.user.shares_typing = delivery.fields["shares_typing"]


@acts_on("user_renamed")
def take_new_name(delivery: Delivery, told: Told) -> None:
    """Update the name under which open sockets act."""
    for access in told.accesses():
        access.user.username = delivery.fields["username"]
