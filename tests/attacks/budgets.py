"""The budgets of strangers: every request that needs no token, what it may cost, and what it costs.

The routes come from the product, the budgets from the table of `docs/operations/strangers.md`.
"""

from __future__ import annotations

import http.client
import itertools
import json
import re
import socket
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bench.machine import cpu_seconds
from bench.wire import CLOSE, frame, handshake
from tests.attacks import surface
from tests.attacks.matrix import HTTP
from tests.attacks.odd import IDS
from tests.servers import ServerProcess

PAGE = Path(__file__).parents[2] / "docs/operations/strangers.md"
ROW = re.compile(r"^\| `([^`]+)` \| ([\d,]+) \| ([\d,]+) \|", re.MULTILINE)
LIVE = "GET /health/live"
#: Stands in place of a method: a socket is opened, and a frame is sent on it until the server closes it.
SOCKET = "SOCKET /ws/"
LARGEST_FILE = "/static/drf_spectacular_sidecar/swagger-ui-dist/swagger-ui-bundle.js"
#: How often each is asked in a round, and the number of rounds. The CPU clock is exact for a process that
#: works for milliseconds, and a busy machine does not disturb every round.
REQUESTS, ROUNDS = 6, 3
#: How often a frame is sent on a socket: more often than a client may make mistakes.
COMMANDS = 25


@dataclass(frozen=True)
class Request:
    """One way to ask; `{n}` in the path is a new number each time."""

    method: str
    path: str
    headers: dict[str, str] = field(default_factory=dict)
    body: str = ""


@dataclass(frozen=True)
class Budget:
    """The allowed CPU, in units of `/health/live`, and bytes of the whole answer."""

    cpu: int
    size: int


def table() -> dict[str, Budget]:
    """The budgets in the document. A name that ends in … stands for all names that begin so and have no row
    of their own."""
    rows = ROW.findall(PAGE.read_text())
    return {name: Budget(int(cpu.replace(",", "")), int(size.replace(",", ""))) for name, cpu, size in rows}


def budget_of(name: str, budgets: dict[str, Budget]) -> Budget | None:
    """The row of a request: its own, or the longest one that covers it."""
    if name in budgets:
        return budgets[name]
    fitting = [row for row in budgets if row.endswith("…") and name.startswith(row[:-1])]
    return budgets[max(fitting, key=len)] if fitting else None


def requests() -> dict[str, Request]:
    """Every route as a stranger asks it, and the odd requests that were once expensive."""
    found = {}
    endpoints = {(endpoint.route, endpoint.method) for endpoint in surface.endpoints()}
    for route in surface.routes():
        filled = surface.filled(re.sub(r"\(\?P<\w+>.*", "x", route).replace("^", ""), IDS)
        methods = [method for where, method in endpoints if where == route] or ["GET"]
        for method in sorted(methods):
            body = HTTP[route, method].body if (route, method) in HTTP else None
            headers = {"Content-Type": "application/json"} if body is not None else {}
            text = "" if body is None else json.dumps(body)
            found[f"{method} {route}"] = Request(method, filled, headers, text)
    return found | dict(_others())


