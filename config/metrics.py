"""/metrics, answered before Django, for a scraper that shows METRICS_TOKEN or asks on this machine.

What is shown is made in `realtime/metrics/exposition.py`; this module decides who sees it.
"""

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

from config.health import Health
from realtime.conf import conf
from realtime.errors import NotAllowedError
from realtime.http.problems import PROBLEM_JSON, problem
from realtime.metrics.exposition import CONTENT_TYPE, scrape
from realtime.metrics.instruments import Gauge

PATH = "/metrics"

BUILD = Gauge("relais_build_info", "What runs; always 1.", "revision", "python", "django", combine="own")
BUILD.reads(lambda: {(settings.REVISION or "unknown", platform.python_version(), django.__version__): 1})

#: Headers that only a proxy sends; besides them whatever begins with X-Forwarded.
_OF_PROXIES = frozenset(
    {b"forwarded", b"via", b"x-real-ip", b"x-client-ip", b"cf-connecting-ip", b"true-client-ip"}
)
_LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})


class MetricsPage:
    """ASGI middleware that answers the one address and passes everything else on.

    It must see the headers as they came: a proxy on this machine has a loopback address too.
    """

    def __init__(self, app: Any, *, health: Callable[[], Awaitable[Health]]) -> None:
        self.app = app
        self._health = health
        markcoroutinefunction(self)

    def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> Coroutine[Any, Any, None]:
        if scope["type"] == "http" and scope["path"] == PATH and scope["method"] in ("GET", "HEAD"):
            return self._answer(scope, send)
        passed_on: Coroutine[Any, Any, None] = self.app(scope, receive, send)
        return passed_on  # no coroutine of its own: it would stay as long as a socket does

    async def _answer(self, scope: dict[str, Any], send: Any) -> None:
        if _has_token(scope) or _is_this_machine(scope):
            await self._health()  # asks the database once a second at most, so that what is shown is fresh
            await _answer(scope, send, 200, CONTENT_TYPE, await scrape())
        else:
            body = problem(
                403, NotAllowedError.code, "Send METRICS_TOKEN as a bearer token, or ask on this machine."
            )
            await _answer(scope, send, 403, PROBLEM_JSON, json.dumps(body).encode())


def _has_token(scope: dict[str, Any]) -> bool:
    token = conf.metrics_token.encode()
    sent = [value for name, value in scope["headers"] if name == b"authorization"]
    if not token or len(sent) != 1:
        return False
    scheme, _, credentials = sent[0].partition(b" ")
    return scheme.lower() == b"bearer" and hmac.compare_digest(credentials.strip(), token)


def _is_this_machine(scope: dict[str, Any]) -> bool:
    """Whether a program of this machine asks for itself, and not a proxy or a page on somebody's behalf."""
    names = [name for name, _ in scope["headers"]]
    if any(name in _OF_PROXIES or name.startswith(b"x-forwarded") for name in names):
        return False
    # A page whose own name was made to point here says that name; so do most proxies.
    hosts = [value.decode("latin1") for name, value in scope["headers"] if name == b"host"]
    if len(hosts) != 1 or split_domain_port(hosts[0])[0] not in _LOCAL_NAMES:
        return False
    try:
        return ipaddress.ip_address((scope.get("client") or ("",))[0]).is_loopback
    except ValueError:
        return False  # a Unix socket, behind which there is a proxy


async def _answer(scope: dict[str, Any], send: Any, status: int, content_type: str, content: bytes) -> None:
    headers = [
        (b"content-type", content_type.encode()),
        (b"content-length", str(len(content)).encode()),
        (b"cache-control", b"no-store"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else content})
