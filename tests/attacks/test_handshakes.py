"""Handshakes on the real servers: what the answer to a refused one reveals, and whose pages may open a
socket."""

from __future__ import annotations

import asyncio
import urllib.request
from collections.abc import Callable, Iterator

import pytest

from bench.wire import CLOSE
from tests.acceptance.people import People
from tests.attacks.raw import line_to
from tests.conftest import Backends
from tests.processes import wait_until
from tests.servers import ServerProcess

# The answer to a handshake does not depend on the stack.
pytestmark = [pytest.mark.acceptance, pytest.mark.stack("small"), pytest.mark.timeout(120)]

CANARY = "c4n4ry"
SOCKET = "/ws/notifications/"


@pytest.fixture(params=["daphne", "uvicorn"], scope="module")
def proxied(request: pytest.FixtureRequest, new_backends: Callable[[], Backends]) -> Iterator[ServerProcess]:
    """A server behind a proxy on this machine, which names the clients; one address may open three
    sockets."""
    env = {"TRUSTED_PROXIES": "127.0.0.0/8", "LIMIT_HANDSHAKES": "1/h:3"}
    with ServerProcess(request.param, **vars(new_backends()), env=env) as server:
        yield server


@pytest.fixture(params=["daphne", "uvicorn"], scope="module")
def developed(
    request: pytest.FixtureRequest, new_backends: Callable[[], Backends]
) -> Iterator[ServerProcess]:
    """A server as `scripts/dev` runs it."""
    with ServerProcess(request.param, **vars(new_backends()), env={"DEBUG": "on"}) as server:
        yield server


async def shake(server: ServerProcess, target: str, **headers: str) -> int | None:
    """What refused the handshake: a status, or the close code of an accepted socket. None if the socket
    stays."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with line_to(server.port) as line:
        status = await line.shake_hands(target, host=f"127.0.0.1:{server.port}", headers=named)
        if status != 101:
            return status
        while True:
            first, length = await line.reader.readexactly(2)
            if length == 126:
                length = int.from_bytes(await line.reader.readexactly(2))
            payload = await line.reader.readexactly(length)
            if first == CLOSE:
                return int.from_bytes(payload[:2])
            if b'"subscribed"' in payload:
                return None


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        (SOCKET, {"Origin": "https://evil.example"}),
        (SOCKET, {"X_Forwarded_For": "203.0.113.200"}),
        ("/ws/nowhere/", {}),
        (SOCKET, {"Authorization": "Bearer nonsense"}),
    ],
    ids=["foreign origin", "crowded address", "wrong path", "other credential"],
)
async def test_ticket_of_a_refused_handshake_opens_nothing(proxied: ServerProcess, path, headers):
    people = People(proxied)
    token = await asyncio.to_thread(people.token, "ana")

    async def buy() -> str:
        return (await asyncio.to_thread(people.ask, "/api/ws-ticket/", {}, token))["ticket"]

    for _ in range(3):  # now this address is over its limit
        await shake(proxied, SOCKET, X_Forwarded_For="203.0.113.200")
    shown, other = await buy(), await buy()

    refused = await shake(
        proxied, f"{path}?v=1&ticket={shown}", **{"X_Forwarded_For": "203.0.113.1"} | headers
    )

    assert refused in (403, 404, 429, 4401)
    address = f"198.51.100.{sum(map(ord, path + str(headers))) % 200}"
    assert await shake(proxied, f"{SOCKET}?v=1&ticket={shown}", X_Forwarded_For=address) == 4401
    assert await shake(proxied, f"{SOCKET}?v=1&ticket={other}", X_Forwarded_For=address) is None


@pytest.mark.parametrize(
    "spelling", ["token", "ticket", "%74icket", "%2574oken", "TOKEN", "token[]", "+ticket"]
)
async def test_server_behind_a_proxy_logs_no_secret_in_any_spelling(proxied: ServerProcess, spelling):
    for number, origin in enumerate((f"http://127.0.0.1:{proxied.port}", "https://evil.example")):
        mark = f"since={number}{ord(spelling[-2])}{len(spelling)}"
        await shake(
            proxied,
            f"/ws/chat/123/?{mark}&{spelling}={CANARY}",
            Origin=origin,
            X_Forwarded_For=f"203.0.113.{len(spelling)}{ord(spelling[-2]) % 10}",
        )
        if proxied.kind == "uvicorn":  # Daphne's access log has no queries of sockets
            wait_until(lambda: mark in proxied.log(), seconds=10, what="it is logged")  # noqa: B023 - called here
            (line,) = [line for line in proxied.log().splitlines() if mark in line]
            assert f"/ws/chat/123/?{mark}\\" in line  # removed, not only covered

    assert CANARY not in proxied.log()


@pytest.mark.parametrize("end", [":", "#", "?", "/"])
async def test_origin_with_something_behind_it_is_none_of_ours(developed: ServerProcess, end):
    origin = f"http://127.0.0.1:{developed.port}"
    token = await asyncio.to_thread(People(developed).token, "ana")
    target = f"{SOCKET}?v=1&token={token}"

    assert await shake(developed, target, Origin=origin) is None
    assert await shake(developed, target, Origin=origin + end) in (400, 403)


@pytest.mark.parametrize("origin", ["http://localhost:5173", "http://127.0.0.1:3000", "http://[::1]:8080"])
async def test_page_of_another_local_port_is_let_in_while_it_is_developed(
    developed: ServerProcess, proxied: ServerProcess, origin
):
    def allowed(server: ServerProcess) -> str | None:
        request = urllib.request.Request(f"{server.url}/api/", headers={"Origin": origin})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.headers["Access-Control-Allow-Origin"]

    token = await asyncio.to_thread(People(developed).token, "ana")

    assert await shake(developed, f"{SOCKET}?v=1&token={token}", Origin=origin) is None
    assert await asyncio.to_thread(allowed, developed) == origin
    assert await shake(proxied, f"{SOCKET}?v=1", Origin=origin) == 403
    assert await asyncio.to_thread(allowed, proxied) is None
    refused = [line for line in proxied.log().splitlines() if "foreign origin" in line and origin in line]
    assert f"ALLOWED_ORIGINS={origin}" in refused[-1]
