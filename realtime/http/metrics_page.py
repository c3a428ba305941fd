"""The page /metrics, for a scraper that shows METRICS_TOKEN or runs on this machine; answered before Django.

`realtime/metrics/exposition.py` writes the page; this module decides who may read it.
"""

from __future__ import annotations

import hmac
import ipaddress
import json
import platform
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import django
from asgiref.sync import markcoroutinefunction
from django.conf import settings
from django.http.request import split_domain_port

from realtime.defaults import conf
from realtime.errors import NotAllowedError
from realtime.http.problems import PROBLEM_JSON, problem_of
from realtime.metrics.exposition import CONTENT_TYPE, scrape
from realtime.metrics.instruments import Gauge

PATH = "/metrics"

BUILD = Gauge("relais_build_info", "What runs; always 1.", "revision", "python", "django", combine="own")
BUILD.reads(lambda: {(settings.REVISION or "unknown", platform.python_version(), django.__version__): 1})

#: Headers that only a proxy sends, beside all that begin with X-Forwarded.
_OF_PROXIES = frozenset(
    {b"forwarded", b"via", b"x-real-ip", b"x-client-ip", b"cf-connecting-ip", b"true-client-ip"}
)
_LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})


class MetricsPage:
    """ASGI middleware that answers /metrics and passes everything else on.

    It must see the headers as they came, so it stands before `ForwardedHeaders`: a proxy on this machine has
    a loopback address too. `refresh` is awaited before each scrape, for values that are kept for a while.
    """

    def __init__(self, app: Any, *, refresh: Callable[[], Awaitable[object]]) -> None:
        self.app = app
        self._refresh = refresh
        markcoroutinefunction(self)

    def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> Coroutine[Any, Any, None]:
        if scope["type"] == "http" and scope["path"] == PATH and scope["method"] in ("GET", "HEAD"):
            return self._answer(scope, send)
        passed_on: Coroutine[Any, Any, None] = self.app(scope, receive, send)
        return passed_on  # no coroutine of its own: it would stay as long as a socket does

    async def _answer(self, scope: dict[str, Any], send: Any) -> None:
        if _has_token(scope) or _is_this_machine(scope):
            await self._refresh()
            await _answer(scope, send, 200, CONTENT_TYPE, await scrape())
        else:
            error = NotAllowedError("Send METRICS_TOKEN as a bearer token, or ask on this machine.")
            await _answer(scope, send, error.status, PROBLEM_JSON, json.dumps(problem_of(error)).encode())


def _has_token(scope: dict[str, Any]) -> bool:
    token = conf.metrics_token.encode()
    sent = [value for name, value in scope["headers"] if name == b"authorization"]
    if not token or len(sent) != 1:
        return False
    scheme, _, credentials = sent[0].partition(b" ")
    return scheme.lower() == b"bearer" and hmac.compare_digest(credentials.strip(), token)


def _is_this_machine(scope: dict[str, Any]) -> bool:
    """Whether a program of this machine asks for itself, not a proxy or a web page for somebody else."""
    names = [name for name, _ in scope["headers"]]
    if any(name in _OF_PROXIES or name.startswith(b"x-forwarded") for name in names):
        return False
    # A web page whose domain was pointed at this machine sends that domain as Host; so do most proxies.
    hosts = [value.decode("latin1") for name, value in scope["headers"] if name == b"host"]
    if len(hosts) != 1 or split_domain_port(hosts[0])[0] not in _LOCAL_NAMES:
        return False
    try:
        return ipaddress.ip_address((scope.get("client") or ("",))[0]).is_loopback
    except ValueError:
        return False  # a Unix socket: whoever connects to it is a proxy


async def _answer(scope: dict[str, Any], send: Any, status: int, content_type: str, content: bytes) -> None:
    headers = [
        (b"content-type", content_type.encode()),
        (b"content-length", str(len(content)).encode()),
        (b"cache-control", b"no-store"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else content})
