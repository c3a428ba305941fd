"""Peers that behave badly hold little and are ended; the log says why, and nobody else waits."""

import contextlib
import json
import socket
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from bench.machine import cpu_seconds, descriptors, memory
from tests.processes import wait_until
from tests.raw_http import answer_of, everything, line_to, request
from tests.realtime.servers.echo_server import WORKED, EchoServer
from tests.realtime.servers.raw import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PATIENCE_SECONDS,
    PING,
    PONG,
    TEXT,
    Frame,
    Peer,
    close_frame,
    frame,
    handshake,
)

# These tests depend on neither database nor Redis.
pytestmark = [pytest.mark.acceptance, pytest.mark.stack("small")]

MIB = 1024 * 1024
NATIVE = 128 * 1024
#: The memory that one attacker may cost, and the time until it is told to go.
ATTACKER_BYTES = 16 * MIB
#: Less than any limit of the server takes to end it (LIMIT_HEAD_SECONDS and CLOSE_SECONDS are 5).
SOON_SECONDS = 4.0
#: The work that a server may do for an attacker while somebody else waits, in slices (`work_of_a_slice`):
#: wall time would show how busy the machine is, and seconds of a core how slow. An answer takes up to eight;
#: a flood in the kernel's buffers, parsed at once, more than forty.
TURN_SLICES = 20
#: The bytes that a server should parse in one turn of its loop. This is not the server's own figure, which
#: may be wrong.
SLICE_BYTES = 16 * 1024
#: There is a bound by the clock as well: a server that stands still does no work at all.
STILL_SECONDS = 5.0
#: The same for a crowd of peers that do not read; each is cut 5 s after it was found too slow.
CROWD_BYTES = 32 * MIB
CUT_SECONDS = 12.0


@pytest.fixture(scope="module", params=["uvicorn", "daphne"])
def server(request: pytest.FixtureRequest, server_database: str) -> Iterator[EchoServer]:
    with EchoServer(request.param, database_url=server_database) as running:
        yield running


@pytest.fixture(params=["uvicorn", "daphne"])
def impatient(request: pytest.FixtureRequest, server_database: str) -> Iterator[EchoServer]:
    """Gives a message 1 s to be finished; pings as always."""
    with EchoServer(
        request.param, database_url=server_database, env={"LIMIT_UNFINISHED_SECONDS": "1"}
    ) as running:
        yield running


@pytest.fixture(params=["uvicorn", "daphne"])
def pinging(request: pytest.FixtureRequest, server_database: str) -> Iterator[EchoServer]:
    """Pings after 1 s of silence and gives 2 s to answer, on Daphne up to 3."""
    pings = {"LIMIT_PING_SECONDS": "1", "LIMIT_PONG_SECONDS": "2"}
    with EchoServer(request.param, database_url=server_database, env=pings) as running:
        yield running


@pytest.fixture(params=["uvicorn", "daphne"])
def lenient(request: pytest.FixtureRequest, server_database: str) -> Iterator[EchoServer]:
    """Takes any number of pings."""
    with EchoServer(
        request.param, database_url=server_database, env={"LIMIT_CONTROL_FRAMES": "off"}
    ) as running:
        yield running


PROMPT = {"LIMIT_HEAD_SECONDS": "1", "LIMIT_BODY_SECONDS": "1", "LIMIT_ANSWER_SECONDS": "1"}


@pytest.fixture(params=["uvicorn", "h11", "daphne"])
def prompt(request: pytest.FixtureRequest, server_database: str) -> Iterator[EchoServer]:
    """Gives the head of a request one second, its body another, and the peer as much to take its answer."""
    with EchoServer(request.param, database_url=server_database, env=PROMPT) as running:
        yield running


@pytest.fixture(params=["uvicorn", "daphne"])
def patient(request: pytest.FixtureRequest, server_database: str) -> Iterator[EchoServer]:
    """Gives a message 3 s, five times what a slow peer takes here: the machine may be slow as well."""
    env = {"LIMIT_UNFINISHED_SECONDS": "3"}
    with EchoServer(request.param, database_url=server_database, env=env) as running:
        yield running


def text_of(peer: Peer) -> bytes:
    """The next text; the server's own pings before it are answered."""
    while (got := peer.frame()).opcode == PING:
        peer.send(frame(PONG, got.payload))
    assert got.opcode == TEXT
    return got.payload


