"""The checks before accept: pages of our own origins, and as many sockets as one address may open."""

from __future__ import annotations

import json
from typing import Any

import pytest
from channels.testing import WebsocketCommunicator

from realtime.hub.hub import Hub
from realtime.sockets.handshakes import HandshakeLimit, OriginCheck, WithHub, refuse_handshake
from tests.config.test_settings import settings_with

HOST = "relais.example"


@pytest.fixture(autouse=True)
def ours(settings: Any) -> None:
    settings.ALLOWED_HOSTS = [HOST, "[::1]", "localhost"]
    settings.RELAIS = {
        **settings.RELAIS,
        "allowed_origins": (
            "https://app.example",
            "http://dev.example:3000",
            "https://xn--bcher-kva.example",
        ),
    }


def local_origins() -> tuple[str, ...]:
    """The origins of our settings with DEBUG."""
    (patterns,) = settings_with("LOCAL_ORIGINS", DEBUG="on")
    assert isinstance(patterns, list)
    return tuple(patterns)


async def accept(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})


async def is_let_in(
    origin: str | list[str] | None, *, host: str | None = HOST, scheme: str | None = "wss"
) -> bool:
    origins = [origin] if isinstance(origin, str) else origin or []
    headers = [(b"origin", value.encode("latin1")) for value in origins]
    if host is not None:
        headers.append((b"host", host.encode()))
    communicator = WebsocketCommunicator(OriginCheck(accept), "/ws/chat/1/", headers=headers)
    if scheme is not None:
        communicator.scope["scheme"] = scheme
    accepted, _ = await communicator.connect()
    await communicator.wait()
    return accepted


@pytest.mark.parametrize(
    "origin",
    [
        None,  # no browser: wscat, a phone
        "https://relais.example",
        "https://relais.example:443",
        "HTTPS://Relais.Example",
        "https://app.example",
        "https://APP.example:443",
        "http://dev.example:3000",
        "https://xn--bcher-kva.example",
    ],
)
async def test_page_of_ours_is_let_in(origin):
    assert await is_let_in(origin)


FOREIGN = [
    "",
    "null",
    "https://evil.example",
    "https://relais.example.evil.example",  # our name as a prefix
    "https://evilrelais.example",  # as a suffix
    "https://evil-relais.example",
    "https://www.relais.example",
    "https://example",
    "http://relais.example",  # another scheme
    "wss://relais.example",
    "ftp://relais.example",
    "https://relais.example:8443",
    "https://relais.example:80",
    "https://relais.example:0",
    "https://relais.example:99999",
    "https://relais.example:x",
    "https://relais.example.",  # the same name to DNS, not to a browser
    "https://relais.example@evil.example",
    "https://evil.example@relais.example",
    "https://user:password@relais.example",
    "https://relais.example/",
    "https://relais.example/path",
    "https://relais.example:",
    "https://relais.example#",
    "https://relais.example?",
    "https://relais.example:443#",
    "https://app.example:",
    "https://app.example#",
    "https://app.example?",
    "http://dev.example:3000#",
    "http://localhost:5173",  # a program of this machine: with DEBUG only
    "http://127.0.0.1:3000",
    "http://[::1]:8080",
    "https://relais.example?query",
    "https://relais.example#fragment",
    "https://evil.example#https://relais.example",
    "https://evil.example/https://relais.example",
    "https://evil.example\\.relais.example",
    "https://relais.example\\@evil.example",
    "https://rel\tais.example",
    " https://relais.example",
    "https://relais.example ",
    "https://relais.example https://evil.example",
    "https://relais.example,https://evil.example",
    "relais.example",
    "//relais.example",
    "https://",
    "https:relais.example",
    "file://relais.example",
    "chrome-extension://relais.example",
    "javascript:alert(1)",
    "https://bücher.example",  # browsers write it as xn--bcher-kva
    "https://xn--bcher-kva.example.evil.example",
    "http://dev.example",
    "http://dev.example:3001",
    "http://app.example",
    "https://[::1",
    "https://127.0.0.1",
    "https://*",
    "*",
    "https://*.example",
    "https://relais.example\x00",
    "https://ⓡelais.example".encode().decode("latin1"),
]


@pytest.mark.parametrize("origin", FOREIGN)
async def test_page_of_another_origin_stays_outside(origin):
    assert not await is_let_in(origin)


async def test_second_origin_does_not_hide_the_first():
    assert not await is_let_in(["https://evil.example", "https://relais.example"])
    assert not await is_let_in(["https://relais.example", "https://evil.example"])


@pytest.mark.parametrize(
    ("origin", "host", "scheme", "let_in"),
    [
        ("http://localhost:8000", "localhost:8000", "ws", True),
        ("http://localhost", "localhost:80", "ws", True),
        ("http://[::1]:8000", "[::1]:8000", "ws", True),
        ("http://localhost:8000", "localhost:8001", "ws", False),
        ("https://localhost:8000", "localhost:8000", "ws", False),
        # Daphne tells no scheme, so the page's own is accepted.
        ("https://relais.example", HOST, None, True),
        ("http://relais.example", HOST, None, True),
        # A page whose own name points to our address (DNS rebinding) talks to "its own host".
        ("https://evil.example", "evil.example", "wss", False),
        ("http://evil.example:8000", "evil.example:8000", None, False),
        ("https://relais.example", None, "wss", False),
        ("https://", "", "wss", False),
    ],
)
async def test_same_origin_is_the_host_it_talks_to_and_that_host_is_ours(origin, host, scheme, let_in):
    assert await is_let_in(origin, host=host, scheme=scheme) == let_in


