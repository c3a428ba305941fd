"""The cost of requests without a token over HTTP, on each server as its own command starts it."""

from __future__ import annotations

import contextlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.acceptance.people import People
from tests.conftest import Backends
from tests.processes import wait_until
from tests.raw_http import PATIENCE_SECONDS, answer_of, ask, everything, line_to, request, send_until_refused
from tests.realtime.servers.raw import TEXT, Peer, frame, handshake
from tests.servers import Kind, ServerProcess, Workers

pytestmark = [pytest.mark.acceptance, pytest.mark.stack("small")]

MIB = 1024 * 1024
#: The bytes that one stranger may add to the server's peak memory.
STRANGER_BYTES = 16 * MIB
KINDS: list[Kind] = ["daphne", "uvicorn", "runserver", "h11", "fallback"]
#: There are few places, so that a test can take all of them; each address below has its own share.
PLACES = {"LIMIT_CONNECTIONS": "30", "LIMIT_CONNECTIONS_PER_ADDRESS": "10"}


@pytest.fixture(scope="module", params=[*KINDS, "workers"])
def any_server(
    request: pytest.FixtureRequest, new_backends: Callable[[], Backends]
) -> Iterator[ServerProcess]:
    """Each way to start the server. For `scripts/serve` one server is enough: it starts either in the same
    way."""
    backends = vars(new_backends())
    temporary = {"TMPDIR": str(Path(backends["database_url"].partition(":///")[2]).parent)}
    running = (
        Workers("uvicorn", workers=1, **backends, env=temporary)
        if request.param == "workers"
        else ServerProcess(request.param, **backends, env=temporary)
    )
    with running as server:
        yield server


@pytest.fixture(params=["daphne", "uvicorn", "h11"])
def crowded(request: pytest.FixtureRequest, new_backends: Callable[[], Backends]) -> Iterator[ServerProcess]:
    with ServerProcess(request.param, **vars(new_backends()), env=PLACES) as server:
        yield server


def process(server: ServerProcess) -> int:
    """The process id of the process that serves."""
    return server.workers()[0] if isinstance(server, Workers) else server.pid


