"""The allowance of a connection: seconds that are totals, bytes that are counted, memory that is shared."""

from __future__ import annotations

import gc
import weakref

import pytest

from realtime.servers import allowance as module
from realtime.servers.allowance import FRAMING_BYTES, READ_BYTES, SMALL_BODY_BYTES, Allowance, Deadline
from realtime.servers.places import Places
from realtime.servers.refusals import (
    BODIES,
    BODY_TOO_BIG,
    HEAD_TOO_BIG,
    UNFINISHED_BODY,
    UNFINISHED_HEAD,
    UNREAD_ANSWER,
    Refusal,
    RefusedError,
)
from tests.realtime.listeners import StillClock

KIB = 1024
HEADERS = [(b"host", b"localhost")]
SECONDS = {"limit_head_seconds": 0.01, "limit_body_seconds": 0.02, "limit_answer_seconds": 0.03}


class Connection:
    """A connection of a server: the bytes that its peer has yet to read, and how it was ended."""

    def __init__(self) -> None:
        self.waits = 0
        self.ends: list[Refusal | None] = []
        self.allowance = Allowance(waiting=lambda: self.waits, end=self.ends.append)
        assert self.allowance.enter("192.0.2.1") is None

    def asks(self, *, body: int = 0) -> None:
        """Send a whole request, but for the end of its body."""
        self.allowance.received(100)
        self.allowance.head(b"POST", b"/", b"1.1", HEADERS)
        self.allowance.body(body)


@pytest.fixture(autouse=True)
def places(settings, monkeypatch) -> Places:
    """Places that no other connection has."""
    settings.RELAIS = {**settings.RELAIS, **SECONDS}
    mine = Places()
    monkeypatch.setattr(module, "places", mine)
    monkeypatch.setattr(module, "_large", module._LargeBodies())
    return mine


@pytest.fixture
async def clock(monkeypatch: pytest.MonkeyPatch) -> StillClock:
    return StillClock(monkeypatch)


async def test_head_has_a_total_however_it_comes(clock: StillClock) -> None:
    connection = Connection()
    for _ in range(20):
        connection.allowance.received(1)
        await clock.passes(1)

    assert connection.ends == [UNFINISHED_HEAD]


async def test_body_has_a_total_however_it_comes(clock: StillClock) -> None:
    connection = Connection()
    connection.asks()
    for _ in range(19):
        connection.allowance.received(1)
        connection.allowance.body(1)
        await clock.passes(1)
    assert connection.ends == []
    await clock.passes(2)

    assert connection.ends == [UNFINISHED_BODY]


async def test_time_in_which_nobody_reads_is_not_the_peers(clock: StillClock) -> None:
    connection = Connection()
    connection.asks()
    await clock.passes(15)
    connection.allowance.hold()
    await clock.passes(100)
    connection.allowance.go_on()
    await clock.passes(4)
    assert connection.ends == []
    await clock.passes(2)

    assert connection.ends == [UNFINISHED_BODY]


async def test_answer_takes_as_long_as_the_application_likes(clock: StillClock) -> None:
    connection = Connection()
    connection.asks()
    connection.allowance.whole()
    await clock.passes(100)

    assert connection.ends == []


async def test_idle_connection_ends_without_a_word(clock: StillClock) -> None:
    connection = Connection()
    connection.asks()
    connection.allowance.whole()
    connection.allowance.answered()
    await clock.passes(11)

    assert connection.ends == [None]


async def test_answer_must_be_taken_piece_by_piece(clock: StillClock) -> None:
    connection = Connection()
    connection.asks()
    connection.allowance.whole()
    connection.waits = 3 * READ_BYTES
    connection.allowance.unread()
    for _ in range(2):
        connection.waits -= READ_BYTES
        await clock.passes(31)
    assert connection.ends == []
    connection.waits -= READ_BYTES - 1  # a little slower than that
    await clock.passes(31)

    assert connection.ends == [UNREAD_ANSWER]


async def test_end_of_an_answer_must_be_taken_though_most_of_it_was(clock: StillClock) -> None:
    connection = Connection()
    connection.waits = 10
    connection.allowance.closes()
    connection.allowance.is_read()
    await clock.passes(31)

    assert connection.ends == [UNREAD_ANSWER]


async def test_loop_that_stood_still_excuses_its_peers_once(clock: StillClock) -> None:
    late: list[str] = []
    deadline = Deadline(lambda: late.append("late"))
    deadline.start(0.005)

    clock.jumps(5)
    await clock.passes(1)
    assert late == []
    clock.jumps(10)
    await clock.passes(1)

    assert late == ["late"]


@pytest.mark.parametrize(
    ("pieces", "refusal"),
    [
        ([600 * KIB, 424 * KIB], None),
        ([600 * KIB, 425 * KIB], BODY_TOO_BIG),
        ([1024 * KIB + 1], BODY_TOO_BIG),
    ],
)
async def test_body_is_counted(pieces: list[int], refusal: Refusal | None) -> None:
    connection = Connection()
    connection.asks()
    refused = None
    try:
        for piece in pieces:
            connection.allowance.body(piece)
    except RefusedError as error:
        refused = error.refusal

    assert refused is refusal
    connection.allowance.gone()


async def test_framing_of_a_body_is_counted_too() -> None:
    connection = Connection()
    connection.asks()
    connection.allowance.received(1024 * KIB + FRAMING_BYTES)

    with pytest.raises(RefusedError) as refused:
        connection.allowance.received(1)
    assert refused.value.refusal is BODY_TOO_BIG


async def test_head_that_goes_on_is_refused() -> None:
    connection = Connection()
    connection.allowance.received(33 * KIB)

    with pytest.raises(RefusedError) as refused:
        connection.allowance.parsed()
    assert refused.value.refusal is HEAD_TOO_BIG


async def test_large_bodies_share_memory_and_small_ones_need_none_of_it() -> None:
    large = [Connection() for _ in range(64)]
    for connection in large:
        connection.asks(body=1024 * KIB)
    late = Connection()
    late.asks(body=SMALL_BODY_BYTES)

    with pytest.raises(RefusedError) as refused:
        late.allowance.body(1)
    assert refused.value.refusal is BODIES

    large[0].allowance.whole()
    large[0].allowance.answered()  # gives its own share back
    late.allowance.body(1)


async def test_connection_that_is_gone_needs_no_collector() -> None:
    connection = Connection()
    connection.asks()
    left = weakref.ref(connection)
    gc.disable()
    try:
        connection.allowance.gone()
        del connection

        assert left() is None
    finally:
        gc.enable()


async def test_place_and_memory_come_back_when_the_line_is_gone(places: Places) -> None:
    connection = Connection()
    connection.asks(body=1024 * KIB)
    assert (places.open, module._large.held) == (1, 1024 * KIB)

    connection.allowance.gone()
    connection.allowance.gone()

    assert (places.open, module._large.held) == (0, 0)
