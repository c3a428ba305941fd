"""ASGI middleware of the core: it starts the hub, and refuses handshakes before accept.

A foreign Origin, too many handshakes, too many sockets and unknown paths (`unknown_paths.py`) are refused
before accept, with a plain HTTP status. Every refusal that a client must understand is made by `Connection`
after accept.

A middleware that only looks and passes on is a plain function that returns the next one's coroutine (and is
marked as a coroutine function): a coroutine of its own would stay in memory as long as the socket.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any

from asgiref.sync import markcoroutinefunction
from django.urls import URLPattern

from realtime.defaults import conf
from realtime.errors import (
    NotAllowedError,
    NotFoundError,
    OverloadedError,
    RateLimitedError,
    RealtimeError,
)
from realtime.http.addresses import counted_address
from realtime.http.origins import DEFAULT_PORTS, is_listed, is_own, normalized
from realtime.http.problems import PROBLEM_JSON, problem_of, retry_after
from realtime.hub.hub import Hub
from realtime.rates import Bucket, Buckets, Rate
from realtime.sockets import metrics
from realtime.sockets.dialect import Refusal, deny

logger = logging.getLogger(__name__)

Scope = dict[str, Any]
App = Callable[
    [Scope, Callable[[], Awaitable[Any]], Callable[[Any], Awaitable[None]]], Coroutine[Any, Any, None]
]


class WithHub:
    """Starts this process's hub on the running loop at the first event of any kind."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        Hub.current()
        await self.app(scope, receive, send)


#: The routes of sockets that pages of any origin may open.
_open_to_all_pages: list[URLPattern] = []


def open_to_all_pages(routes: Iterable[URLPattern]) -> None:
    """Let pages of any origin open the sockets of these routes: those take no cookie, so a page must know a
    secret of its own."""
    _open_to_all_pages.extend(routes)


def _is_open_to_all_pages(scope: Scope) -> bool:
    path = scope["path"].removeprefix(scope.get("root_path", "")).lstrip("/")
    return any(route.pattern.match(path) for route in _open_to_all_pages)


class OriginCheck:
    """Lets a browser in only from the host it talks to, or from ALLOWED_ORIGINS.

    A missing Origin passes: the client is no browser, and a token is required anyway.
    """

    #: Log lines a second: handshakes of foreign pages are not limited, and nobody reads thousands.
    LINES = Rate.parse("1/s:100")

    def __init__(self, app: App) -> None:
        self.app = app
        markcoroutinefunction(self)
        self._lines = Bucket()

    def __call__(self, scope: Scope, receive: Any, send: Any) -> Coroutine[Any, Any, None]:
        for origin in _headers(scope, b"origin"):
            if not is_allowed_origin(origin, scope) and not _is_open_to_all_pages(scope):
                if not self._lines.wait(self.LINES, time.monotonic()):
                    _tell_refused(origin)
                return refuse_handshake(
                    scope, receive, send, status=403, detail="Pages of this origin may open no socket here."
                )
        return self.app(scope, receive, send)


class HandshakeLimit:
    """LIMIT_HANDSHAKES: limits new sockets per client address."""

    def __init__(self, app: App) -> None:
        self.app = app
        markcoroutinefunction(self)
        self._buckets = Buckets(lambda: conf.limit_handshakes)

    def __call__(self, scope: Scope, receive: Any, send: Any) -> Coroutine[Any, Any, None]:
        try:
            self._buckets.take(counted_address(scope))
        except RateLimitedError as error:
            wait = error.retry_after_ms or 1000
            return refuse_handshake(scope, receive, send, status=429, retry_after_ms=wait)
        return self.app(scope, receive, send)


