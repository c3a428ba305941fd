"""Forwarded headers: believed from the proxies in TRUSTED_PROXIES, dropped from everybody else."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from asgiref.sync import markcoroutinefunction

from realtime.defaults import conf
from realtime.http.addresses import client_address, is_trusted_proxy

_FORWARDED = frozenset(
    {
        b"x-forwarded-for",
        b"x-forwarded-proto",
        b"x-forwarded-host",
        b"x-forwarded-port",
        b"forwarded",
        b"x-real-ip",
    }
)
#: The schemes, by kind of scope. For a socket most proxies send the handshake's, Traefik `ws` or `wss`.
_SCHEMES = {
    "http": {"http": "http", "https": "https"},
    "websocket": {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"},
}


class ForwardedHeaders:
    """ASGI middleware that puts the client's address and scheme into the scope, where everything reads them.

    It changes the scope in place: the server writes its access log from the same object, and what this
    application removes from it (tokens, say) must not be logged.

    Django's `SECURE_PROXY_SSL_HEADER` would believe anybody who sends the header.
    """

    def __init__(self, app: Any) -> None:
        self.app = app
        markcoroutinefunction(self)

    def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> Coroutine[Any, Any, None]:
        seen = as_seen_by_proxy(scope) if scope["type"] in _SCHEMES else scope
        passed_on: Coroutine[Any, Any, None] = self.app(seen, receive, send)
        return passed_on  # no coroutine of its own: it would stay as long as a socket does


def as_seen_by_proxy(scope: dict[str, Any]) -> dict[str, Any]:
    """The same scope with the address and the scheme that trusted proxies report, and without the headers."""
    headers = [(name, value) for name, value in scope["headers"] if name not in _FORWARDED]
    if len(headers) == len(scope["headers"]):
        return scope
    peer = scope.get("client")
    if peer is not None and is_trusted_proxy(str(peer[0]), tuple(conf.trusted_proxies)):
        address = client_address(scope)
        # The last proxy appended the last value; those before it may be anybody's claim.
        said = b",".join(value for name, value in scope["headers"] if name == b"x-forwarded-proto").decode(
            "latin1"
        )
        scheme = _SCHEMES[scope["type"]].get(said.rpartition(",")[2].strip().lower())
        if address != peer[0]:
            # The client's port is unknown; ASGI requires a number, and uvicorn's log its own type of pair.
            scope["client"] = type(peer)((address, 0))
        if scheme:
            scope["scheme"] = scheme
    scope["headers"] = headers
    return scope
