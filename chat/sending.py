"""LIMIT_SENDS: how many messages one user may send, over sockets and REST together."""

from realtime.conf import conf
from realtime.rates import Buckets

_sends = Buckets(lambda: conf.limit_sends)


def allow_send(user_id: int) -> None:
    """Count one message, or raise RateLimitedError."""
    _sends.take(user_id)
