"""No secret reaches a log or an answer, however it was carried: real servers that log all they know."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
from collections.abc import Callable, Iterator
from urllib.parse import quote

import pytest

from tests.acceptance.people import People
from tests.accounts.forgeries import b64
from tests.attacks.raw import line_to
from tests.conftest import Backends
from tests.servers import ServerProcess

# What a log holds does not depend on the stack.
pytestmark = pytest.mark.stack("small")

MARK = "c4n4ry"
SERVICE_KEY = f"{MARK}-service-key-0123456789-0123456789"


@pytest.fixture(params=["daphne", "uvicorn"])
def talkative(
    request: pytest.FixtureRequest, new_backends: Callable[[], Backends]
) -> Iterator[ServerProcess]:
    """It logs all it knows."""
    env = {
        "LIMIT_HANDSHAKES": "off",
        "LIMIT_REST": "off",
        "LOG_LEVEL": "DEBUG",
        "SERVICE_API_KEYS": SERVICE_KEY,
        "SECRET_KEY": f"{MARK}-secret-key-0123456789-0123456789-0123456789",
        "LIMIT_LOGINS": "off",
        "LIMIT_LOGINS_PER_ADDRESS": "off",
    }
    with ServerProcess(request.param, **vars(new_backends()), env=env) as server:
        yield server


def jwt_of(words: str) -> str:
    """Looks like one of ours, and carries its mark readable once decoded."""
    header = b64(json.dumps({"alg": "HS256", "typ": "JWT"}).encode())
    return f"{header}.{b64(words.encode())}.{b64(words.encode())}"


def secrets_of(number: int) -> list[str]:
    """What somebody may send where a credential is expected: whole, malformed, percent-encoded."""
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
#: What no server should understand.
LINES = (
    "GET /ws/chat/1/?token={}",  # no version
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
    """Requests, and the secrets that may be in them."""
    for number, request in enumerate([*in_the_query(), *in_a_header(), *in_a_broken_line()]):
        secrets = secrets_of(number)
        for secret in secrets:
            yield request.replace("{}", secret).encode(), secrets
    for secret in secrets_of(0xFFFF):
        for whole in in_the_body(secret):
            yield whole, secrets_of(0xFFFF)


@pytest.mark.acceptance
@pytest.mark.timeout(240)
async def test_no_secret_is_logged_or_told(talkative: ServerProcess):
    async def ask(data: bytes, secrets: list[str]) -> None:
        async with gate, line_to(talkative.port) as line:
            line.write(data)
            heard = await line.everything(seconds=0.5)
        if b"json" in heard:  # ours; a redirect names the address that was asked for, whatever is in it
            assert not [secret for secret in secrets if secret.encode() in heard], data

    gate = asyncio.Semaphore(16)
    asked = list(requests())
    await asyncio.gather(*(ask(data, secrets) for data, secrets in asked))

    assert len(asked) > 900
    async with line_to(talkative.port) as line:
        line.write(b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        metrics = await line.everything()
    assert b"relais_handshakes_refused_total" in metrics
    assert MARK.encode() not in metrics
    shown = [line for line in talkative.log().splitlines() if MARK in line]
    assert shown == [], f"{len(shown)} lines, such as {shown[:5]}"
    assert len(re.findall(r"\[redacted\]", talkative.log())) > 100  # it did log those requests


@pytest.mark.acceptance
@pytest.mark.timeout(120)
async def test_no_credential_of_ours_is_logged(talkative: ServerProcess):
    """Tokens that work, on every carrier that takes them, and the frame that refreshes one."""
    people = People(talkative)
    tokens = [people.token(name) for name in ("ana", "bruno")]
    parts = {part for token in tokens for part in token.split(".")[1:]}
    good = {"Sec-WebSocket-Protocol": f"bearer.{tokens[0]}"}
    for path in ("/ws/chat/123/", "/ws/notifications/", "/ws/typing/123/"):
        for query, headers in (
            (f"?token={tokens[0]}", {}),
            ("", good),
            ("", {"Authorization": f"Bearer {tokens[0]}"}),
        ):
            async with line_to(talkative.port) as line:
                host = f"127.0.0.1:{talkative.port}"
                assert await line.shake_hands(path + query, host=host, headers=headers) == 101
    with pytest.raises(Exception, match="HTTP Error 401"):
        people.ask("/api/token/", {"username": "ana", "password": f"{MARK}-guess"})
    people.sign_out("ana")

    log = talkative.log()
    assert not [part for part in parts if part in log]
    assert MARK not in log
