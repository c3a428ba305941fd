"""No secret reaches a log or an answer, however it was carried, on real servers that log all they know."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
from collections.abc import Callable, Iterator
from urllib.parse import quote

import pytest

from bench.wire import frame
from tests.acceptance.people import People
from tests.accounts.forgeries import b64
from tests.attacks.raw import line_to
from tests.conftest import Backends
from tests.servers import ServerProcess

# The contents of a log do not depend on the stack.
pytestmark = pytest.mark.stack("small")

MARK = "c4n4ry"
SERVICE_KEY = f"{MARK}-service-key-0123456789-0123456789"


@pytest.fixture(params=["daphne", "uvicorn"])
def talkative(
    request: pytest.FixtureRequest, new_backends: Callable[[], Backends]
) -> Iterator[ServerProcess]:
    """A server that logs all it knows."""
    env = {
        "LIMIT_HANDSHAKES": "off",
        "LIMIT_REST": "off",
        "LOG_LEVEL": "DEBUG",
        "SERVICE_API_KEYS": SERVICE_KEY,
        "SECRET_KEY": f"{MARK}-secret-key-0123456789-0123456789-0123456789",
        "LIMIT_LOGINS": "off",
        "LIMIT_MISTAKES": "off",
        "LIMIT_FRAMES": "off",
        "LIMIT_LOGINS_PER_ADDRESS": "off",
    }
    with ServerProcess(request.param, **vars(new_backends()), env=env) as server:
        yield server


def jwt_of(words: str) -> str:
    """A token that looks like one of ours, with a mark that is readable once it is decoded."""
    header = b64(json.dumps({"alg": "HS256", "typ": "JWT"}).encode())
    return f"{header}.{b64(words.encode())}.{b64(words.encode())}"


def secrets_of(number: int) -> list[str]:
    """Texts that may be sent as a credential: whole, malformed, percent-encoded."""
    words = f"{MARK}{number:04}x"
    return [
        words,
        jwt_of(words),
        f"{words}.{words}.{words}",
        f"{words}%2e{words}",
        f"{words}\\\"'<>",
        quote(jwt_of(words), safe=""),
    ]


QUERIES = (
    "token",
    "ticket",
    "access_token",
    "refresh_token",
    "apikey",
    "api_key",
    "password",
    "%74oken",
    "TOKEN",
)
PATHS = (
    "/ws/chat/123/",
    "/ws/notifications/",
    "/ws/typing/123/",
    "/ws/",
    "/ws/nothing/",
    "/api/me/",
    "/api/nothing/",
    "/admin/",
    "/metrics",
    "/",
)


UPGRADE = (
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {}\r\n"
)
GOOD = UPGRADE.format("cmVsYWlzLWJlbmNobWFyaw==")
HEADERS = (
    "Authorization: Bearer {}",
    "Authorization: bearer   {}",
    "Authorization: Api-Key {}",
    "X-Api-Key: {}",
    "Cookie: sessionid={}; token={}",
    "Sec-WebSocket-Protocol: relais.v1, bearer.{}",
)
BODIES = (
    ("/api/token/", {"username": "ana", "password": "{}"}),
    ("/api/auth/register/", {"username": "ana", "password": "{}"}),
    ("/api/auth/password/", {"old_password": "{}", "new_password": "{}"}),
    ("/api/token/refresh/", {"refresh": "{}"}),
    ("/api/auth/logout/", {"refresh": "{}"}),
    ("/api/notifications/", {"token": "{}"}),
)
#: Requests that no server should understand.
LINES = (
    "GET /ws/chat/1/?token={}",  # without a version
    "GET /ws/chat/1/?token={} HTTP/9.9",
    "FETCH /api/me/?token={} HTTP/1.1",
    "GET http://evil.example/?token={} HTTP/1.1",
    "GET /api/me/?token={}\x00 HTTP/1.1",
    "GET /%ff?token={} HTTP/1.1",
    "CONNECT /?ticket={} HTTP/1.1",
)


def get(target: str, *extra: str) -> str:
    return f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n{''.join(extra)}\r\n"


def in_the_query() -> Iterator[str]:
    for path, name in itertools.product(PATHS, QUERIES):
        yield get(f"{path}?since=1&{name}={{}}&v=1", GOOD)
    for path in PATHS:
        for extra in (f"{GOOD}Origin: https://evil.example\r\n", UPGRADE.format("bad"), ""):
            yield get(f"{path}?token={{}}", extra)


def in_a_header() -> Iterator[str]:
    for path, header, extra in itertools.product(PATHS, HEADERS, (GOOD, "")):
        yield get(path, extra, f"{header}\r\n")


def in_a_broken_line() -> Iterator[str]:
    for line, host in itertools.product(LINES, ("127.0.0.1", "evil.example")):
        yield f"{line}\r\nHost: {host}\r\n\r\n"


def in_the_body(secret: str) -> Iterator[bytes]:
    plain = secret.replace('"', "").replace("\\", "")
    for (path, fields), spoilt in itertools.product(BODIES, ("", "}", '{"password": "')):
        body = (spoilt + json.dumps(fields).replace("{}", plain)).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        yield f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def requests() -> Iterator[tuple[bytes, list[str]]]:
    """Requests, and the secrets that they may hold."""
    for number, request in enumerate([*in_the_query(), *in_a_header(), *in_a_broken_line()]):
        secrets = secrets_of(number)
        for secret in secrets:
            yield request.replace("{}", secret).encode(), secrets
    for secret in secrets_of(0xFFFF):
        for whole in in_the_body(secret):
            yield whole, secrets_of(0xFFFF)


async def metrics_of(server: ServerProcess) -> str:
    """The server's metrics, which everybody on this machine may read."""
    async with line_to(server.port) as line:
        line.write(b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        return (await line.everything()).decode()


@pytest.mark.acceptance
@pytest.mark.timeout(240)
async def test_no_secret_is_logged_or_told(talkative: ServerProcess):
    async def ask(data: bytes, secrets: list[str]) -> None:
        async with gate, line_to(talkative.port) as line:
            line.write(data)
            heard = await line.everything(seconds=0.5)
        # An answer of ours; a redirect repeats the address that was asked for, whatever is in it.
        if b"json" in heard:
            assert not [secret for secret in secrets if secret.encode() in heard], data

    gate = asyncio.Semaphore(16)
    asked = list(requests())
    await asyncio.gather(*(ask(data, secrets) for data, secrets in asked))

    assert len(asked) > 900
    metrics = await metrics_of(talkative)
    assert "relais_handshakes_refused_total" in metrics
    assert MARK not in metrics
    shown = [line for line in talkative.log().splitlines() if MARK in line]
    assert shown == [], f"{len(shown)} lines, such as {shown[:5]}"
    assert len(re.findall(r"\[redacted\]", talkative.log())) > 100  # the log did hold those requests


async def in_frames(server: ServerProcess, token: str, wrong: str) -> None:
    """Send a token that works and one that does not, in whole and torn frames of the native socket."""
    host, refresh = f"127.0.0.1:{server.port}", {"type": "auth.refresh", "token": token, "ref": 1}
    greetings = [f'{{"type":"auth","token":"{token}"}}', json.dumps(refresh)]
    async with line_to(server.port) as line:
        assert await line.shake_hands("/ws/", host=host) == 101
        for text, answer in zip(greetings, (b'"hello"', b'"auth.refreshed"'), strict=True):
            line.write(frame(text.encode()))
            assert answer in await line.next_payload()
        for name in ("auth", "auth.refresh", "pong", "send", "subscribe"):
            for field in ("token", "id", "conversation_id", "since", "nothing"):
                for value in (wrong, [wrong], {"token": wrong}, wrong * 3):
                    text = json.dumps({"type": name, "topic": "mine", field: value})
                    for sent in (text, text[:-1], text[:-3]) if field == "token" else (text,):
                        line.write(frame(sent.encode()))
        line.write(frame(b'{"type":"ping","ref":"the end"}'))
        while b"the end" not in (heard := await line.next_payload()):
            assert wrong.encode() not in heard
    for value in (wrong, [wrong], {"token": wrong}):
        async with line_to(server.port) as line:
            assert await line.shake_hands("/ws/", host=host) == 101
            line.write(frame(json.dumps({"type": "auth", "token": value}).encode()))
            assert wrong.encode() not in await line.next_payload()
            assert await line.close_code() == 4401


@pytest.mark.acceptance
@pytest.mark.timeout(120)
async def test_no_credential_of_ours_is_logged(talkative: ServerProcess):
    """Working tokens are sent in every place that takes them, and in the frame that refreshes one."""
    people = People(talkative)
    tokens = [people.token(name) for name in ("ana", "bruno")]
    parts = {part for token in tokens for part in token.split(".")[1:]}
    good = {"Sec-WebSocket-Protocol": f"bearer.{tokens[0]}"}
    for path in ("/ws/chat/123/", "/ws/notifications/", "/ws/typing/123/", "/ws/"):
        for query, headers in (
            (f"?token={tokens[0]}", {}),
            ("", good),
            ("", {"Authorization": f"Bearer {tokens[0]}"}),
        ):
            async with line_to(talkative.port) as line:
                host = f"127.0.0.1:{talkative.port}"
                assert await line.shake_hands(path + query, host=host, headers=headers) == 101
    await in_frames(talkative, tokens[0], f"{MARK}-{tokens[1]}")
    with pytest.raises(Exception, match="HTTP Error 401"):
        people.ask("/api/token/", {"username": "ana", "password": f"{MARK}-guess"})
    people.sign_out("ana")

    told = talkative.log() + await metrics_of(talkative)
    assert not [part for part in parts if part in told]
    assert MARK not in told
