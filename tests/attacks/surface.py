"""The attack surface, read from the product itself: every route, every socket, every command."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import django

# Needed by the programs of this directory; under pytest Django is set up already.
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
django.setup()

# ruff: noqa: E402 - the imports below need Django
from django.urls import URLPattern, URLResolver, get_resolver
from rest_framework.permissions import AllowAny
from rest_framework.views import APIView

from config.ws_routing import unknown_path, websocket_urlpatterns
from directus.rest.views import DirectusView
from guide_dialect.consumer import GuideConsumer
from native.consumer import NativeConsumer
from realtime import Connection

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_PLACE = re.compile(r"<(?:\w+:)?(\w+)>")


def filled(route: str, ids: Mapping[str, object]) -> str:
    """The address of a route, with these ids in its places."""
    return _PLACE.sub(lambda place: str(ids[place[1]]), route)


def places(route: str) -> list[str]:
    """The names of the ids a route needs."""
    return _PLACE.findall(route)


@dataclass(frozen=True)
class Endpoint:
    """One method of one route of the API."""

    route: str
    method: str
    #: It needs no token: registering, signing in, refreshing, signing out.
    is_public: bool
    #: It speaks the Directus dialect, which has tokens in other places too.
    is_directus: bool = False

    def __str__(self) -> str:
        return f"{self.method} {self.route}"


def _routes(patterns: Iterable[URLPattern | URLResolver], prefix: str = "/") -> Iterator[tuple[str, Any]]:
    for pattern in patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from _routes(pattern.url_patterns, route)
        else:
            yield route, pattern.callback


def routes() -> dict[str, Any]:
    """Every route of the server, with its view."""
    return dict(_routes(get_resolver().url_patterns))


def views() -> dict[str, type[APIView]]:
    """Every view of the API, by its route."""
    found = {route: getattr(view, "view_class", None) for route, view in routes().items()}
    return {route: kind for route, kind in found.items() if kind is not None and issubclass(kind, APIView)}


def endpoints() -> list[Endpoint]:
    """Every method of every route of the API."""
    found = []
    for route, kind in views().items():
        is_public = AllowAny in kind.permission_classes
        is_directus = issubclass(kind, DirectusView)
        methods = [name for name in METHODS if hasattr(kind, name.lower())]
        found += [Endpoint(route, name, is_public, is_directus) for name in methods]
    return found


#: The packages of foreign dialects, whose sockets have frames and credentials of their own: their own tests
#: attack them.
FOREIGN = ("supabase", "directus")


def sockets() -> dict[str, type[Connection]]:
    """Every path of a socket of ours, with its consumer; the pattern for unknown paths is left out."""
    served = {}
    for pattern in websocket_urlpatterns:
        if pattern.callback is not unknown_path:
            kind = pattern.callback.consumer_class
            if kind.__module__.startswith(FOREIGN):
                continue
            assert issubclass(kind, (GuideConsumer, NativeConsumer)), f"{pattern.pattern}: tested as what?"
            served[f"/{pattern.pattern}"] = kind
    return served


def guide_sockets() -> dict[str, type[GuideConsumer]]:
    """The guide's sockets."""
    return {path: kind for path, kind in sockets().items() if issubclass(kind, GuideConsumer)}


def native_socket() -> str:
    """The path of the native socket; its commands and feeds are in registries of its own."""
    [path] = sockets().keys() - guide_sockets().keys()
    return path


def commands() -> list[tuple[str, str]]:
    """Every command of every socket of the guide: (path, name)."""
    return [(path, name) for path, kind in guide_sockets().items() for name in kind.commands]
