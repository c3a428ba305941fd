"""The promises of both adapters to any application: sizes, close codes, an orderly end, clean access logs."""

import contextlib
import http.client
import os
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection

from tests.processes import wait_until
from tests.realtime.servers.echo_server import EchoServer

# Slow tests run on one stack each; what is tested here does not depend on it.
pytestmark = [pytest.mark.acceptance, pytest.mark.stack("small")]

KIB = 1024


@pytest.fixture(scope="module", params=["daphne", "uvicorn"])
def server(request: pytest.FixtureRequest, server_database: str) -> Iterator[EchoServer]:
    with EchoServer(request.param, database_url=server_database) as running:
        yield running


@pytest.fixture(params=["daphne", "uvicorn"])
def own_server(request: pytest.FixtureRequest, server_database: str) -> Iterator[EchoServer]:
    """A server that the test may stop."""
    with EchoServer(request.param, database_url=server_database) as running:
        yield running


@contextlib.contextmanager
def connected(server: EchoServer, count: int) -> Iterator[list[ClientConnection]]:
    with contextlib.ExitStack() as opened:
        yield [opened.enter_context(server.connect(f"/ws/chat/{number}/")) for number in range(count)]


def failures(server: EchoServer) -> list[str]:
    """The lines of the server's log that tell of an exception."""
    return [line for line in server.log().splitlines() if "Traceback" in line or '"level": "error"' in line]


def close_code(client: ClientConnection) -> int | None:
    try:
        while True:
            client.recv(timeout=15)
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd else None


@pytest.mark.parametrize(("path", "limit"), [("/ws/chat/1/", 128 * KIB), ("/websocket", 1024 * KIB)])
def test_message_of_the_largest_size_passes_and_a_larger_one_closes_1009(
    server: EchoServer, path: str, limit: int
) -> None:
    with server.connect(path, compression=None) as client:
        client.send("x" * limit)
        assert len(client.recv(timeout=5)) == limit

        with contextlib.suppress(ConnectionClosed):  # the server may answer before everything is sent
            client.send("x" * (limit + 1))

        assert close_code(client) == 1009


def test_fragments_are_added_up(server: EchoServer) -> None:
    with server.connect("/ws/chat/1/", compression=None) as client:
        with contextlib.suppress(ConnectionClosed):  # the server may answer before everything is sent
            client.send(["x" * (100 * KIB), "x" * (100 * KIB)])

        assert close_code(client) == 1009


def test_answer_may_be_larger_than_what_is_accepted(server: EchoServer) -> None:
    with server.connect("/ws/chat/1/") as client:
        client.send("large")

        assert len(client.recv(timeout=5)) == 300_000


@pytest.mark.parametrize("code", [1000, 1012, 4404, 4503])
def test_every_close_code_arrives(server: EchoServer, code: int) -> None:
    with server.connect("/ws/chat/1/") as client:
        client.send(f"close {code}")

        assert close_code(client) == code


def test_socket_is_not_closed_for_its_age(server: EchoServer) -> None:
    # Daphne looks every 2 s; left to itself it closes after a day, here after a second.
    with server.connect("/ws/chat/1/") as client:
        time.sleep(5)
        client.send("still here")

        assert client.recv(timeout=5) == "still here"


def test_sockets_are_not_compressed(server: EchoServer) -> None:
    with server.connect("/ws/chat/1/", compression="deflate") as client:
        assert client.protocol.extensions == []


def test_refusal_has_the_status_the_headers_and_the_body_of_the_application(server: EchoServer) -> None:
    with pytest.raises(InvalidStatus) as refused:
        server.connect("/refused")

    answer = refused.value.response
    assert (answer.status_code, answer.body) == (429, b"not now")
    assert (answer.headers["content-type"], answer.headers["retry-after"]) == ("text/plain", "7")
    assert failures(server) == []


def test_secrets_stay_out_of_the_access_log(server: EchoServer) -> None:
    server.get("/api/me/?token=canary-http&limit=3")
    with server.connect("/ws/chat/1/?token=canary-socket&v=1") as client:
        client.send("hello")
        client.recv(timeout=5)

    wait_until(lambda: "limit=3" in server.log(), seconds=5, what="the access log has the request")

    assert "canary" not in server.log()
    assert "token=[redacted]" in server.log()


def test_sockets_are_told_of_the_restart(own_server: EchoServer) -> None:
    with connected(own_server, 5) as clients, ThreadPoolExecutor(5) as readers:
        codes = [readers.submit(close_code, client) for client in clients]

        own_server.stop(seconds=10)

        assert [code.result(10) for code in codes] == [1012] * 5
    assert own_server.log().count("disconnect 1012") == 5
    assert failures(own_server) == []


def test_request_in_flight_is_answered_at_the_end(own_server: EchoServer) -> None:
    with ThreadPoolExecutor(1) as client:
        body = client.submit(own_server.get, "/slow")
        wait_until(lambda: "slow begins" in own_server.log(), seconds=5, what="the request is being answered")

        own_server.stop(seconds=10)

        assert body.result(5) == b"done"


def test_endless_request_does_not_hold_the_end(own_server: EchoServer) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", own_server.port)
    connection.request("GET", "/endless")
    wait_until(lambda: "endless begins" in own_server.log(), seconds=5, what="the request is being answered")

    own_server.stop(seconds=12)

    assert not own_server.is_running
    connection.close()


def test_socket_that_never_answers_the_close_does_not_hold_the_end(own_server: EchoServer) -> None:
    # Opened below the client library, which would answer the close frame by itself.
    handshake = (
        b"GET /ws/chat/1/ HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", own_server.port)) as raw:
        raw.sendall(handshake)
        assert b"101" in raw.recv(64)

        own_server.stop(seconds=10)


def test_stop_right_after_a_handshake_is_orderly(own_server: EchoServer) -> None:
    # Stock Daphne forgets the application of a request that became a socket, and its shutdown then fails.
    with connected(own_server, 3) as clients:
        os.kill(own_server.pid, signal.SIGTERM)

        assert [close_code(client) for client in clients] == [1012] * 3
        own_server.stop(seconds=10)
    assert failures(own_server) == []
