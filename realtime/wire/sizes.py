"""The largest message of each socket, by its route: one table that the servers ask before they read a
message.

The routes themselves are the keys, so that every spelling of a path that the router accepts (`//ws/chat/1/`)
has the size of the socket that it leads to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from django.urls import URLPattern

from realtime.defaults import conf

#: Returns bytes; called each time, since a test may change a setting.
Size = Callable[[], int]

_table: list[tuple[URLPattern, Size]] = []


def native() -> int:
    """The size of messages of the guide's dialect and of the native one."""
    return conf.limit_message_bytes


def foreign() -> int:
    """The size of messages of foreign dialects."""
    return conf.limit_foreign_message_bytes


def declare(routes: Iterable[URLPattern], size: Size) -> None:
    """Allow messages of a size on these routes from now on."""
    _table.extend((route, size) for route in routes)


def declared_bytes(path: str) -> int | None:
    """The largest message accepted on the socket at `path`; None where no size was declared for its route."""
    path = path.lstrip("/")  # as Channels' router does
    for route, size in _table:
        if route.pattern.match(path):
            return size()
    return None


def least_bytes() -> int:
    """The size that every socket accepts."""
    return min(native(), foreign())


def max_message_bytes(path: str) -> int:
    """The largest message accepted on the socket at `path`; without a declared size, the least."""
    declared = declared_bytes(path)
    return least_bytes() if declared is None else declared
