"""CORS of the REST paths: pages of allowed origins may read answers, and send the cookies of their user.

A layer of ASGI in front of everything that can refuse, so that a page can read every failure; preflights are
answered here, without Django.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import markcoroutinefunction

from directus.rest.errors import SHAPE
from realtime import conf, is_listed, shape_of

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

#: What the answer to a preflight allows, and the seconds for which a browser remembers it.
_ALLOWED: Headers = [
    (b"access-control-allow-methods", b"GET,POST,PATCH,DELETE,SEARCH"),
    (b"access-control-allow-headers", b"Content-Type, Authorization"),
    (b"access-control-max-age", b"600"),
]


class CrossOrigin:
    """ASGI middleware around Django, for the paths of the dialect."""

    def __init__(self, app: Any) -> None:
        self.app = app
        markcoroutinefunction(self)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if shape_of(scope["path"]) is not SHAPE:
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        allowed = _allowed_for(headers.get(b"origin"))
        if scope["method"] == "OPTIONS" and b"access-control-request-method" in headers:
            await _answer(send, [*allowed, *(_ALLOWED if len(allowed) > 1 else [])])
            return

        async def send_with_headers(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *allowed]
            await send(message)

        await self.app(scope, receive, send_with_headers)


def _allowed_for(origin: bytes | None) -> Headers:
    """The headers of every answer to a page of this origin; credentials are for origins that are named."""
    varies = (b"vary", b"Origin")
    if origin is None:
        return [varies]
    exposed = (b"access-control-expose-headers", b"Retry-After")
    if is_listed(origin.decode("latin1")):
        return [
            varies,
            (b"access-control-allow-origin", origin),
            (b"access-control-allow-credentials", b"true"),
            exposed,
        ]
    if "*" in conf.allowed_origins:  # only with DEBUG
        return [varies, (b"access-control-allow-origin", b"*"), exposed]
    return [varies]


async def _answer(send: Send, headers: Headers) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": headers})
    await send({"type": "http.response.body", "body": b""})
