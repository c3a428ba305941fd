"""The limits per user on sending, inviting and moving cursors, over sockets and REST together."""

from realtime import Buckets, conf

_sends = Buckets(lambda: conf.limit_sends)
_invitations = Buckets(lambda: conf.limit_invitations)
_cursors = Buckets(lambda: conf.limit_cursors)


def allow_send(user_id: int) -> None:
    """Count one send, which is stored and told to every member of a conversation (LIMIT_SENDS)."""
    _sends.take(user_id)


def allow_invitation(user_id: int) -> None:
    """Count one invitation: users are taken into conversations without being asked (LIMIT_INVITATIONS)."""
    _invitations.take(user_id)


def allow_cursor(user_id: int) -> None:
    """Count one cursor move, which is stored and told to every member of a conversation (LIMIT_CURSORS)."""
    _cursors.take(user_id)
