"""nginx and Caddy in front of a server, with the configurations of docs/operations/proxies.md."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
import yaml
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import InvalidStatus
from websockets.frames import Frame, Opcode

from realtime.defaults import Conf
from realtime.testing import eventually
from tests.deployment.proxies import CLIENT, HOST, NEIGHBOUR, PAGE, PROXIES, Proxy, configuration
from tests.newcomer.documents import blocks
from tests.servers import Kind, ServerProcess

pytestmark = pytest.mark.stack("small")

#: The server pings after 2 s of silence instead of 25, and the proxy's time-outs are shortened likewise.
FASTER = 12.5
SOCKETS_PER_ADDRESS = 3
METRICS_TOKEN = "a-token-of-a-scraper-that-nobody-guesses-0123456789"
SETTINGS = {
    "ALLOWED_HOSTS": HOST,
    "TRUSTED_PROXIES": "127.0.0.1",
    "METRICS_TOKEN": METRICS_TOKEN,
    "LIMIT_PING_SECONDS": f"{Conf.limit_ping_seconds / FASTER:g}",
    "LIMIT_SOCKETS_PER_ADDRESS": str(SOCKETS_PER_ADDRESS),
}
PAIRS: list[tuple[str, Kind]] = [
    ("nginx", "uvicorn"),
    ("nginx", "daphne"),
    ("caddy", "uvicorn"),
    ("caddy", "daphne"),
]


@pytest.fixture(scope="module", params=PAIRS, ids=lambda pair: f"{pair[0]}, {pair[1]}")
def pair(request: pytest.FixtureRequest, server_database: str) -> Iterator[tuple[ServerProcess, Proxy]]:
    """A server, and a proxy in front of it."""
    name, kind = request.param
    with (
        ServerProcess(kind, database_url=server_database, env=SETTINGS) as server,
        PROXIES[name](server, faster=FASTER) as proxy,
    ):
        yield server, proxy


@pytest.fixture
def proxy(pair: tuple[ServerProcess, Proxy]) -> Proxy:
    return pair[1]


class Pinged(ClientConnection):
    """A socket that counts the pings it receives."""

    pings = 0

    def process_event(self, event: Any) -> None:
        if isinstance(event, Frame) and event.opcode is Opcode.PING:
            self.pings += 1
        super().process_event(event)


@pytest.mark.acceptance
async def test_socket_lives_longer_than_the_proxy_waits(proxy: Proxy) -> None:
    token = proxy.token("ana")

    async with proxy.socket(f"/ws/chat/123/?token={token}", create_connection=Pinged) as silent:
        # The pause is 8 s; nginx waits for 6.
        await eventually(lambda: silent.pings >= 4 or silent.close_code is not None, within=60)
        assert silent.close_code is None

        await silent.send(json.dumps({"type": "ping", "ref": 1}))
        while (frame := json.loads(await silent.recv()))["type"] != "pong":
            pass
        assert frame["ref"] == 1


@pytest.mark.acceptance
async def test_address_of_the_client_arrives_and_not_what_it_claims(proxy: Proxy) -> None:
    token = proxy.token("ana", **{"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "gopher"})
    bearer = {"Authorization": f"Bearer {token}"}
    _, listed = proxy.ask("GET", "/api/auth/sessions/", headers=bearer)
    assert [session["address"] for session in listed["results"] if session["current"]] == [CLIENT]

    path = f"/ws/chat/123/?token={token}"
    async with AsyncExitStack() as stack:
        for _ in range(SOCKETS_PER_ADDRESS):
            await stack.enter_async_context(proxy.socket(path))
        with pytest.raises(InvalidStatus):
            await stack.enter_async_context(proxy.socket(path))
        await stack.enter_async_context(proxy.socket(path, address=NEIGHBOUR))


@pytest.mark.acceptance
async def test_page_of_another_host_or_scheme_opens_no_socket(proxy: Proxy) -> None:
    path = f"/ws/chat/123/?token={proxy.token('ana')}"

    async with proxy.socket(path, origin=f"https://{HOST}"):
        pass
    for origin in ("https://evil.example", f"http://{HOST}:81"):
        with pytest.raises(InvalidStatus):
            await proxy.socket(path, origin=origin)


@pytest.mark.acceptance
async def test_token_stands_in_no_log(pair: tuple[ServerProcess, Proxy]) -> None:
    server, proxy = pair
    token = proxy.token("ana")
    path = f"/ws/chat/123/?token={token}"
    by_subprotocol: dict[str, Any] = {"subprotocols": ["relais.v1", f"bearer.{token}"]}
    headers = {"Authorization": f"Bearer {token}", "Referer": f"https://{HOST}/page?token={token}"}

    async with proxy.socket(path), proxy.socket("/ws/chat/123/", **by_subprotocol):
        assert proxy.ask("GET", f"/api/me/?token={token}", headers=headers)[0] == 200
    server.stop()
    try:
        for options in ({}, by_subprotocol):
            with pytest.raises(InvalidStatus) as refused:
                await proxy.socket(path, **options)
            assert refused.value.response.status_code == 502
        assert proxy.ask("GET", f"/api/me/?token={token}", headers=headers)[0] == 502
    finally:
        server.start()

    def is_logged() -> bool:
        return (
            len(re.findall(r"/ws/chat/123/", proxy.access_log)) >= 4
            and proxy.access_log.count("/api/me/") >= 2
        )

    await eventually(is_logged, within=20)
    assert token not in proxy.all_logs()
    assert token not in server.log()
    signature = token.rpartition(".")[2]
    assert signature not in proxy.all_logs() + server.log()


@pytest.mark.acceptance
def test_health_answers_and_metrics_want_their_token(proxy: Proxy) -> None:
    status, health = proxy.ask("GET", "/health/ready")
    assert (status, health["status"]) == (200, "ok")

    assert proxy.ask("GET", "/metrics")[0] == 403
    assert "relais_" not in str(proxy.ask("GET", "/metrics", headers={"Host": "localhost"})[1])
    status, page = proxy.ask("GET", "/metrics", headers={"Authorization": f"Bearer {METRICS_TOKEN}"})
    assert status == 200
    assert "relais_sockets_open" in page


@pytest.mark.acceptance
def test_body_may_be_as_large_as_the_server_allows(proxy: Proxy) -> None:
    headers = {"Authorization": f"Bearer {proxy.token('ana')}"}
    path, frame = "/api/conversations/123/messages/", len(json.dumps({"message": ""}))

    status, answer = proxy.ask(
        "POST", path, {"message": "x" * (Conf.limit_body_bytes - frame)}, headers=headers
    )
    assert (status, answer["code"]) == (400, "message_too_long")
    # The body is announced and not sent: a client that is answered while it sends may lose the answer.
    announced = {"Content-Length": str(Conf.limit_body_bytes + 1)}
    assert proxy.ask("POST", path, headers=headers | announced)[0] == 413


@pytest.mark.acceptance
def test_http2_is_for_requests(proxy: Proxy) -> None:
    assert proxy.protocol_offered_to("h2", "http/1.1") == "h2"
    assert proxy.protocol_offered_to("http/1.1") == "http/1.1"


@pytest.mark.acceptance
def test_plain_http_is_sent_to_https(proxy: Proxy) -> None:
    with socket.create_connection(("127.0.0.1", proxy.plain_port), timeout=20) as plain:
        plain.sendall(f"GET /api/?a=b HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while part := plain.recv(4096):
            answer += part

    assert re.match(rb"HTTP/1.1 30[18] ", answer)
    assert re.search(rf"(?i)location: https://{HOST}(:\d+)?/api/\?a=b\r\n".encode(), answer)


# ── the numbers of the page ──────────────────────────────────────────────────────────────────────────────


def without_comments(language: str) -> str:
    return re.sub(r"#.*", "", configuration(language))


def test_nginx_outlasts_a_ping_and_logs_no_query() -> None:
    directives = without_comments("nginx")
    timeouts = [int(seconds) for seconds in re.findall(r"proxy_(?:read|send)_timeout\s+(\d+)s;", directives)]

    assert len(timeouts) == 2
    assert min(timeouts) > Conf.limit_ping_seconds + Conf.limit_pong_seconds
    (log_format,) = re.findall(r"log_format\s.*?;", directives, re.DOTALL)
    assert not re.search(r"\$(request|request_uri|args|query_string|http_referer)\b", log_format)
    formats = re.findall(r"access_log\s+(.*?);", directives)
    assert all(words == "off" or words.endswith(" relais") for words in formats)


def traefik() -> tuple[Any, Any]:
    """Traefik's two files, with which no test runs Traefik."""
    fixed, routes = [yaml.safe_load(block.text) for block in blocks(PAGE) if block.language == "yaml"]
    return fixed, routes["http"]


def test_traefik_is_told_what_the_page_promises() -> None:
    fixed, routes = traefik()
    fields = fixed["accessLog"]["fields"]

    assert (fields["defaultMode"], fields["headers"]) == ("drop", {"defaultMode": "drop"})
    assert not {"RequestPath", "RequestLine"} & fields["names"].keys()
    assert routes["routers"]["relais"]["entryPoints"][0] in fixed["entryPoints"]
    [name] = routes["services"]
    assert routes["routers"]["relais"]["service"] == name
    assert routes["services"][name]["loadBalancer"]["serversTransport"] in routes["serversTransports"]


def test_no_proxy_keeps_an_idle_connection_as_long_as_the_server_does() -> None:
    [of_nginx] = re.findall(r"keepalive_timeout (\d+)s;", without_comments("nginx"))
    [of_caddy] = re.findall(r"keepalive (\d+)s", without_comments("caddyfile"))
    of_traefik = traefik()[1]["serversTransports"]["relais"]["forwardingTimeouts"]["idleConnTimeout"]

    for seconds in (of_nginx, of_caddy, of_traefik.removesuffix("s")):
        assert int(seconds) < Conf.limit_head_seconds
