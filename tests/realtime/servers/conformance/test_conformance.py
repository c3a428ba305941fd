"""Every case on every way to run Relais: uvicorn and Daphne with our adapters, and a server without one."""

from collections.abc import Iterator

import pytest

from tests.realtime.servers.conformance.cases import CASES, Case
from tests.realtime.servers.echo_server import EchoServer
from tests.realtime.servers.raw import CLOSE, PING, TEXT, Frame, Peer, close_frame, frame

# These tests depend on neither database nor Redis.
pytestmark = [pytest.mark.acceptance, pytest.mark.stack("small")]

#: Cases in which a server without our adapter answers differently, with its answer. We cannot change that
#: there.
DEVIATIONS = {
    # websockets' sans-io parser takes a close frame inside a fragmented message for a broken message.
    ("fallback", "7.1.5 close inside a message"): 1002,
}


LARGE = b"x" * 60_000


@pytest.fixture(scope="module", params=["uvicorn", "daphne", "fallback"])
def server(request: pytest.FixtureRequest, server_database: str) -> Iterator[EchoServer]:
    with EchoServer(request.param, database_url=server_database) as running:
        yield running


@pytest.mark.parametrize("case", CASES, ids=str)
def test_conforms_to_rfc_6455(server: EchoServer, case: Case) -> None:
    ends = case.ends
    if (server.kind, case.name) in DEVIATIONS:
        ends = frozenset({DEVIATIONS[server.kind, case.name]})

    with Peer(server.port, case.path) as peer:
        if ends:
            peer.send_until_refused(*case.sends, chop=case.chop)
            *before, last = peer.rest()

            assert (last.opcode, last.code in ends) == (CLOSE, True), f"§{case.section}: {last}"
            # Frames before it may have been answered, in order, or lost with the connection.
            assert before == list(case.gets[: len(before)]), f"§{case.section}"
        else:
            for _ in range(case.rounds):
                peer.send(*case.sends, chop=case.chop)
                assert peer.frames(len(case.gets)) == list(case.gets), f"§{case.section}"
            peer.send(close_frame())
            assert [(end.opcode, end.code) for end in peer.rest()] == [(CLOSE, 1000)], f"§{case.section}"


def let_it_work(server: EchoServer) -> None:
    """Wait until the server has read and done what it was sent: a busy machine may be late by any time."""
    with Peer(server.port, "/stranger") as other:
        for _ in range(100):  # each takes at least one turn of its loop, and a turn reads at least 16 KiB
            other.send(frame(TEXT, b"turn"))
            assert other.frame() == Frame(TEXT, b"turn")


def test_nothing_follows_a_close_frame_that_waits_to_be_read(server: EchoServer) -> None:
    with Peer(server.port, "/ws/echo/", receive_bytes=4096) as peer:
        # More than the kernel takes: the server answers the close with some of it still in its hands.
        peer.send(*[frame(TEXT, LARGE)] * 6)
        let_it_work(server)
        peer.send(frame(PING))  # answered when there is room, if at all
        let_it_work(server)
        peer.send(frame(TEXT, b"late") * 20 + close_frame())
        let_it_work(server)

        *before, last = peer.rest()  # this also checks what follows the close frame (§5.5.1)

    assert (last.opcode, last.code) == (CLOSE, 1000)
    assert before[:6] == [Frame(TEXT, LARGE)] * 6


def test_violations_write_no_traceback(server: EchoServer) -> None:
    for case in [case for case in CASES if case.ends]:
        with Peer(server.port, case.path) as peer:
            peer.send_until_refused(*case.sends)
            peer.rest()

    assert "Traceback" not in server.log()
