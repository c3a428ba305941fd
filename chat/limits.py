"""The limits on what one user sends, begins and marks, over sockets and REST together."""

from realtime import Buckets, conf

_sends = Buckets(lambda: conf.limit_sends)
_invitations = Buckets(lambda: conf.limit_invitations)
_cursors = Buckets(lambda: conf.limit_cursors)


def allow_send(user_id: int) -> None:
    """Count something that is stored and told to every member of a conversation (LIMIT_SENDS)."""
    _sends.take(user_id)


def allow_invitation(user_id: int) -> None:
    """Count a conversation with others, or others taken into one: nobody asks them (LIMIT_INVITATIONS)."""
    _invitations.take(user_id)


def allow_cursor(user_id: int) -> None:
    """Count a cursor that is written and told to every member of a conversation (LIMIT_CURSORS)."""
    _cursors.take(user_id)
