"""The socket on the two servers: what a handshake is answered before accept, closes, and signs of life."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.http11 import Response
from websockets.sync.client import ClientConnection, connect

from tests.processes import wait_until
from tests.servers import ServerProcess, manage

pytestmark = pytest.mark.acceptance

LIMIT = 2
PERIOD = 1.0


@pytest.fixture(scope="module", params=["daphne", "uvicorn"])
def server(request: pytest.FixtureRequest, new_backends: Callable[[], Any]) -> Iterator[ServerProcess]:
    environment = {
        "WEBSOCKETS_REST_CONN_LIMIT": str(LIMIT),
        "WEBSOCKETS_REST_AUTH": "public",
        "WEBSOCKETS_HEARTBEAT_PERIOD": str(int(PERIOD)),
    }
    with ServerProcess(request.param, **vars(new_backends()), env=environment) as running:
        yield running


@pytest.fixture(scope="module")
def token(server: ServerProcess) -> str:
    return manage("token", "ana", database_url=server.database_url, redis_url=server.redis_url).strip()


def opened(server: ServerProcess, query: str = "", **options: Any) -> ClientConnection:
    """A socket, once the server has noticed the end of those before it."""

    found: list[ClientConnection] = []

    def is_open() -> bool:
        with contextlib.suppress(InvalidStatus):
            found.append(connect(f"{server.ws_url}/websocket{query}", **options))
        return bool(found)

    wait_until(is_open, seconds=10, what="there is a place")
    return found[0]


def refusal(server: ServerProcess, query: str = "", **options: Any) -> Response:
    with pytest.raises(InvalidStatus) as refused:
        connect(f"{server.ws_url}/websocket{query}", **options)
    return refused.value.response


@pytest.mark.parametrize(
    ("query", "headers"),
    [("?access_token=nonsense", {}), ("", {"Cookie": "directus_session_token=nonsense"})],
    ids=["address", "cookie"],
)
def test_credential_that_is_wrong_is_refused_with_401_and_no_body(
    server: ServerProcess, query: str, headers: dict[str, str]
) -> None:
    def is_401() -> bool:  # places of the test before may not be free yet
        answer = refusal(server, query, additional_headers=headers)
        return (answer.status_code, answer.body) == (401, b"")

    wait_until(is_401, seconds=10, what="the refusal")


def test_socket_too_many_is_refused_with_403_and_no_body(server: ServerProcess, token: str) -> None:
    with contextlib.ExitStack() as sockets:
        for _ in range(LIMIT):
            sockets.enter_context(opened(server))

        for query in ("", f"?access_token={token}", "?access_token=nonsense"):  # before anything is looked up
            answer = refusal(server, query)
            assert (answer.status_code, answer.body) == (403, b"")


def test_cookie_opens_nothing_for_a_page_of_another_origin(server: ServerProcess, token: str) -> None:
    cookie = {"Cookie": f"directus_session_token={token}"}

    assert refusal(server, additional_headers=cookie, origin="https://elsewhere.example").status_code == 403
    with opened(server, additional_headers=cookie, origin=server.url) as socket:
        socket.send('{"type":"subscribe","collection":"posts"}')
        assert heard(socket)["event"] == "init"


def heard(socket: ClientConnection) -> dict[str, Any]:
    """The next frame that is no ping."""
    while (frame := json.loads(socket.recv(timeout=10))) == {"type": "ping"}:
        socket.send('{"type":"pong"}')
    return dict(frame)


def until_closed(socket: ClientConnection) -> int | None:
    try:
        while True:
            socket.recv(timeout=10)
    except ConnectionClosed as closed:
        return None if closed.rcvd is None else closed.rcvd.code


def test_client_that_says_nothing_is_closed(server: ServerProcess) -> None:
    began = time.monotonic()
    with opened(server, ping_interval=None) as socket:
        assert until_closed(socket) == 1008
    assert time.monotonic() - began >= 2 * PERIOD


def test_pings_of_the_protocol_are_answered_and_are_a_sign_of_life(server: ServerProcess) -> None:
    with opened(server, ping_interval=None) as socket:
        until, pings = time.monotonic() + 4 * PERIOD, 0
        while time.monotonic() < until:
            assert socket.ping().wait(5), "no pong came"
            with contextlib.suppress(TimeoutError):
                pings += json.loads(socket.recv(timeout=PERIOD / 4)) == {"type": "ping"}

        assert pings >= 3
        socket.send('{"type":"ping","uid":1}')
        assert heard(socket) == {"type": "pong", "uid": 1}


def test_frame_that_is_too_large_closes_with_1009(server: ServerProcess) -> None:
    with opened(server) as socket:
        with contextlib.suppress(ConnectionClosed):  # the server may close before everything is sent
            socket.send("x" * (1024 * 1024 + 1))
        assert until_closed(socket) == 1009


def test_binary_frame_of_json_is_read(server: ServerProcess) -> None:
    with opened(server) as socket:
        socket.send('{"type":"ping","uid":"é"}'.encode())

        assert heard(socket) == {"type": "pong", "uid": "é"}
