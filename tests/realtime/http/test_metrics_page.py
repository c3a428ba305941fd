"""/metrics: the scrapers that may read it, and the answer that everybody else gets."""

from __future__ import annotations

from typing import Any

import pytest
from asgiref.testing import ApplicationCommunicator
from prometheus_client.parser import text_string_to_metric_families

from config.asgi import application
from realtime.hub.hub import Hub

TOKEN = "a-token-of-a-scraper-that-nobody-guesses-0123456789"
LOCAL = ("127.0.0.1", 50_000)
SOMEBODY = ("203.0.113.7", 50_000)
TOKENS = [(b"authorization", f"Bearer {TOKEN}".encode())]


async def ask(
    client: tuple[str, int] | None = LOCAL,
    *headers: tuple[bytes, bytes],
    host: bytes = b"localhost:8000",
    method: str = "GET",
    path: str = "/metrics",
) -> tuple[int, dict[bytes, bytes], bytes]:
    scope: dict[str, Any] = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": b"",
        "client": client,
        "headers": [(b"host", host), *headers],
    }
    communicator = ApplicationCommunicator(application, scope)
    await communicator.send_input({"type": "http.request", "body": b""})
    start = await communicator.receive_output(5)
    body = (await communicator.receive_output(5))["body"]
    await communicator.wait()
    return start["status"], dict(start["headers"]), body


@pytest.fixture(autouse=True)
def _token(settings: Any, hub: Hub) -> None:
    settings.RELAIS = {**settings.RELAIS, "metrics_token": TOKEN}


async def test_program_on_this_machine_is_answered() -> None:
    status, headers, body = await ask()

    assert status == 200
    assert headers[b"content-type"] == b"text/plain; version=0.0.4; charset=utf-8"
    assert headers[b"cache-control"] == b"no-store"
    assert {family.name for family in text_string_to_metric_families(body.decode())} >= {
        "relais_deliveries",
        "relais_chat_ack_seconds",
    }


@pytest.mark.parametrize("client", [("::1", 1), ("127.3.2.1", 1)])
async def test_loopback_has_many_addresses(client: tuple[str, int]) -> None:
    assert (await ask(client))[0] == 200


async def test_scraper_elsewhere_shows_the_token() -> None:
    assert (await ask(SOMEBODY, *TOKENS, host=b"chat.example.com"))[0] == 200
    assert (await ask(SOMEBODY, (b"authorization", f"bearer {TOKEN}".encode())))[0] == 200
    assert (await ask(LOCAL, *TOKENS, (b"x-forwarded-for", b"203.0.113.7")))[0] == 200


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"authorization", b"Bearer ")],
        [(b"authorization", b"Bearer wrong")],
        [(b"authorization", f"Bearer {TOKEN}x".encode())],
        [(b"authorization", f"Bearer {TOKEN[:-1]}".encode())],
        [(b"authorization", f"Basic {TOKEN}".encode())],
        [(b"authorization", TOKEN.encode())],
        [(b"authorization", b"Bearer \xff\xfe")],
        [(b"authorization", b"Bearer wrong"), *TOKENS],
        [(b"cookie", f"token={TOKEN}".encode())],
    ],
)
async def test_nobody_elsewhere_is_answered_without_it(headers: list[tuple[bytes, bytes]]) -> None:
    status, answer, body = await ask(SOMEBODY, *headers)

    assert status == 403
    assert answer[b"content-type"] == b"application/problem+json"
    assert b'"not_allowed"' in body
    assert TOKEN.encode() not in body


@pytest.mark.parametrize(
    "header",
    [b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-server", b"forwarded", b"via", b"x-real-ip"],
)
async def test_proxy_on_this_machine_opens_nothing(header: bytes) -> None:
    assert (await ask(LOCAL, (header, b"127.0.0.1")))[0] == 403


@pytest.mark.parametrize("host", [b"chat.example.com", b"evil.example:8000", b"testserver", b"", b"[::1"])
async def test_page_that_was_made_to_point_here_opens_nothing(host: bytes) -> None:
    assert (await ask(LOCAL, host=host))[0] == 403


@pytest.mark.parametrize("client", [None, SOMEBODY, ("10.0.0.1", 1), ("unix:", 0), ("", 0)])
async def test_only_loopback_is_this_machine(client: Any) -> None:
    assert (await ask(client))[0] == 403


async def test_trusted_proxy_does_not_make_a_visitor_local(settings: Any) -> None:
    settings.RELAIS = {**settings.RELAIS, "trusted_proxies": ("127.0.0.1",)}

    assert (await ask(LOCAL, (b"x-forwarded-for", b"127.0.0.1")))[0] == 403


async def test_without_a_token_none_is_the_right_one(settings: Any) -> None:
    settings.RELAIS = {**settings.RELAIS, "metrics_token": ""}

    assert (await ask(SOMEBODY, (b"authorization", b"Bearer ")))[0] == 403
    assert (await ask(SOMEBODY))[0] == 403


async def test_head_has_no_body() -> None:
    status, headers, body = await ask(method="HEAD")

    assert (status, body) == (200, b"")
    assert int(headers[b"content-length"]) > 1000


@pytest.mark.parametrize(
    ("path", "method"), [("/metrics/", "GET"), ("/metrics", "POST"), ("/metricsx", "GET")]
)
async def test_everything_else_is_djangos(path: str, method: str) -> None:
    assert (await ask(path=path, method=method))[0] == 404


async def test_health_is_that_of_this_moment() -> None:
    _, _, body = await ask()

    assert b'relais_health{status="ok"} 1.0' in body
    assert b'relais_health{status="unavailable"} 0.0' in body
