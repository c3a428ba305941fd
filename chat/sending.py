"""LIMIT_SENDS: how many messages one user may send, edit or delete, over sockets and REST together.

Each of them is an event that is stored and told to every member.
"""

from realtime.conf import conf
from realtime.rates import Buckets

_sends = Buckets(lambda: conf.limit_sends)


def allow_send(user_id: int) -> None:
    """Count one message, edit or deletion, or raise RateLimitedError."""
    _sends.take(user_id)
