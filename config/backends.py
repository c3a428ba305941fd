"""The database and the channel layer that a URL stands for, with the reason of each number."""

import socket
import sys
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

import environ
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from realtime.database.postgresql import PunctualConnection, try_on

_POSTGRESQL_SCHEMES = ("postgres", "postgresql")
_REDIS_SCHEMES = ("redis", "rediss", "unix")

#: Linux only: seconds after which a peer that acknowledges nothing counts as gone, in milliseconds.
_USER_TIMEOUT_MS = 15_000


def database(url: str, *, directory: Path, pool_size: int) -> dict[str, Any]:
    """Django's description of the database at `url`; relative files lie in `directory`."""
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        return _sqlite(parts, directory=directory)
    if parts.scheme in _POSTGRESQL_SCHEMES:
        return _postgresql(environ.Env.db_url_config(url), pool_size=pool_size)
    raise ValueError("neither SQLite nor PostgreSQL")


def _sqlite(parts: SplitResult, *, directory: Path) -> dict[str, Any]:
    name = unquote(parts.path.removeprefix("/"))
    if parts.netloc == ":memory:" or name in ("", ":memory:"):
        # Each thread would have a database of its own, empty.
        raise ValueError("a database in memory is not shared between threads")
    if parts.netloc:
        raise ValueError("three slashes before a relative file, four before an absolute one")
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": directory / name,
        "CONN_MAX_AGE": 0,
        "OPTIONS": {
            # In WAL mode readers never wait for the writer. FULL: what was acknowledged survives a power cut.
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON",
            # A transaction that reads first and then writes fails at once when another wrote in between,
            # whatever the timeout; taking the write lock at its start makes it wait instead.
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,  # seconds; the other writer may be a migration or a long command
        },
    }


def _postgresql(config: dict[str, Any], *, pool_size: int) -> dict[str, Any]:
    if not config["NAME"]:
        raise ValueError("it names no database")
    return {
        **config,
        # Under ASGI every request has its own thread: a connection it kept would never be used again.
        "CONN_MAX_AGE": 0,
        # A connection is tried when it is taken: nobody gets a dead one after a restart of the database.
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {
            "application_name": "relais",
            "connect_timeout": 3,
            # A peer that vanished without a word is noticed in seconds instead of hours.
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": _USER_TIMEOUT_MS,
            **config.get("OPTIONS", {}),
            "pool": {
                "connection_class": PunctualConnection,
                "min_size": 1,  # an idle process keeps one of the server's connections, not all of them
                "max_size": pool_size,
                # Seconds to wait for a free one, then the answer is "unavailable": within the 2 s in which
                # every send is answered, whatever happens to the database.
                "timeout": 1.5,
                # Seconds after which an attempt to connect is given up, and so the longest pause between two:
                # it must be shorter than callers wait, or they fail with the database back.
                "reconnect_timeout": 0.5,
                "reconnect_failed": try_on,
            },
        },
    }


def channel_layers(urls: list[str]) -> dict[str, Any]:
    """Django's CHANNEL_LAYERS for the Redis servers at `urls`; memory, so one process, without any."""
    if not urls:
        return {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
    return {
        "default": {
            "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
            "CONFIG": {"hosts": [redis_host(url) for url in urls], "prefix": _prefix(urls)},
        }
    }


def _prefix(urls: list[str]) -> str:
    """What our channels' names begin with.

    Redis knows databases for keys only, what is published is heard in all of them: without their
    numbers in the names, two deployments that were given databases of one server would hear each other.
    """
    return "relais." + ".".join(str(parse_url(url).get("db", 0)) for url in urls)


def redis_host(url: str) -> dict[str, Any]:
    """How to connect to one Redis, nothing left to the defaults of the client's version."""
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
        # Once more at once, on a fresh connection, for the one that Redis closed at its restart. No pauses:
        # the layer publishes under a lock, and who waits for it stands in the event loop of every socket.
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
        # Keep-alive does not act while sent bytes are unacknowledged (the ping above); this does.
        socket.TCP_USER_TIMEOUT: _USER_TIMEOUT_MS,
    }