LOCAL = ["http://localhost:5173", "http://127.0.0.1:3000", "http://[::1]:8080", "https://localhost"]


@pytest.mark.acceptance
@pytest.mark.parametrize("origin", LOCAL)
async def test_page_of_this_machine_is_let_in_where_it_is_developed(settings, origin):
    settings.RELAIS = {**settings.RELAIS, "allowed_origin_patterns": local_origins()}

    assert await is_let_in(origin)


@pytest.mark.acceptance
@pytest.mark.parametrize(
    "origin",
    [
        "http://localhost:",
        "http://localhost#",
        "http://localhost:5173/",
        "http://localhost:5173\n",
        "http://localhost.evil.example",
        "http://localhost@evil.example",
        "http://evil.example",
        "http://127.0.0.1.evil.example:3000",
        "http://127.0.0.2:3000",
        "http://127x0.0.1",
        "null",
    ],
)
async def test_page_that_looks_like_one_of_this_machine_is_not(settings, origin):
    settings.RELAIS = {**settings.RELAIS, "allowed_origin_patterns": local_origins()}

    assert not await is_let_in(origin)


async def test_any_origin_is_let_in_where_a_developer_says_so(settings):
    settings.RELAIS = {**settings.RELAIS, "allowed_origins": ("*",)}

    assert await is_let_in("https://evil.example")
    assert await is_let_in("null")


async def test_refused_origins_are_logged_as_often_as_somebody_would_read(caplog):
    check = OriginCheck(accept)

    for _ in range(300):
        communicator = WebsocketCommunicator(
            check, "/ws/chat/1/", headers=[(b"origin", b"https://evil.example")]
        )
        assert await communicator.connect() == (False, 1000)
        await communicator.wait()

    assert 100 <= len(caplog.records) < 300


async def test_refused_origin_is_logged_without_an_end(caplog):
    await is_let_in("https://" + "e" * 1000 + ".example")

    assert [len(record.origin) for record in caplog.records] == [200]


@pytest.mark.parametrize(
    ("origin", "setting"),
    [
        ("https://Other.example", "ALLOWED_ORIGINS=https://other.example"),
        ("http://other.example:3000", "ALLOWED_ORIGINS=http://other.example:3000"),
        ("https://other.example:443", "ALLOWED_ORIGINS=https://other.example"),
        ("https://other.example#", None),
        ("null", None),
    ],
)
async def test_refused_origin_is_logged_with_what_would_let_it_in(caplog, origin, setting):
    await is_let_in(origin)

    assert [getattr(record, "allowed_with", None) for record in caplog.records] == [setting]


async def test_refusal_does_its_own_work_before_the_peer_is_told():
    told: list[str] = []

    async def first() -> None:
        told.append("done")

    async def send(message: dict[str, Any]) -> None:
        told.append(message["type"])

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    await refuse_handshake({"on_refused": first}, receive, send, status=403)

    assert told == ["done", "websocket.close"]


# ── handshakes ───────────────────────────────────────────────────────────────────────────────────────────


async def shake(app: Any, address: str, *, extensions: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """The answer to a handshake from this address."""
    told: list[dict[str, Any]] = []
    scope = {"type": "websocket", "client": [address, 1], "headers": [], "extensions": extensions or {}}

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: dict[str, Any]) -> None:
        told.append(message)

    await app(scope, receive, send)
    return told


async def test_handshakes_are_counted_per_address(settings):
    settings.RELAIS = {**settings.RELAIS, "limit_handshakes": "1/min:2"}
    app = HandshakeLimit(accept)

    answers = [(await shake(app, address))[0]["type"] for address in ("a", "a", "a", "b", "a", "b")]

    assert answers == [
        f"websocket.{what}" for what in ("accept", "accept", "close", "accept", "close", "accept")
    ]


async def test_handshakes_are_counted_per_subscriber(settings):
    settings.RELAIS = {**settings.RELAIS, "limit_handshakes": "1/min:1"}
    app = HandshakeLimit(accept)
    addresses = ("2001:db8:1:2::1", "2001:db8:1:2:ffff::7", "2001:db8:1:3::1")

    answers = [(await shake(app, address))[0]["type"] for address in addresses]

    assert answers == [f"websocket.{what}" for what in ("accept", "close", "accept")]


async def test_refused_handshake_says_when_to_come_back_where_the_server_can(settings):
    settings.RELAIS = {**settings.RELAIS, "limit_handshakes": "1/min:1"}
    app = HandshakeLimit(accept)
    await shake(app, "a")

    start, body = await shake(app, "a", extensions={"websocket.http.response": {}})

    assert (start["type"], start["status"]) == ("websocket.http.response.start", 429)
    assert dict(start["headers"])[b"retry-after"] == b"60"
    told = json.loads(body["body"])
    assert (told["status"], told["code"], told["retry_after_ms"]) == (429, "rate_limited", 60_000)


async def test_refusal_without_a_wait_names_none():
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await refuse_handshake(scope, receive, send, status=404)

    start, body = await shake(app, "a", extensions={"websocket.http.response": {}})

    length = str(len(body["body"])).encode()
    assert start["status"] == 404
    assert dict(start["headers"]) == {b"content-type": b"application/problem+json", b"content-length": length}
    assert json.loads(body["body"])["code"] == "not_found"


async def test_hub_starts_with_the_first_event_of_any_kind():
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(set(Hub._hubs.values()))

    await WithHub(app)({"type": "http"}, None, None)

    assert seen == [{Hub.current()}]
    await Hub.current().stop()
