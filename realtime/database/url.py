"""Reads DATABASE_URL into Django's DATABASES; each number has its reason beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

import environ

from realtime.database.postgresql import PunctualConnection, try_on
from realtime.database.time_budget import CONNECTION_SECONDS, RECONNECT_SECONDS

_POSTGRESQL_SCHEMES = ("postgres", "postgresql")

#: Milliseconds after which a peer that acknowledges nothing counts as gone; Linux only. For Redis as well.
USER_TIMEOUT_MS = 15_000


def database(url: str, *, directory: Path, pool_size: int) -> dict[str, Any]:
    """The entry of DATABASES for the database at `url`; relative files lie in `directory`."""
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
        # A connection is tested when it is taken: nobody gets a dead one after a restart of the database.
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {
            "application_name": "relais",
            "connect_timeout": 3,
            # A peer that vanished silently is noticed in seconds instead of hours.
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": USER_TIMEOUT_MS,
            **config.get("OPTIONS", {}),
            "pool": {
                "connection_class": PunctualConnection,
                "min_size": 1,  # an idle process keeps one of the server's connections, not all of them
                "max_size": pool_size,
                "timeout": CONNECTION_SECONDS,  # to wait for a free one; then the answer is "unavailable"
                "reconnect_timeout": RECONNECT_SECONDS,
                "reconnect_failed": try_on,
            },
        },
    }
