"""Reads REDIS_URL into Channels' CHANNEL_LAYERS; each number has its reason beside it."""

from __future__ import annotations

import socket
import sys
from typing import Any
from urllib.parse import urlsplit

from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from realtime.database.url import USER_TIMEOUT_MS

_REDIS_SCHEMES = ("redis", "rediss", "unix")


def channel_layers(urls: list[str]) -> dict[str, Any]:
    """The value of CHANNEL_LAYERS for the Redis servers at `urls`; without any, memory: one process only."""
    if not urls:
        return {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
    return {
        "default": {
            "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
            "CONFIG": {"hosts": [redis_host(url) for url in urls], "prefix": _prefix(urls)},
        }
    }


def _prefix(urls: list[str]) -> str:
    """The prefix of our channels' names, with the numbers of the Redis databases in it.

    Redis separates keys by database, but not what is published: without the numbers, two deployments that
    use two databases of one Redis server would hear each other.
    """
    return "relais." + ".".join(str(parse_url(url).get("db", 0)) for url in urls)


def redis_host(url: str) -> dict[str, Any]:
    """The options of a connection to one Redis; none is left to the default of the client's version."""
    parts = urlsplit(url)
    if parts.scheme not in _REDIS_SCHEMES or not (parts.hostname or parts.scheme == "unix"):
        raise ValueError("not a Redis URL")
    _ = parts.port  # raises ValueError when it is no number
    host: dict[str, Any] = {
        "address": url,
        # A bell that takes longer is worth less than the head check, which finds the event anyway.
        "socket_timeout": 2,
        "socket_connect_timeout": 2,
        # An idle subscription pings, so that a silent partition shows.
        "health_check_interval": 10,
        # One connection publishes and one listens; the rest is room for consumers of other apps.
        "max_connections": 10,
        # One retry at once, on a fresh connection, in case Redis closed the old one when it restarted. No
        # pause before it: the layer publishes under a lock, for which everything else that publishes waits.
        "retry": Retry(NoBackoff(), 1),
    }
    if parts.scheme != "unix":
        host["socket_keepalive"] = True
        host["socket_keepalive_options"] = _keepalive()
    return host


def _keepalive() -> dict[int, int]:
    if sys.platform != "linux":
        return {}  # the names and units differ; keep-alive itself is on
    return {
        socket.TCP_KEEPIDLE: 10,
        socket.TCP_KEEPINTVL: 5,
        socket.TCP_KEEPCNT: 3,
        # Keep-alive does not act while sent bytes (the ping above) are unacknowledged; this does.
        socket.TCP_USER_TIMEOUT: USER_TIMEOUT_MS,
    }