def work_of_a_slice(server: EchoServer) -> float:
    """The seconds of a core that the server needs for what it parses in one turn: the unit for all others."""
    empty = frame(CONTINUATION, fin=False)
    with Peer(server.port, "/ws/echo/reference/") as peer:
        began = cpu_seconds(server.pid)
        peer.send(frame(TEXT, fin=False) + empty * (SLICE_BYTES // len(empty)) + frame(CONTINUATION, WORKED))
        return float(text_of(peer)) - began


@contextlib.contextmanager
def unharmed(server: EchoServer, *, at_most: int = ATTACKER_BYTES) -> Iterator[None]:
    """Somebody else talks to the server during the block and notices nothing; its memory does not grow by
    much."""
    waits: list[float] = []
    works: list[float] = []
    grown: list[int] = []
    has_begun, is_over = threading.Event(), threading.Event()

    def talk() -> None:
        with Peer(server.port, "/ws/echo/bystander/") as peer:
            while True:
                began = time.monotonic()
                peer.send(frame(TEXT, WORKED))
                asked = cpu_seconds(server.pid)
                # The server's own figure at that moment: it goes on working while its answer waits for our
                # thread.
                works.append(float(text_of(peer)) - asked)
                waits.append(time.monotonic() - began)
                grown.append(memory(server.pid).unique - before)
                has_begun.set()
                if is_over.wait(0.01):
                    return

    a_slice = statistics.median(work_of_a_slice(server) for _ in range(5))
    before = memory(server.pid).unique
    with ThreadPoolExecutor(1) as others:
        bystander = others.submit(talk)
        has_begun.wait(PATIENCE_SECONDS)  # an attack may be over before one of our threads has its first turn
        try:
            yield
        finally:
            is_over.set()
        bystander.result(30)
    assert max(grown) <= at_most
    assert sorted(works)[int(len(works) * 0.99)] < TURN_SLICES * a_slice
    assert max(waits) < STILL_SECONDS


def told(server: EchoServer, reason: str) -> bool:
    """Whether the log gives this reason, in a line of its own."""
    lines = [line for line in server.log().splitlines() if f'"reason": "{reason}"' in line]
    return any(json.loads(line)["socket_path"].startswith("/ws/echo/") for line in lines)


def last_code(peer: Peer) -> int | None:
    """The code of the server's close frame, which must be the last frame it sends."""
    *_, last = peer.rest()
    assert last.opcode == CLOSE
    return last.code


@pytest.mark.parametrize("payload", [b"x", b""], ids=["of one byte", "empty"])
def test_message_in_endless_fragments_is_ended(server: EchoServer, payload: bytes) -> None:
    thousand = frame(CONTINUATION, payload, fin=False) * 1000
    with unharmed(server), Peer(server.port, "/ws/echo/") as peer, ThreadPoolExecutor(1) as sender:
        peer.send(frame(TEXT, b"x", fin=False))
        sender.submit(peer.send_until_refused, *[thousand] * 1000)

        assert last_code(peer) == 1009
    assert told(server, "too_many_fragments")


@pytest.mark.parametrize(
    ("claims", "codes"),
    [(NATIVE + 1, {1009}), ((1 << 63) - 1, {1009}), (1 << 63, {1002, 1009}), ((1 << 64) - 1, {1002, 1009})],
)
def test_header_of_a_message_too_large_is_enough_to_be_refused(
    server: EchoServer, claims: int, codes: set[int]
) -> None:
    with Peer(server.port, "/ws/echo/") as peer:
        peer.send(frame(BINARY, claims=claims))
        began = time.monotonic()

        assert last_code(peer) in codes
    assert time.monotonic() - began < SOON_SECONDS
    assert told(server, "too_big")


def test_frames_after_a_violation_are_neither_obeyed_nor_kept(server: EchoServer) -> None:
    with unharmed(server), Peer(server.port, "/ws/echo/") as peer:
        peer.send_until_refused(frame(3), *[frame(TEXT, b"x" * 65536)] * 500)

        assert last_code(peer) == 1002
    assert told(server, "protocol_error")


def test_compression_is_not_negotiated(server: EchoServer) -> None:
    offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"

    with Peer(server.port, "/ws/echo/", headers=offer) as peer:
        assert "sec-websocket-extensions" not in peer.response.lower()


@pytest.mark.parametrize(
    "begun",
    [
        frame(TEXT, b"half", claims=8),
        b"\x81",
        frame(TEXT, b"first", fin=False),
        frame(TEXT, b"first", fin=False) + frame(PING),
    ],
    ids=["mid-frame", "mid-header", "mid-message", "mid-message, but pinging"],
)
def test_message_that_is_never_finished_is_ended(impatient: EchoServer, begun: bytes) -> None:
    with Peer(impatient.port, "/ws/echo/") as peer:
        peer.send(begun)

        assert last_code(peer) == 4408
    assert told(impatient, "unfinished_message")


WHOLE = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"


@pytest.mark.parametrize(
    "begun",
    [
        b"",
        b"GET /ws/echo/ HT",
        b"GET /ws/echo/ HTTP/1.1\r\nUpgrade: websocket\r\n",
        WHOLE + b"GET /ws/echo/ HT",
    ],
    ids=["nothing", "mid-line", "mid-head", "mid-second"],
)
def test_request_that_is_never_asked_is_given_up(prompt: EchoServer, begun: bytes) -> None:
    began = time.monotonic()  # before the server may begin to count
    with socket.create_connection(("127.0.0.1", prompt.port), timeout=5) as peer:
        peer.sendall(begun)

        with contextlib.suppress(ConnectionResetError):
            while peer.recv(4096):
                pass

        assert 0.9 < time.monotonic() - began < 4
    if not begun.startswith(WHOLE):
        assert '"reason": "unfinished_head"' in prompt.log()


POST = b"POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\n"


def test_request_whose_body_does_not_come_is_given_up(prompt: EchoServer) -> None:
    with socket.create_connection(("127.0.0.1", prompt.port), timeout=5) as peer:
        began = time.monotonic()
        peer.sendall(POST + b"abc")

        answer = answer_of(everything(peer))

        assert 0.9 < time.monotonic() - began < 4
    assert (answer.status, answer.code) == (408, "too_slow")
    assert '"reason": "unfinished_body"' in prompt.log()


def drip(port: int, *before: bytes, endless: bytes) -> tuple[float, bytes]:
    """Send a beginning, and then the rest bit by bit until the server ends it: after how long, and how."""
    with line_to(port) as peer:
        for piece in before:
            peer.sendall(piece)
        began = time.monotonic()
        peer.settimeout(0.05)
        heard = b""
        while time.monotonic() - began < PATIENCE_SECONDS:
            try:
                peer.sendall(endless)
                more = peer.recv(65536)
            except TimeoutError:  # the server says nothing for as long as it waits
                continue
            except OSError:
                break
            if not more:
                break
            heard += more
        return time.monotonic() - began, heard


def test_body_that_drips_is_ended_all_the_same(prompt: EchoServer) -> None:
    lasted, heard = drip(prompt.port, POST.replace(b"6", b"600"), endless=b"a")

    assert 0.9 < lasted < 4
    assert (answer_of(heard).status, answer_of(heard).code) == (408, "too_slow")
    assert '"reason": "unfinished_body"' in prompt.log()


def test_chunks_that_drip_are_ended_all_the_same(prompt: EchoServer) -> None:
    head = request("/body", "Transfer-Encoding: chunked", method="POST")

    lasted, _ = drip(prompt.port, head, endless=b"1\r\na\r\n")

    assert 0.9 < lasted < 4


def test_head_that_drips_is_ended_all_the_same(prompt: EchoServer) -> None:
    lasted, heard = drip(prompt.port, b"GET / HTTP/1.1\r\nX-Long: ", endless=b"a")

    assert 0.9 < lasted < 4
    assert (answer_of(heard).status, answer_of(heard).code) == (408, "too_slow")
    assert '"reason": "unfinished_head"' in prompt.log()


def test_empty_lines_between_two_requests_keep_no_connection(prompt: EchoServer) -> None:
    lasted, heard = drip(prompt.port, request("/"), endless=b"\r\n")

    assert lasted < 4  # a parser may have no patience with them at all
    assert answer_of(heard).status == 200


def test_body_that_comes_slowly_but_in_time_is_taken(server: EchoServer) -> None:
    with line_to(server.port) as peer:
        peer.sendall(POST)
        for piece in (b"abc", b"def"):
            time.sleep(0.3)
            peer.sendall(piece)

        assert peer.recv(4096).startswith(b"HTTP/1.1 200")


def test_application_that_does_not_read_a_body_costs_its_peer_nothing(prompt: EchoServer) -> None:
    """On Daphne the body is complete before the application has its first turn."""
    body = b"x" * 1_000_000
    with line_to(prompt.port) as peer, ThreadPoolExecutor(1) as sender:
        head = request("/body/later", f"Content-Length: {len(body)}", "Connection: close", method="POST")
        sender.submit(peer.sendall, head + body)

        assert answer_of(everything(peer)).status == 200  # after two seconds, with one second for the body


def test_answer_that_nobody_reads_is_given_up(prompt: EchoServer) -> None:
    before = descriptors(prompt.pid)
    with contextlib.ExitStack() as opened:
        for _ in range(5):
            peer = opened.enter_context(line_to(prompt.port, receive_bytes=4096))
            peer.sendall(request("/large"))
        wait_until(lambda: prompt.log().count("large begins") == 5, seconds=20, what="all are answered")
        grown = memory(prompt.pid).unique

        wait_until(lambda: descriptors(prompt.pid) <= before, seconds=20, what="their lines are cut")

    assert prompt.log().count('"reason": "unread_answer"') == 5
    assert memory(prompt.pid).unique - grown < ATTACKER_BYTES


def test_large_answer_waits_for_a_reader_and_not_in_memory(server: EchoServer) -> None:
    before = memory(server.pid).unique
    with contextlib.ExitStack() as opened:
        readers = [opened.enter_context(line_to(server.port, receive_bytes=4096)) for _ in range(8)]
        begun = server.log().count("large begins")
        for reader in readers:
            reader.sendall(request("/large", "Connection: close"))
        wait_until(
            lambda: server.log().count("large begins") == begun + 8, seconds=20, what="all are answered"
        )
        time.sleep(0.5)

        assert memory(server.pid).unique - before < ATTACKER_BYTES  # all of them are 64 MiB
        assert len(answer_of(everything(readers[0])).body) == 8 * MIB


def test_answer_may_take_longer_than_the_question(prompt: EchoServer) -> None:
    assert prompt.get("/slow") == b"done"  # after two seconds


def test_slow_message_that_is_finished_passes_however_many_there_are(patient: EchoServer) -> None:
    with Peer(patient.port, "/ws/echo/") as peer:
        for _ in range(7):  # 4.2 s of messages, of which one is under way at any time
            peer.send(frame(TEXT, b"slow", fin=False))
            time.sleep(0.6)
            peer.send(frame(CONTINUATION, b"ly") + frame(TEXT, b"next", fin=False), frame(CONTINUATION))

            assert peer.frames(2) == [Frame(TEXT, b"slowly"), Frame(TEXT, b"next")]


def in_fragments(payload: bytes, count: int) -> bytes:
    """One message in so many small pieces."""
    return frame(TEXT, fin=False) + frame(CONTINUATION, payload, fin=False) * count + frame(CONTINUATION)


@pytest.mark.parametrize(
    "flood",
    [
        frame(PING) * 1000,
        frame(PING, b"p" * 125) * 1000,
        frame(PONG) * 1000,
        in_fragments(b"", 1000),
        in_fragments(b"x", 1000),
        in_fragments(b"x" * 100, 1000),
    ],
    ids=["pings", "long pings", "pongs", "empty fragments", "fragments of one byte", "small fragments"],
)
def test_flood_that_the_application_never_hears_of_is_ended(server: EchoServer, flood: bytes) -> None:
    with unharmed(server), Peer(server.port, "/ws/echo/") as peer, ThreadPoolExecutor(1) as sender:
        sender.submit(peer.send_until_refused, *[flood] * 50)

        assert last_code(peer) == 4429
    assert told(server, "flood")


@pytest.mark.parametrize("flood", [frame(PING) * 1000, frame(PONG) * 1000, in_fragments(b"", 1000)])
def test_server_without_our_adapter_ends_such_a_flood_too(server_database: str, flood: bytes) -> None:
    """It takes its own time: it parses all that it has read at once."""
    with EchoServer("fallback", database_url=server_database) as server:
        with Peer(server.port, "/ws/echo/") as peer:
            peer.send(frame(PING) * 150, in_fragments(b"x", 1000))
            assert peer.frames(150) == [Frame(PONG)] * 150
            assert text_of(peer) == b"x" * 1000
        with Peer(server.port, "/ws/echo/") as peer, ThreadPoolExecutor(1) as sender:
            sender.submit(peer.send_until_refused, *[flood] * 50)
            ends = peer.rest()
        if ends and ends[-1].opcode == CLOSE:  # otherwise a reset overtook it: this server does not wait
            assert ends[-1].code == 4429
        assert told(server, "flood")
        with before_it_is_let_in(server) as (line, answer):
            with contextlib.suppress(TimeoutError, ConnectionError):
                line.sendall(flood * 50)
            answer()
        assert server.log().count('"reason": "flood"') == 2


def test_peer_that_pings_sometimes_and_sends_much_in_fair_pieces_is_not_limited(server: EchoServer) -> None:
    large, part = b"x" * NATIVE, 1024
    pieces = [large[at : at + part] for at in range(0, len(large), part)]
    fair = b"".join(frame(CONTINUATION, piece, fin=False) for piece in pieces)
    with Peer(server.port, "/ws/echo/") as peer:
        peer.send(frame(PING) * 150)
        assert peer.frames(150) == [Frame(PONG)] * 150
        for _ in range(200):  # 25,600 fragments
            peer.send(frame(TEXT, fin=False) + fair + frame(CONTINUATION))
            assert text_of(peer) == large


def test_bytes_before_a_socket_is_let_in_wait_and_are_few(server: EchoServer) -> None:
    with unharmed(server, at_most=4 * MIB), before_it_is_let_in(server) as (peer, answer):
        with contextlib.suppress(TimeoutError):
            peer.sendall(frame(PING) * 1_000_000)

        told_before, _, told_after = answer().partition(b"\r\n\r\n")

    assert told_before.startswith(b"HTTP/1.1 101")
    assert told_after.endswith(bytes([0x80 | CLOSE, 2]) + (4429).to_bytes(2, "big"))


def test_second_request_before_the_first_is_answered_is_no_second_socket(server: EchoServer) -> None:
    with before_it_is_let_in(server) as (peer, answer):
        peer.sendall(handshake(server.port, "/late"))

        got = answer()

    assert got.count(b"HTTP/1.1") == 1
    assert bytes([0x03, 0xEA]) in got.partition(b"\r\n\r\n")[2]  # 1002
    assert "Traceback" not in server.log()


@contextlib.contextmanager
def before_it_is_let_in(server: EchoServer) -> Iterator[tuple[socket.socket, Callable[[], bytes]]]:
    """A connection whose handshake takes a second to be answered, and a function for all bytes until its
    end."""

    def answer() -> bytes:
        got = b""
        peer.settimeout(PATIENCE_SECONDS)
        with contextlib.suppress(ConnectionResetError):
            while more := peer.recv(1 << 16):
                got += more
        return got

    begun = server.log().count("late begins")
    with socket.create_connection(("127.0.0.1", server.port), timeout=0.5) as peer:
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer.sendall(handshake(server.port, "/late"))
        wait_until(lambda: server.log().count("late begins") > begun, seconds=10, what="it is being let in")
        yield peer, answer


@pytest.mark.parametrize(
    ("segment", "code"),
    [
        (frame(TEXT, b"Hello") + frame(TEXT, b"Hello", rsv=2) + frame(PING), 1002),
        (frame(TEXT, b"\xff") + frame(PING, b"unanswered"), 1007),
        (frame(TEXT, b"\xff") + frame(PONG), 1007),
        (frame(TEXT, b"\xff") + close_frame(), 1007),
        (frame(TEXT, b"\xff") + frame(TEXT, b"Hello", rsv=2), 1007),
    ],
    ids=["bits behind a text", "ping behind no text", "pong behind it", "close behind it", "bits behind it"],
)
def test_first_violation_of_a_segment_is_what_its_peer_is_told(
    server: EchoServer, segment: bytes, code: int
) -> None:
    with Peer(server.port, "/ws/echo/") as peer:
        peer.send(segment)
        peer.send_until_refused(frame(PING), frame(PING))

        *before, last = peer.rest()

    assert (last.opcode, last.code) == (CLOSE, code)
    assert before in ([], [Frame(TEXT, b"Hello")])  # the correct frame may have been answered
    assert "Traceback" not in server.log()


def test_close_without_a_code_is_told_as_1005(server: EchoServer) -> None:
    with Peer(server.port, "/stranger") as peer:
        peer.send(close_frame(None))
        peer.rest()

        wait_until(lambda: "disconnect 1005" in server.log(), seconds=10, what="the application is told")


def test_http_1_0_has_no_upgrades(server: EchoServer) -> None:
    """RFC 6455 §4.1 asks for 1.1 or more; a proxy that speaks 1.0 to us would not carry it."""
    request = handshake(server.port, "/ws/echo/").replace(b"HTTP/1.1", b"HTTP/1.0")
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_SECONDS) as peer:
        peer.sendall(request)

        assert peer.recv(4096).startswith(b"HTTP/1.1 505 ")
    assert "Traceback" not in server.log()


@pytest.mark.parametrize("payload", [b"p" * 125, b""], ids=["long", "empty"])
def test_peer_that_pings_and_never_reads_holds_little(lenient: EchoServer, payload: bytes) -> None:
    server = lenient
    pings = frame(PING, payload) * 1000
    # All of their answers would be 13 MB.
    with (
        unharmed(server, at_most=4 * MIB),
        Peer(server.port, "/ws/echo/", receive_bytes=4096) as peer,
    ):
        for _ in range(100):
            peer.send(pings)
        peer.send(frame(PING, b"last"))

        # Once it reads, the last of its pings is answered, as §5.5.3 allows.
        while peer.frame() != Frame(PONG, b"last"):
            pass


def test_kernel_takes_little_of_what_a_peer_does_not_read(server: EchoServer) -> None:
    """Left to itself the kernel takes megabytes, and the reader is found to be slow only when those are
    full."""
    with Peer(server.port, "/ws/echo/") as peer:
        peer.send_until_refused(*[frame(TEXT, b"x" * 60_000)] * 40)
        time.sleep(0.5)

        *heard, last = peer.rest()

    assert last.code == 4408
    assert len(heard) < 25


def test_application_that_does_not_read_makes_its_peer_wait(server: EchoServer) -> None:
    with unharmed(server), Peer(server.port, "/stranger") as peer:
        peer.send(frame(TEXT, b"wait"))
        peer.patience(2)

        flood = [frame(TEXT, b"x") * 10_000] * 1000
        with pytest.raises(TimeoutError):
            peer.send(*flood)


def test_messages_that_waited_for_a_busy_application_arrive_whole_and_in_order(server: EchoServer) -> None:
    numbers = [str(number).encode() for number in range(20_000)]
    with Peer(server.port, "/stranger") as peer, ThreadPoolExecutor(1) as sender:
        peer.send(frame(TEXT, b"pause"))
        sender.submit(peer.send, *(frame(TEXT, number) for number in numbers), frame(PING, b"after"))
        got: list[Frame] = []
        while len(got) <= len(numbers):
            if (each := peer.frame()).opcode != PING:  # the server's own pings, when all of this takes 25 s
                got.append(each)

    assert [each.payload for each in got if each.opcode == TEXT] == numbers
    assert Frame(PONG, b"after") in got


@pytest.mark.parametrize("bytes_a_second", [0, 1])
def test_slow_readers_of_many_are_cut_off(server: EchoServer, bytes_a_second: int) -> None:
    def never_end(peer: Peer) -> float:
        began = time.monotonic()
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            while True:
                peer.send(frame(TEXT, b"x" * 50_000))
                if bytes_a_second:
                    peer.read_some(bytes_a_second)
                time.sleep(0.05)
        return time.monotonic() - began

    found = server.log().count("too slow")
    with (
        unharmed(server, at_most=CROWD_BYTES),
        contextlib.ExitStack() as opened,
        ThreadPoolExecutor(20) as attackers,
    ):
        peers = [opened.enter_context(Peer(server.port, "/ws/echo/", receive_bytes=4096)) for _ in range(20)]
        lasted = list(attackers.map(never_end, peers))

    assert max(lasted) < CUT_SECONDS
    assert server.log().count("too slow") - found == 20


def test_peer_that_answers_no_ping_is_given_up(pinging: EchoServer) -> None:
    with Peer(pinging.port, "/ws/echo/") as peer, Peer(pinging.port, "/ws/echo/") as healthy:
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:  # answers the server's pings, and stays
            if (got := healthy.frame()).opcode == PING:
                healthy.send(frame(PONG, got.payload))
                if told(pinging, "no_pong"):
                    break
        healthy.send(frame(TEXT, b"still here"))
        assert text_of(healthy) == b"still here"

        peer.rest()
    assert told(pinging, "no_pong")


def test_peer_that_breaks_the_rules_before_it_is_let_in_is_ended_like_any_other(server: EchoServer) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as peer:
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer.sendall(handshake(server.port, "/late"))
        time.sleep(0.3)
        peer.sendall(frame(TEXT, b"not masked", masked=False))
        with contextlib.suppress(ConnectionResetError):
            while peer.recv(4096):
                pass

    assert '"reason": "protocol_error", "ip": "127.0.0.1", "socket_path": "/late"' in server.log()
    assert "Traceback" not in server.log()


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/ws/echo/" + "x" * 9000, ""),
        ("/ws/echo/", f"X-Long: {'x' * 9000}\r\n"),
        ("/ws/echo/", "X-Longer: 1\r\n" * 3000),
        ("/ws/echo/", "X-Many: 1\r\n" * 130),
        ("/ws/echo/", "Content-Length: 5\r\n"),
    ],
    ids=["long path", "long header", "long head", "many headers", "body"],
)
def test_handshake_that_is_refused_is_answered_at_once(server: EchoServer, path: str, headers: str) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=SOON_SECONDS) as peer:
        peer.sendall(handshake(server.port, path, headers=headers) + b"12345")  # the body, where it has one
        answer = b""
        with contextlib.suppress(ConnectionResetError):
            while b"\r\n\r\n" not in answer and (more := peer.recv(4096)):
                answer += more
        if server.kind == "daphne" and answer.startswith(b"HTTP/1.1 101"):  # Daphne takes longer lines
            return
        with contextlib.suppress(ConnectionResetError):
            while peer.recv(4096):
                pass

    assert not answer or answer.startswith(b"HTTP/1.1 4")
    if server.kind == "uvicorn":
        assert answer
        assert "Traceback" not in server.log()


