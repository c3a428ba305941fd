"""The largest message of each socket, by its route: one table, which the servers ask before they read one.

Keyed by the routes themselves, so that whatever spelling of a path the router takes (`//ws/chat/1/`) has the
size of the socket it leads to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from django.urls import URLPattern

from realtime.defaults import conf

#: Bytes, asked for each time: a setting may change in a test.
Size = Callable[[], int]

_table: list[tuple[URLPattern, Size]] = []


def native() -> int:
    """What the guide's and our own dialect may send."""
    return conf.limit_message_bytes


def foreign() -> int:
    """What clients of foreign dialects may send."""
    return conf.limit_foreign_message_bytes


def declare(routes: Iterable[URLPattern], size: Size) -> None:
    """From now on messages on these routes may have that size."""
    _table.extend((route, size) for route in routes)


def declared_bytes(path: str) -> int | None:
    """The largest message accepted on the socket at `path`; None where nobody declared its route."""
    path = path.lstrip("/")  # as Channels' router does
    for route, size in _table:
        if route.pattern.match(path):
            return size()
    return None


def least_bytes() -> int:
    """What any socket accepts."""
    return min(native(), foreign())


def max_message_bytes(path: str) -> int:
    """The largest message accepted on the socket at `path`; of a path that nobody declared, the least."""
    declared = declared_bytes(path)
    return least_bytes() if declared is None else declared
