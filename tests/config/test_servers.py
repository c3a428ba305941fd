"""The product on both servers: no token in their logs, and unknown paths without a traceback."""

import http.client
import json
import time

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin

from tests.processes import wait_until
from tests.servers import ServerProcess, manage
from tests.services import PostgresServer, RedisServer

# Slow tests run on one stack each; what is tested here does not depend on it.
pytestmark = [pytest.mark.acceptance, pytest.mark.stack("small")]

CANARY = "canary-5d1e9b"
#: The promise is 3 s; the rest allows for a busy machine.
READY_SECONDS = 8.0


def request(
    server: ServerProcess, method: str, path: str, body: object = None, **headers: str
) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        headers["Content-Type"] = "application/json"
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_no_token_reaches_the_log(server: ServerProcess) -> None:
    status, body = request(server, "POST", "/api/token/", {"username": "ana", "password": "demo-password"})
    assert status == 200, body
    tokens = json.loads(body)
    access, refresh = tokens["access"], tokens["refresh"]

    with connect(f"{server.ws_url}/ws/chat/123/?token={access}&marker=good") as socket:
        socket.send(json.dumps({"message": "Bonjour"}))
        assert json.loads(socket.recv(timeout=10))["content"] == "Bonjour"
    with connect(f"{server.ws_url}/ws/chat/123/?ticket={CANARY}") as socket:
        socket.recv(timeout=10)  # an error frame says why
        with pytest.raises(ConnectionClosed):
            socket.recv(timeout=10)
    request(server, "GET", f"/api/me/?token={access}&access_token={CANARY}", Authorization=f"Bearer {access}")
    request(server, "GET", "/api/me/?marker=bad", Authorization=f"Bearer {CANARY}")
    request(server, "POST", "/api/token/refresh/", {"refresh": refresh})
    request(server, "GET", f"/nowhere/?refresh={refresh}&apikey={CANARY}")

    wait_until(lambda: "/nowhere/" in server.log(), seconds=10, what="the last request is in the log")
    written = server.log()
    assert "[redacted]" in written
    for secret in (CANARY, access, refresh, access.rpartition(".")[2], "demo-password"):
        assert secret not in written


def test_unknown_path_is_refused_without_a_traceback(server: ServerProcess) -> None:
    with pytest.raises(InvalidStatus) as refused, connect(f"{server.ws_url}/ws/nowhere/"):
        pass

    assert refused.value.response.status_code == 404
    assert "Traceback" not in server.log()


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/ws/chat/7", "Did you mean /ws/chat/7/"),
        ("/chat/8/", "Did you mean /ws/chat/8/"),
        ("//ws//notifications", "Did you mean /ws/notifications/"),
        ("/ws/nowhere/9/", "There are /ws/chat/{conversation_id}/, /ws/notifications/"),
    ],
)
def test_wrong_socket_path_is_told_the_right_one(server: ServerProcess, path: str, told: str) -> None:
    before = len(server.log())
    with pytest.raises(InvalidStatus) as refused, connect(f"{server.ws_url}{path}?token={CANARY}"):
        pass

    def line() -> str:
        return "".join(row for row in server.log()[before:].splitlines() if "no such path" in row)

    wait_until(lambda: bool(line()), seconds=30, what="the log says why")
    assert told in line()
    assert "origin" not in line()
    assert CANARY not in server.log()[before:]
    answer = refused.value.response
    assert answer.status_code == 404
    assert told in json.loads(answer.body)["detail"]


def test_page_of_another_origin_is_told_apart_in_the_log(server: ServerProcess) -> None:
    before = len(server.log())
    with (
        pytest.raises(InvalidStatus) as refused,
        connect(f"{server.ws_url}/ws/notifications/", origin=Origin("https://pages.example")),
    ):
        pass

    assert refused.value.response.status_code == 403
    wait_until(lambda: "foreign origin" in server.log()[before:], seconds=30, what="the log says why")
    assert "ALLOWED_ORIGINS=https://pages.example" in server.log()[before:]
    assert "no such path" not in server.log()[before:]


def test_static_files_are_served(server: ServerProcess) -> None:
    status, body = request(server, "GET", "/static/admin/css/base.css")

    assert status == 200
    assert b"{" in body


def test_ready_answers(server: ServerProcess) -> None:
    status, body = request(server, "GET", "/health/ready", Host="10.0.0.7")

    assert status == 200
    assert json.loads(body)["database"] == "ok"


def test_ready_tells_what_is_away_and_when_it_is_back() -> None:
    with (
        PostgresServer() as postgres,
        RedisServer() as redis,
        ServerProcess("daphne", database_url=postgres.url, redis_url=redis.url) as server,
    ):
        manage("migrate", "--verbosity", "0", database_url=postgres.url)

        def ready() -> tuple[int, dict[str, str]]:
            started = time.monotonic()
            status, body = request(server, "GET", "/health/ready")
            assert time.monotonic() - started < READY_SECONDS
            return status, json.loads(body)

        def becomes(code: int, **parts: str) -> None:
            what = f"readiness is {code} {parts}"
            wait_until(lambda: ready() == (code, parts), seconds=15, what=what)

        becomes(200, status="ok", database="ok", layer="ok")

        redis.kill()
        becomes(200, status="degraded", database="ok", layer="lost")
        redis.start()
        becomes(200, status="ok", database="ok", layer="ok")

        postgres.kill()
        becomes(503, status="unavailable", database="unavailable", layer="ok")
        assert request(server, "GET", "/health/live")[0] == 200
        postgres.start()
        becomes(200, status="ok", database="ok", layer="ok")
