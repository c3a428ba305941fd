"""The sockets of the contract: those of the project's routes whose consumers say what they tell."""

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
    """A path, and the consumer behind it."""

    #: `/ws/chat/{conversation_id}/`.
    address: str
    #: What the path leaves open.
    places: tuple[str, ...]
    consumer: type[Connection]

    @property
    def name(self) -> str:
        return self.consumer.kind


def sockets(routes: Iterable[URLPattern] | None = None) -> list[Socket]:
    """The sockets of these routes, or of all that the project has."""
    if routes is None:
        routes = cast("list[URLPattern]", import_module(settings.ROOT_WS_ROUTING).websocket_urlpatterns)
    found = []
    for route in routes:
        consumer: Any = getattr(route.callback, "consumer_class", None)  # set by `as_asgi()`
        if isinstance(consumer, type) and issubclass(consumer, Connection) and consumer.frames:
            path = f"/{route.pattern}"
            found.append(Socket(_PLACE.sub(r"{\1}", path), tuple(_PLACE.findall(path)), consumer))
    return found