def peak(pid: int) -> int:
    """The most memory that a process ever had, in bytes."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


def opened_by(pid: int) -> list[str]:
    """The names of the files that a process has open."""
    names = []
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            names.append(str(descriptor.readlink()))
    return names


def temporary_files(pid: int) -> list[str]:
    """The open files that have no name on the disk."""
    return [name for name in opened_by(pid) if re.fullmatch(r"/(?!memfd:).* \(deleted\)", name)]


def sockets(pid: int) -> int:
    """The number of sockets: connections and listeners."""
    return sum(name.startswith("socket:") for name in opened_by(pid))


@contextlib.contextmanager
def unharmed(server: ServerProcess) -> Iterator[None]:
    """Somebody else is served during the block; the server grows little, and leaves nothing on the disk."""
    pid = process(server)
    ask(server.port, request("/health/live", "Connection: close"))
    before, kept = peak(pid), temporary_files(pid)
    files: set[str] = set()
    served = 0
    is_over = threading.Event()

    def come_and_go() -> None:
        nonlocal served
        while True:
            assert ask(server.port, request("/health/live", "Connection: close")).status == 200
            served += 1
            files.update(temporary_files(pid))
            if is_over.wait(0.02):
                return

    with ThreadPoolExecutor(1) as others:
        bystander = others.submit(come_and_go)
        try:
            yield
            before_end = served
            wait_until(lambda: served > before_end + 1 or bystander.done(), seconds=30, what="is served")
        finally:
            is_over.set()
        bystander.result(PATIENCE_SECONDS)
    assert files <= set(kept)
    assert peak(pid) - before < STRANGER_BYTES


def json_body(*headers: str) -> bytes:
    return request("/api/token/", "Content-Type: application/json", *headers, method="POST")


def test_body_of_two_gigabytes_is_refused_by_its_head(any_server: ServerProcess) -> None:
    with unharmed(any_server), line_to(any_server.port) as line:
        line.sendall(json_body("Content-Length: 2000000000", "Expect: 100-continue"))

        answer = answer_of(everything(line))

    assert (answer.status, answer.code) == (413, "too_big")
    assert answer.header("connection") == "close"


@pytest.mark.parametrize("length", ["Content-Length: 2000000000", "Transfer-Encoding: chunked"])
def test_body_that_is_sent_all_the_same_is_not_read(any_server: ServerProcess, length: str) -> None:
    piece = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    with unharmed(any_server), line_to(any_server.port) as line:
        line.sendall(json_body(length))
        sent = send_until_refused(line, (piece for _ in range(1024)))  # 64 MiB
        heard = everything(line)

    assert sent < 1024
    if heard:  # a reset may overtake the answer when we write so much without reading
        assert (answer_of(heard).status, answer_of(heard).code) == (413, "too_big")
    assert '"reason": "body_too_big"' in any_server.log()


def test_body_of_chunks_that_is_a_little_too_large_is_told_why(any_server: ServerProcess) -> None:
    piece = b"10000\r\n" + b"x" * 65536 + b"\r\n"

    answer = ask(any_server.port, json_body("Transfer-Encoding: chunked"), *[piece] * 17, b"0\r\n\r\n")

    assert (answer.status, answer.code) == (413, "too_big")


def test_largest_body_arrives_whole(any_server: ServerProcess) -> None:
    body = b'{"username": "nobody", "password": "' + b"x" * (MIB - 38) + b'"}'
    assert len(body) == MIB
    head = json_body(f"Content-Length: {MIB}", "Connection: close")

    answer = ask(any_server.port, head, body)

    assert answer.status in (400, 401), answer  # the server read the whole body, and judged it


@pytest.mark.parametrize(
    ("head", "status", "code"),
    [
        (request("/health/live", *["a: b"] * 200_000), 431, "head_too_big"),
        (request("/health/live", *["a: b"] * 120), 431, "head_too_big"),
        (request("/health/live", "a: " + "x" * 40_000), 431, "head_too_big"),
        (request("/health/live", "a: " + "x" * 400_000)[:-4], 431, "head_too_big"),
        (request("/health/live?" + "x" * 9_000), 414, "target_too_long"),
        (
            request("/ws/chat/123/", "Upgrade: websocket", "Connection: Upgrade", *["a: b"] * 120),
            431,
            "head_too_big",
        ),
    ],
    ids=[
        "200,000 headers",
        "120 headers",
        "a long header",
        "one that does not end",
        "a long target",
        "a handshake",
    ],
)
def test_head_too_large_is_refused(any_server: ServerProcess, head: bytes, status: int, code: str) -> None:
    with unharmed(any_server):
        answer = ask(any_server.port, head)

    assert (answer.status, answer.code) == (status, code)


def test_every_refusal_is_counted(any_server: ServerProcess) -> None:
    ask(any_server.port, request("/health/live?" + "x" * 9_000))

    page = ask(any_server.port, request("/metrics", "Connection: close")).body.decode()
    counted = re.search(r'^relais_connections_ended_total{reason="head_too_big"} (\d+)', page, re.MULTILINE)

    assert counted is not None
    assert int(counted[1]) >= 1


def test_office_behind_one_address_opens_a_page(any_server: ServerProcess) -> None:
    """Fifteen browsers with six connections each; the requests of a page bring no token."""
    with contextlib.ExitStack() as opened:
        lines = [opened.enter_context(line_to(any_server.port)) for _ in range(90)]
        for line in lines:
            line.sendall(request("/api/nothing/", "Connection: close"))

        assert [answer_of(everything(line)).status for line in lines] == [404] * 90


# --- requests that two servers could understand differently -----------------------------------------------

SOCKET = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13")
KEYED = (*SOCKET, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")


@pytest.mark.parametrize(
    "said",
    [
        request("http://localhost/health/live"),
        request("*", method="OPTIONS"),
        request("localhost:443", method="CONNECT"),
        request("/health/live", "Host: elsewhere"),
        b"GET /health/live HTTP/1.1\r\n\r\n",
        request("/health/live", "Content-Length: 3", "Content-Length: 4", method="POST") + b"abc",
        request("/health/live", "Content-Length: 5", "Transfer-Encoding: chunked", method="POST")
        + b"0\r\n\r\n",
        request("/health/live", "Transfer-Encoding: gzip, chunked", method="POST") + b"0\r\n\r\n",
        request("/health/live", "Content-Length: +3", method="POST") + b"abc",
        request("/ws/chat/123/", *KEYED, "Content-Length: 5") + b"12345",
        request("/ws/chat/123/", *KEYED, "Transfer-Encoding: chunked") + b"5\r\n12345\r\n0\r\n\r\n",
        request("/ws/chat/123/", *KEYED, method="POST"),
        request("/ws/chat/123/", *KEYED) + request("/health/live"),
    ],
    ids=[
        "the target is a whole URL",
        "an asterisk",
        "a tunnel",
        "two hosts",
        "no host",
        "two lengths",
        "a length and chunks",
        "an unknown coding",
        "a length with a sign",
        "a handshake with a body",
        "a handshake with chunks",
        "a handshake that posts",
        "a request behind a handshake",
    ],
)
def test_ambiguous_request_is_refused(any_server: ServerProcess, said: bytes) -> None:
    answer = ask(any_server.port, said)

    assert (answer.status, answer.code) == (400, "bad_request")
    assert "Traceback" not in any_server.log()


def test_body_behind_an_offer_of_another_protocol_is_no_request(any_server: ServerProcess) -> None:
    """Java's client offers HTTP/2 with each request. Where the server cannot read its body, it does not obey
    the body."""
    body = request("/health/live", "Connection: close")
    offer = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AA")
    head = request("/health/ready", *offer, f"Content-Length: {len(body)}", method="POST")
    with line_to(any_server.port) as line:
        send_until_refused(line, [head])
        # The server may answer at once.
        heard = line.recv(1) if any_server.kind in ("uvicorn", "fallback") else b""
        send_until_refused(line, [body])
        heard += everything(line)

    assert heard.count(b"HTTP/1.1 ") == 1
    assert answer_of(heard).status in (400, 404)


def test_requests_may_be_sent_ahead_and_not_without_end(any_server: ServerProcess) -> None:
    def ask_ahead() -> None:
        with line_to(any_server.port) as line:
            head = request("/health/live")
            send_until_refused(line, [head * 5])
            heard = b""
            while heard.count(b"HTTP/1.1 200") < 5:
                heard += line.recv(65536)
            # Nobody reads these answers until the test waits for that.
            line.settimeout(2)
            with contextlib.suppress(TimeoutError):
                send_until_refused(line, [head * 1_000] * 200)  # 12 MB

    ask_ahead()  # allocates once what a process needs for so many requests in a row: some 20 MB on Daphne
    with unharmed(any_server):
        ask_ahead()


def test_requests_sent_ahead_are_not_answered_once_their_sender_has_left(any_server: ServerProcess) -> None:
    for _ in range(3):
        with line_to(any_server.port) as line:
            line.sendall(request("/api/nothing/") * 2)

    # The request waits behind them in the queue of strangers.
    assert ask(any_server.port, request("/api/nothing/", "Connection: close")).status == 404
    assert "Traceback" not in any_server.log()


def test_chunks_of_nothing_but_extensions_are_refused(any_server: ServerProcess) -> None:
    chunk = b"1;" + b"x" * 900 + b"\r\na\r\n"
    with unharmed(any_server):
        answer = ask(any_server.port, json_body("Transfer-Encoding: chunked"), *[chunk * 20] * 80)

    assert answer.status in (400, 413)


def test_body_of_too_many_pieces_is_refused(any_server: ServerProcess) -> None:
    """A body of 100 KB in chunks of one byte takes h11 as long as a hundred requests, and all others wait
    meanwhile."""
    with unharmed(any_server):
        answer = ask(any_server.port, json_body("Transfer-Encoding: chunked"), b"1\r\nx\r\n" * 20_000)

    assert (answer.status, answer.code) == (413, "too_big")


def test_endless_trailers_are_refused(any_server: ServerProcess) -> None:
    with unharmed(any_server):
        answer = ask(
            any_server.port, json_body("Transfer-Encoding: chunked"), b"0\r\n", *[b"a: b\r\n" * 5_000] * 60
        )

    assert answer.status in (400, 413)


# --- headers that must not be believed --------------------------------------------------------------------


def post(path: str, body: object, *headers: str) -> bytes:
    content = json.dumps(body).encode()
    described = ("Content-Type: application/json", f"Content-Length: {len(content)}", "Connection: close")
    return request(path, *described, *headers, method="POST") + content


@pytest.mark.parametrize(
    "header",
    [
        "Daphne-Root-Path",
        "Daphne_Root_Path",
        "X-Forwarded-Prefix",
        "X-Script-Name",
        "Script-Name",
        "SCRIPT_NAME",
    ],
)
def test_client_does_not_say_where_the_application_is(any_server: ServerProcess, header: str) -> None:
    """With this header, `/x/admin/` would pass a proxy that keeps `/admin/` from strangers."""
    answer = ask(any_server.port, request("/x/admin/login/", f"{header}: /x", "Connection: close"))

    assert answer.status == 404


@pytest.mark.parametrize("header", ["Daphne-Root-Path", "X-Forwarded-Prefix"])
def test_client_does_not_say_where_the_sockets_are(any_server: ServerProcess, header: str) -> None:
    with line_to(any_server.port) as line:
        line.sendall(handshake(any_server.port, "/ws/chat/123/", headers=f"{header}: /x\r\n"))

        assert line.recv(4096).startswith(b"HTTP/1.1 101")
    assert "Traceback" not in any_server.log()


@pytest.mark.parametrize("header", ["X-Forwarded-For", "X_Forwarded_For", "Forwarded", "X-Real-IP"])
def test_address_that_a_client_gives_itself_has_no_attempts_of_its_own(
    any_server: ServerProcess, header: str
) -> None:
    name = f"of {header}"
    statuses = [
        ask(
            any_server.port,
            post(
                "/api/token/",
                {"username": name, "password": "wrong"},
                f"{header}: {'for=' * (header == 'Forwarded')}203.0.113.{number}",
            ),
        ).status
        for number in range(14)
    ]

    assert statuses[:10] == [401] * 10
    assert statuses[-1] == 429  # on a slow machine one or two more requests may have been granted


def test_trailers_are_no_headers(any_server: ServerProcess) -> None:
    """Trailers passed no filter: the application had already been told of the headers."""
    token = People(any_server).token("ana")
    said = request("/api/me/", "Transfer-Encoding: chunked", "Connection: close") + b"0\r\n"

    answer = ask(any_server.port, said, f"Authorization: Bearer {token}\r\n\r\n".encode())

    assert answer.status == 401


# --- places -----------------------------------------------------------------------------------------------


def test_silent_connections_keep_nobody_out(crowded: ServerProcess) -> None:
    """Silent connections keep out nobody at their own address, and nobody at others when they are many."""
    before = sockets(crowded.pid)
    with contextlib.ExitStack() as opened:
        strangers = [
            opened.enter_context(line_to(crowded.port, source=f"127.0.0.{number}"))
            for number in range(20, 26)
            for _ in range(40)
        ]
        for source in ("127.0.0.20", "127.0.0.99"):
            answer = ask(crowded.port, request("/health/live", "Connection: close"), source=source)
            assert answer.status == 200
        assert sockets(crowded.pid) <= before + 31

        for stranger in strangers:  # a stranger who sends nothing is sent nothing
            assert everything(stranger) == b""
    wait_until(lambda: sockets(crowded.pid) <= before, seconds=20, what="their descriptors are closed")
    assert '"reason": "connections_per_address"' in crowded.log()
    assert '"reason": "connections"' in crowded.log()


def test_begun_requests_make_room_and_are_told(crowded: ServerProcess) -> None:
    with contextlib.ExitStack() as opened:
        lines = []
        for _ in range(10):
            lines.append(opened.enter_context(line_to(crowded.port)))
            lines[-1].sendall(b"GET / HTTP/1.1\r\nHost: ")
            # Once this is answered, everything sent before it has been read.
            assert ask(crowded.port, request("/health/live", "Connection: close")).status == 200

        answers = [answer_of(heard) for heard in map(everything, lines)]

    first = answers[0]
    assert (first.status, first.code, first.header("retry-after")) == (429, "rate_limited", "2")
    assert {answer.status for answer in answers} == {429, 408}


def test_bodies_that_drip_make_room(crowded: ServerProcess) -> None:
    with contextlib.ExitStack() as opened:
        for number in range(20, 26):
            for _ in range(10):
                line = opened.enter_context(line_to(crowded.port, source=f"127.0.0.{number}"))
                line.sendall(json_body("Content-Length: 1000") + b"{")

        answer = ask(crowded.port, request("/health/live", "Connection: close"), source="127.0.0.99")

    assert answer.status == 200


def test_open_socket_takes_no_place_of_these(crowded: ServerProcess) -> None:
    with contextlib.ExitStack() as opened:
        for _ in range(15):
            line = opened.enter_context(line_to(crowded.port))
            line.sendall(handshake(crowded.port, "/ws/chat/123/"))
            assert line.recv(4096).startswith(b"HTTP/1.1 101")

        assert ask(crowded.port, request("/health/live", "Connection: close")).status == 200
    assert '"reason": "connections' not in crowded.log()


@pytest.mark.parametrize("kind", ["daphne", "uvicorn"])
def test_proxy_of_ours_may_have_all_places(kind: Kind, new_backends: Callable[[], Backends]) -> None:
    env = PLACES | {"TRUSTED_PROXIES": "127.0.0.1"}
    with (
        ServerProcess(kind, **vars(new_backends()), env=env) as server,
        contextlib.ExitStack() as opened,
    ):
        lines = [opened.enter_context(line_to(server.port)) for _ in range(20)]
        for line in lines:
            line.sendall(request("/health/live", "X-Forwarded-For: 203.0.113.9", "Connection: close"))

        assert [answer_of(everything(line)).status for line in lines] == [200] * 20
        assert '"reason": "connections_per_address"' not in server.log()


@pytest.mark.parametrize("path", ["//ws/notifications/", "/%2Fws/notifications/"])
@pytest.mark.parametrize("kind", ["daphne", "uvicorn"])
def test_other_spelling_of_a_socket_has_its_size(
    kind: Kind, path: str, new_backends: Callable[[], Backends]
) -> None:
    with ServerProcess(kind, **vars(new_backends())) as server:
        token = People(server).token("ana")
        with Peer(server.port, f"{path}?token={token}") as peer:
            peer.send(frame(TEXT, claims=128 * 1024 + 1))

            *_, last = peer.rest()

    assert last.code == 1009
