"""REST on the two servers: what their own adapters add to an answer, or answer themselves."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse
from typing import Any, NamedTuple

import pytest

from tests.raw_http import line_to
from tests.servers import ServerProcess

pytestmark = pytest.mark.acceptance

ANA = {"email": "ana@example.com", "password": "demo-password"}
PAGE = "https://app.example.com"


class Answer(NamedTuple):
    status: int
    headers: Any
    body: bytes

    @property
    def code(self) -> str:
        assert self.headers["Content-Type"] == "application/json"
        found: str = json.loads(self.body)["errors"][0]["extensions"]["code"]
        return found


@pytest.fixture(scope="module", params=["daphne", "uvicorn"])
def server(request: pytest.FixtureRequest, new_backends: Any) -> Iterator[ServerProcess]:
    """A server that pages of one other origin may use."""
    environment = {"ALLOWED_ORIGINS": PAGE, "LIMIT_BODY_BYTES": "16384", "LIMIT_LOGINS": "off"}
    with ServerProcess(request.param, **vars(new_backends()), env=environment) as running:
        yield running


def ask(
    server: ServerProcess, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
) -> Answer:
    connection = HTTPConnection("127.0.0.1", server.port, timeout=30)
    sent = {"Content-Type": "application/json", **(headers or {})}
    connection.request(method, path, None if body is None else json.dumps(body), sent)
    answer: HTTPResponse = connection.getresponse()
    found = Answer(answer.status, answer.headers, answer.read())
    connection.close()
    return found


def signed_in(server: ServerProcess, mode: str = "session") -> Answer:
    answer = ask(server, "POST", "/auth/login", {**ANA, "mode": mode})
    assert answer.status == 200, answer.body
    return answer


def test_answer_without_content_has_neither_body_nor_type(server: ServerProcess):
    pair = json.loads(signed_in(server, "json").body)["data"]

    answer = ask(server, "POST", "/auth/logout", {"refresh_token": pair["refresh_token"]})

    assert (answer.status, answer.body, answer.headers["Content-Type"]) == (204, b"", None)


def test_ping_is_exactly_pong(server: ServerProcess):
    for path in ("/server/ping", "/server/ping/"):
        answer = ask(server, "GET", path)
        assert (answer.status, answer.body) == (200, b"pong")
        assert answer.headers["Content-Type"].startswith("text/plain")
    assert ask(server, "HEAD", "/server/ping").body == b""


def test_cookie_has_the_attributes_that_protect_it(server: ServerProcess):
    for mode, name, age in (
        ("session", "directus_session_token", "86400"),
        ("cookie", "directus_refresh_token", "604800"),
    ):
        [cookie] = signed_in(server, mode).headers.get_all("Set-Cookie")
        attributes = {part.strip().partition("=")[0]: part.partition("=")[2] for part in cookie.split(";")}

        assert attributes.pop(name)
        assert attributes.pop("expires")
        assert attributes == {"HttpOnly": "", "Max-Age": age, "Path": "/", "SameSite": "Lax", "Secure": ""}


def test_session_by_cookie_header_and_query(server: ServerProcess):
    cookie = signed_in(server).headers["Set-Cookie"].partition(";")[0]
    token = cookie.partition("=")[2]
    for answer in (
        ask(server, "GET", "/users/me", headers={"Cookie": f"a=1; {cookie}; b=2"}),
        ask(server, "GET", "/users/me", headers={"Authorization": f"Bearer {token}"}),
        ask(server, "GET", f"/users/me?access_token={token}"),
    ):
        assert json.loads(answer.body)["data"]["email"] == "ana@example.com"


def test_page_of_an_allowed_origin_and_one_of_another(server: ServerProcess):
    cookie = signed_in(server).headers["Set-Cookie"].partition(";")[0]

    def write(origin: str) -> Answer:
        headers = {"Cookie": cookie, "Origin": origin}
        return ask(server, "PATCH", "/users/me", {"last_name": "Lima"}, headers)

    answer = write(PAGE)
    assert answer.status == 200
    assert answer.headers["Access-Control-Allow-Origin"] == PAGE
    assert answer.headers["Access-Control-Allow-Credentials"] == "true"
    assert write(server.url).status == 200
    answer = write("https://evil.example")
    assert (answer.status, answer.code) == (403, "FORBIDDEN")
    assert answer.headers["Access-Control-Allow-Origin"] is None


def test_page_can_read_every_failure(server: ServerProcess):
    for method, path, code in (
        ("GET", "/users/me", "INVALID_CREDENTIALS"),
        ("GET", "/items/nowhere/7/8", "ROUTE_NOT_FOUND"),
        ("DELETE", "/auth/login", "METHOD_NOT_ALLOWED"),
    ):
        answer = ask(server, method, path, headers={"Origin": PAGE})

        assert answer.code == code
        assert answer.headers["Access-Control-Allow-Origin"] == PAGE
        assert answer.headers.get_all("Access-Control-Allow-Origin") == [PAGE]


def test_preflight(server: ServerProcess):
    wish = {"Access-Control-Request-Method": "SEARCH", "Access-Control-Request-Headers": "authorization"}
    answer = ask(server, "OPTIONS", "/items/articles", headers={**wish, "Origin": PAGE})

    assert (answer.status, answer.body) == (204, b"")
    assert "SEARCH" in answer.headers["Access-Control-Allow-Methods"]
    assert answer.headers["Access-Control-Allow-Credentials"] == "true"


def test_search_is_a_method_that_arrives(server: ServerProcess):
    assert ask(server, "SEARCH", "/items/nowhere/7/8", {"query": {}}).code == "ROUTE_NOT_FOUND"


def test_body_that_the_server_itself_refuses(server: ServerProcess):
    """By its length, and by what has come of it; the answer is the server's own."""
    with line_to(server.port) as line:
        line.sendall(b"POST /auth/login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\n\r\n")
        by_length = read(line)
    with line_to(server.port) as line:
        line.sendall(
            b"POST /auth/login?x=1 HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        line.sendall(b"8000\r\n" + b"x" * 0x8000 + b"\r\n")
        by_size = read(line)

    assert [(each.status, each.code) for each in (by_length, by_size)] == [(413, "CONTENT_TOO_LARGE")] * 2


def test_refusal_after_a_request_of_the_dialect_has_our_own_shape(server: ServerProcess):
    with line_to(server.port) as line:
        line.sendall(b"GET /server/ping HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert read(line).body == b"pong"
        line.sendall(b"nonsense\r\n\r\n")
        answer = read(line)

    assert (answer.status, answer.headers["Content-Type"]) == (400, "application/problem+json")


def read(line: socket.socket) -> Answer:
    answer = HTTPResponse(line)
    answer.begin()
    return Answer(answer.status, answer.headers, answer.read())


def test_tokens_stand_in_no_log(server: ServerProcess):
    cookie = signed_in(server).headers["Set-Cookie"].partition(";")[0]
    token = cookie.partition("=")[2]
    ask(server, "GET", f"/users/me?access_token={token}")
    ask(server, "GET", "/users/me?access_token=a-static-token-that-leaks")
    ask(server, "GET", "/users/me", headers={"Cookie": cookie})

    logged = server.log()
    assert "/users/me" in logged
    assert "a-static-token-that-leaks" not in logged
    assert token.rpartition(".")[2] not in logged


def test_stranger_for_whom_there_is_no_turn(new_backends: Any):
    """The layer in front of Django refuses it, in the shape of the path."""
    with ServerProcess("uvicorn", **vars(new_backends()), env={"LIMIT_STRANGERS_WAITING": "1"}) as server:
        lines = []
        for _ in range(12):
            line = socket.create_connection(("127.0.0.1", server.port), timeout=30)
            body = json.dumps(ANA).encode()
            line.sendall(
                b"POST /auth/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                b"Origin: %s\r\nContent-Length: %d\r\n\r\n" % (server.url.encode(), len(body)) + body
            )
            lines.append(line)
        answers = [read(line) for line in lines]
        for line in lines:
            line.close()

    refused = [answer for answer in answers if answer.status == 503]
    assert refused
    assert {answer.code for answer in refused} == {"SERVICE_UNAVAILABLE"}


@pytest.mark.parametrize("kind", ["daphne", "uvicorn"])
def test_nothing_of_it_is_there_when_it_is_off(kind: Any, new_backends: Any):
    with ServerProcess(kind, **vars(new_backends()), env={"DIRECTUS_ENABLED": "off"}) as server:
        for method, path in (
            ("POST", "/auth/login"),
            ("GET", "/auth"),
            ("GET", "/server/ping"),
            ("GET", "/users/me"),
            ("GET", "/items/articles"),
        ):
            answer = ask(server, method, path, ANA if method == "POST" else None, {"Origin": server.url})
            assert answer.status in (
                403,
                404,
            )  # a POST outside the API is refused by Django's own check first
            assert answer.headers["Content-Type"].startswith("text/html")
            assert answer.headers["Set-Cookie"] is None
        assert b"<html" in ask(server, "GET", "/").body