def _others() -> Iterator[tuple[str, Request]]:
    for path in ("/health/live", "/health/ready", "/metrics", LARGEST_FILE, "/static/x{n}"):
        yield f"GET {path}", Request("GET", path)
    for path in ("/nowhere/{n}", "/api/nowhere/{n}/", "/api/me", "/admin/login/?next=//x{n}.example/%0d"):
        yield f"GET {path}", Request("GET", path)
    yield "POST /api/me", Request("POST", "/api/me", {}, "{}")
    yield "GET /api/schema/?lang=x{n}", Request("GET", "/api/schema/?lang=x{n}&format=json")
    yield "HEAD /api/schema/", Request("HEAD", "/api/schema/")
    for path in ("/api/schema/", "/api/docs/", "/api/token/"):
        yield f"OPTIONS {path}", Request("OPTIONS", path)
    preflight = {"Origin": "https://app{n}.example", "Access-Control-Request-Method": "POST"}
    yield "OPTIONS /api/token/, a preflight", Request("OPTIONS", "/api/token/", preflight)
    odd = {"Accept": "application/json;indent={n}", "Accept-Language": "fr-x{n}"}
    yield "GET /api/schema/, odd wishes", Request("GET", "/api/schema/", odd)
    yield "GET /api/, a foreign host", Request("GET", "/api/", {"Host": "x{n}.example"})
    yield "GET /api/me/, a bad token", Request("GET", "/api/me/", {"Authorization": "Bearer a.b.{n}"})
    for what, said in (
        ("a bad token", {"type": "auth", "token": "a.b.{n}"}),
        ("twenty commands and no token", {"type": "subscribe", "topic": "conversation.{n}"}),
    ):
        yield f"{SOCKET}, {what}", Request(SOCKET, "/ws/", {}, json.dumps(said))
    yield "OPTIONS /auth/login", Request("OPTIONS", "/auth/login")
    yield "OPTIONS /auth/login, a preflight", Request("OPTIONS", "/auth/login", preflight)
    static = {"Authorization": "Bearer nobody-has-this-{n}"}
    yield "GET /users/me, a bad static token", Request("GET", "/users/me", static)
    session = {"Cookie": "directus_session_token=a.b.{n}"}
    yield "GET /users/me, a bad session", Request("GET", "/users/me", session)
    session = {"Cookie": "sessionid=" + "{n}" * 16}
    yield "GET /admin/, a bad session", Request("GET", "/admin/", session)


class Meter:
    """Sends requests to one server, and measures what they cost."""

    def __init__(self, server: ServerProcess) -> None:
        self._server = server
        self._numbers = itertools.count(10_000)

    def measure(self, wanted: dict[str, Request]) -> dict[str, tuple[float, int]]:
        """Each request's CPU in units of `/health/live`, and the bytes of its answer."""
        for request in wanted.values():
            self._ask(request)  # makes now what is made once
        costs: dict[str, list[float]] = {name: [] for name in wanted}
        sizes = {}
        for _ in range(ROUNDS):
            for name, request in wanted.items():
                cost, sizes[name] = self._batch(request)
                costs[name].append(cost)
        live = statistics.median(costs[LIVE])
        return {name: (min(costs[name]) / live, sizes[name]) for name in wanted}

    def _batch(self, request: Request) -> tuple[float, int]:
        before = cpu_seconds(self._server.pid)
        size = max(self._ask(request) for _ in range(REQUESTS))
        return (cpu_seconds(self._server.pid) - before) / REQUESTS, size

    def _ask(self, request: Request) -> int:
        number = str(next(self._numbers))
        fill: Callable[[str], str] = lambda text: text.replace("{n}", number)  # noqa: E731
        if request.method == SOCKET:
            return self._say(request.path, fill(request.body))
        connection = http.client.HTTPConnection("127.0.0.1", self._server.port, timeout=120)
        headers = {name: fill(value) for name, value in request.headers.items()}
        connection.request(request.method, fill(request.path), request.body or None, headers)
        answer = connection.getresponse()
        size = len(str(answer.headers)) + len(answer.read())
        connection.close()
        return size

    def _say(self, path: str, text: str) -> int:
        with socket.create_connection(("127.0.0.1", self._server.port), timeout=120) as line:
            line.sendall(handshake(path, host=f"127.0.0.1:{self._server.port}"))
            heard = line.recv(65536)
            assert b" 101 " in heard, heard
            line.sendall(frame(text.encode()) * COMMANDS)
            while data := line.recv(65536):
                heard += data
                if b"\x88\x02" in data:  # a close frame with a code
                    line.sendall(frame(b"\x03\xe8", CLOSE))
        return len(heard)