def test_half_open_peer_with_much_on_its_way_is_given_up(pinging: EchoServer) -> None:
    # A connection that is closed politely waits until its peer has read what is left: this peer never will.
    with Peer(pinging.port, "/stranger", receive_bytes=4096) as peer:
        peer.send(*[frame(TEXT, b"large")] * 30)

        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            wait_until(lambda: peer.send(frame(PING)) is not None, seconds=30, what="the line is cut")
    assert '"reason": "no_pong"' in pinging.log()


def test_half_closed_peer_that_does_not_read_is_given_up(server: EchoServer) -> None:
    with Peer(server.port, "/stranger", receive_bytes=4096) as peer:
        peer.send(*[frame(TEXT, b"large")] * 30)
        time.sleep(0.5)
        opened = descriptors(server.pid)
        peer.end()

        wait_until(lambda: descriptors(server.pid) < opened, seconds=10, what="the line is cut")
        if server.kind == "uvicorn":
            assert '"reason": "unanswered_close"' in server.log()


def test_application_that_is_busy_does_not_cost_its_peer_the_connection(pinging: EchoServer) -> None:
    # The pongs wait unread because the application is busy; that is not the peer's fault.
    with Peer(pinging.port, "/stranger") as peer:
        peer.send(frame(TEXT, b"wait"), *[frame(TEXT, b"x")] * 100)
        peer.patience(0.5)
        deadline = time.monotonic() + 8  # the server would give it up at 6 s at the latest
        while time.monotonic() < deadline:
            with contextlib.suppress(TimeoutError):
                got = peer.frame()
                assert got.opcode == PING
                peer.send(frame(PONG, got.payload))
    assert '"reason": "no_pong"' not in pinging.log()


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_half_open_sockets_are_reclaimed_within_45_seconds(server: EchoServer) -> None:
    with contextlib.ExitStack() as opened:
        silent = [opened.enter_context(Peer(server.port, "/ws/echo/silent/")) for _ in range(100)]
        began = time.monotonic()
        for peer in silent:
            peer.patience(60)
            peer.rest()

    assert time.monotonic() - began <= 45


def test_attackers_who_vanish_leave_nothing(server: EchoServer) -> None:
    before = descriptors(server.pid)
    for begun in (frame(TEXT, b"half", claims=8), frame(TEXT, b"first", fin=False), b"\x81"):
        for _ in range(30):
            with Peer(server.port, "/ws/echo/") as peer:
                peer.send(begun)
                peer.reset()

    wait_until(lambda: descriptors(server.pid) <= before, seconds=10, what="their descriptors are closed")