class SocketLimits:
    """Limits the sockets of this process: all, those of one client address, and those not accepted yet.

    Before accept, because a socket that is refused afterwards costs as much as an accepted one. A socket
    lasts as long as the task that it is called in.
    """

    def __init__(self, app: App) -> None:
        self.app = app
        markcoroutinefunction(self)
        self.open = 0
        self.pending = 0
        self.open_from: Counter[str] = Counter()

    def __call__(self, scope: Scope, receive: Any, send: Any) -> Coroutine[Any, Any, None]:
        address = counted_address(scope)
        if _is_reached(conf.limit_sockets, self.open):
            return refuse_handshake(scope, receive, send, status=503, retry_after_ms=10_000)
        if _is_reached(conf.limit_pending_sockets, self.pending):
            return refuse_handshake(scope, receive, send, status=503, retry_after_ms=2_000)
        if _is_reached(conf.limit_sockets_per_address, self.open_from[address]):
            return refuse_handshake(scope, receive, send, status=429, retry_after_ms=30_000)

        socket = _OpenSocket(self, address, send)
        task = asyncio.current_task()
        assert task is not None, "an ASGI application runs in a task"
        task.add_done_callback(socket.leave)
        return self.app(scope, receive, socket.send)


class _OpenSocket:
    """The share of one open socket in these limits."""

    __slots__ = ("_address", "_is_pending", "_limits", "_send")

    def __init__(self, limits: SocketLimits, address: str, send: Callable[[Any], Awaitable[None]]) -> None:
        self._limits, self._address, self._send = limits, address, send
        self._is_pending = True
        limits.open += 1
        limits.pending += 1
        limits.open_from[address] += 1

    def send(self, message: Any) -> Awaitable[None]:
        """Pass on a message of the application; the first one accepts or refuses the socket."""
        self._no_longer_pending()
        return self._send(message)

    def leave(self, _task: object) -> None:
        """Give the share back, when the socket's task ends."""
        limits, address = self._limits, self._address
        self._no_longer_pending()
        limits.open -= 1
        limits.open_from[address] -= 1
        if not limits.open_from[address]:
            del limits.open_from[address]

    def _no_longer_pending(self) -> None:
        if self._is_pending:
            self._is_pending = False
            self._limits.pending -= 1


def _is_reached(limit: int, count: int) -> bool:
    return 0 < limit <= count


def _headers(scope: Scope, name: bytes) -> list[str]:
    return [value.decode("latin1") for header, value in scope["headers"] if header == name]


def is_allowed_origin(origin: str, scope: Scope) -> bool:
    """Whether a page of this origin may open a socket here; exact, default ports aside."""
    if "*" in conf.allowed_origins:  # only with DEBUG: see checks.py
        return True
    # Daphne does not say whether a socket came through TLS: then the page's own scheme is as good.
    scheme = {"ws": "http", "wss": "https"}.get(scope.get("scheme", ""))
    return is_listed(origin) or is_own(origin, hosts=_headers(scope, b"host"), scheme=scheme)


def _tell_refused(origin: str) -> None:
    """Log a refused Origin, with the setting that would allow it."""
    normal = normalized(origin)
    extra = {"origin": origin[:200]}
    if normal is not None:
        scheme, host, port = normal
        shown = f"{scheme}://{host}" if port == DEFAULT_PORTS[scheme] else f"{scheme}://{host}:{port}"
        extra["allowed_with"] = f"ALLOWED_ORIGINS={shown[:200]}"
    logger.warning("A socket was refused: foreign origin", extra=extra)


#: The error of a refusal before accept, by its status.
_CODES: dict[int, type[RealtimeError]] = {
    403: NotAllowedError,
    404: NotFoundError,
    429: RateLimitedError,
    503: OverloadedError,
}


async def refuse_handshake(
    scope: Scope, receive: Any, send: Any, *, status: int, retry_after_ms: int | None = None, detail: str = ""
) -> None:
    """Refuse before accept: with a problem document where the server can send it, else with its plain 403.

    `on_refused` in the scope, if there is one, is awaited before the peer gets the answer.
    """
    metrics.HANDSHAKES_REFUSED.add(metrics.refused_with(status))
    if (on_refused := scope.pop("on_refused", None)) is not None:
        await on_refused()
    await receive()
    error = _CODES[status](detail or None, retry_after_ms=retry_after_ms)
    headers = [(b"content-type", PROBLEM_JSON.encode())]
    if retry_after_ms is not None:
        headers.append((b"retry-after", retry_after(retry_after_ms).encode()))
    await deny(scope, send, Refusal(status, headers, json.dumps(problem_of(error)).encode()))
