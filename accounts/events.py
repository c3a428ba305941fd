"""Events on `user.<id>`, the durable topic that reaches every socket of one user."""

from __future__ import annotations

from realtime import Event, user_topic

__all__ = ["AccountDisabled", "SessionRevoked", "SharingChanged", "UserRenamed", "user_topic"]


class SessionRevoked(Event, frozen=True, tag="session_revoked"):
    """Sockets opened by this session end; without a session, all sockets of the user do."""

    session_id: str | None
    seq: int = 0


class AccountDisabled(Event, frozen=True, tag="account_disabled"):
    """Every socket of the user ends, and none may come back."""

    seq: int = 0


class SharingChanged(Event, frozen=True, tag="sharing_changed"):
    """The user's sharing switches changed: the open sockets obey the new ones, and send nothing."""

    shares_receipts: bool
    shares_typing: bool
    seq: int = 0


class UserRenamed(Event, frozen=True, tag="user_renamed"):
    """The user has another name; their open sockets speak under it, and tell no client."""

    username: str
    seq: int = 0
