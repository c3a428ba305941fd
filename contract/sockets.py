"""The sockets of the contract: the project's routes whose consumers list their frames."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, cast

from django.conf import settings
from django.urls import URLPattern

from realtime import Connection

_PLACE = re.compile(r"<(?:\w+:)?(\w+)>")


@dataclass(frozen=True)
class Socket:
    """A path and its consumer."""

    #: Such as `/ws/chat/{conversation_id}/`.
    address: str
    #: The names of the variable parts of the path.
    places: tuple[str, ...]
    consumer: type[Connection]

    @property
    def name(self) -> str:
        return self.consumer.kind


def sockets(routes: Iterable[URLPattern] | None = None) -> list[Socket]:
    """The sockets of these routes, or of the whole project."""
    if routes is None:
        routes = cast("list[URLPattern]", import_module(settings.ROOT_WS_ROUTING).websocket_urlpatterns)
    found = []
    for route in routes:
        consumer: Any = getattr(route.callback, "consumer_class", None)  # set by `as_asgi()`
        if isinstance(consumer, type) and issubclass(consumer, Connection) and consumer.frames:
            path = f"/{route.pattern}"
            found.append(Socket(_PLACE.sub(r"{\1}", path), tuple(_PLACE.findall(path)), consumer))
    return found
