"""The outbox of one socket: bounded, in order, and never a reason to wait for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from realtime.errors import CloseCode
from realtime.wire import outbox as module
from realtime.wire import wire as wires
from realtime.wire.batch import FrameBatch
from realtime.wire.frames import frame_of, payloads_in
from realtime.wire.metrics import slow_wires
from realtime.wire.outbox import Outbox, outbox_for
from realtime.wire.wire import EXTENSION
from tests.realtime.listeners import StillClock, settle

LIMIT = 100


class FakeWire:
    """A server's connection whose kernel takes so many bytes and no more."""

    def __init__(self) -> None:
        self.written = b""
        self.writes: list[bytes] = []
        self.room = 1_000_000
        self.is_open = True
        self.is_aborted = False

    def write(self, data: bytes) -> None:
        if self.is_open:
            self.written += data
            self.writes.append(data)

    def waiting(self) -> int:
        return max(0, len(self.written) - self.room)

    def heard_at(self) -> float:
        return 0.0

    def abort(self) -> None:
        self.is_aborted = True

    def abandon(self) -> None: ...


class Peer:
    """The other end, on a server without our adapter: it reads at once, or not at all, or is gone."""

    #: How many of the waiting frames, ten bytes each, reach the peer before it is given up.
    on_their_way = 1

    def __init__(self, *, is_accepted: bool = True) -> None:
        self._sent: list[Any] = []
        self._reads = asyncio.Event()
        self._reads.set()
        self.is_gone = False
        self.slow = self.ended = 0
        self.outbox: Outbox = outbox_for(self.scope(), self.send, self.on_slow, self.on_end)
        if is_accepted:
            self.outbox.open()

    def scope(self) -> dict[str, Any]:
        return {}

    @property
    def got(self) -> list[Any]:
        """The payloads and the close code that arrived."""
        return self._sent

    def stops_reading(self) -> None:
        self._reads.clear()

    def reads(self) -> None:
        self._reads.set()

    def goes(self) -> None:
        self.is_gone = True

    async def send(self, message: dict[str, Any]) -> None:
        if self.is_gone:
            raise ConnectionResetError
        await self._reads.wait()
        kept = [message[key] for key in ("text", "bytes", "code") if key in message]
        assert len(kept) == 1
        self._sent += kept

    def on_slow(self) -> None:
        self.slow += 1
        self.outbox.close(CloseCode.TOO_SLOW)

    def on_end(self) -> None:
        self.ended += 1


class PreparedPeer(Peer):
    """The other end, on a server that takes finished bytes."""

    on_their_way = LIMIT // len(frame_of("x" * 10))
    wire: FakeWire

    def scope(self) -> dict[str, Any]:
        self.wire = FakeWire()
        return {"extensions": {EXTENSION: self.wire}}

    @property
    def got(self) -> list[Any]:
        if self.wire.waiting():
            return []
        return [payload for payload, _ in payloads_in(self.wire.written)] + self._sent

    def stops_reading(self) -> None:
        super().stops_reading()
        self.wire.room = len(self.wire.written)

    def reads(self) -> None:
        super().reads()
        self.wire.room = 1_000_000

    def goes(self) -> None:
        super().goes()
        self.wire.is_open = False


@pytest.fixture(autouse=True)
def limits(settings: Any) -> None:
    settings.RELAIS = {**settings.RELAIS, "limit_outbox_bytes": LIMIT, "write_timeout_seconds": 0.05}


@pytest.fixture(autouse=True)
def nobody_stays_slow() -> Iterator[None]:
    """The process counts slow readers for its metrics; those of a test end with it."""
    yield
    slow_wires.clear()


@pytest.fixture
async def clock(monkeypatch: pytest.MonkeyPatch) -> StillClock:
    """A clock for peers that must not be found slow because the machine is slow."""
    return StillClock(monkeypatch)


@pytest.fixture
def little_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer has little time to take the close frame."""
    for where in (module, wires):
        monkeypatch.setattr(where, "ABORT_SECONDS", 0.02)


@pytest.fixture(params=[Peer, PreparedPeer], ids=["asgi", "prepared"])
async def peer(request: pytest.FixtureRequest) -> Peer:
    """The peer on each of the two wires: the same holds on both."""
    found: Peer = request.param()
    return found


@pytest.fixture
async def asgi() -> Peer:
    return Peer()


@pytest.fixture
async def prepared() -> PreparedPeer:
    return PreparedPeer()


async def test_frames_leave_in_order(peer):
    for text in "abc":
        peer.outbox.push(text)
    await peer.outbox.drained()

    assert peer.got == ["a", "b", "c"]


async def test_close_follows_what_waits_and_nothing_follows_the_close(peer):
    peer.outbox.push("a")
    peer.outbox.close(4404)
    peer.outbox.push("b")
    peer.outbox.close(4500)
    await peer.outbox.drained()
    peer.outbox.push("c")
    await settle()

    assert peer.got == ["a", 4404]
    assert peer.outbox.is_closing


async def test_peer_that_lets_too_much_wait_is_closed_as_slow_once(peer, clock):
    peer.stops_reading()
    for _ in range(12):
        peer.outbox.push("x" * 10)
        await settle(2)

    assert peer.slow == 1
    peer.reads()
    await peer.outbox.drained()

    assert peer.got == ["x" * 10] * peer.on_their_way + [4408]  # the rest is in the log


async def test_peer_that_lets_one_write_wait_too_long_is_closed_as_slow_once(asgi, little_patience):
    asgi.stops_reading()
    asgi.outbox.push("a")
    asgi.outbox.push("b")
    await asgi.outbox.drained()  # ends although the peer never reads: first the write, then the close give up

    assert (asgi.slow, asgi.got) == (1, [])
    assert asgi.outbox.is_closing


async def test_overflow_is_closed_even_when_the_write_in_flight_never_ends():
    sent = []

    async def only_closes(message: dict[str, Any]) -> None:
        if message["type"] == "websocket.send":
            await asyncio.Event().wait()
        sent.append(message["code"])

    outbox = outbox_for({}, only_closes, lambda: outbox.close(CloseCode.TOO_SLOW), lambda: None)
    outbox.open()
    for _ in range(12):
        outbox.push("x" * 10)
        await settle(2)
    await outbox.drained()

    assert sent == [4408]


async def test_droppable_frame_gives_way_first(peer):
    peer.stops_reading()
    peer.outbox.push("x" * 60)
    peer.outbox.push("typing", droppable_kind="typing")
    peer.outbox.push("y")
    peer.reads()
    await peer.outbox.drained()
    peer.outbox.push("typing", droppable_kind="typing")
    await peer.outbox.drained()

    assert peer.got == ["x" * 60, "y", "typing"]
    assert peer.slow == 0


@pytest.mark.parametrize("size", [LIMIT // 2 + 1, LIMIT, LIMIT * 3])
async def test_large_frame_reaches_a_peer_that_reads(peer, size):
    for _ in range(3):
        await peer.outbox.room_for(size)
        peer.outbox.push("x" * size)
    await peer.outbox.drained()

    assert peer.got == ["x" * size] * 3
    assert peer.slow == 0


async def test_reader_of_a_long_log_waits_for_room_and_leaves_some(peer, clock):
    peer.stops_reading()
    told, frame = [], len(frame_of("x" * 10))

    async def replay() -> None:
        for number in range(30):
            await peer.outbox.room_for(frame)
            peer.outbox.push("x" * 10)
            told.append(number)

    replaying = asyncio.get_running_loop().create_task(replay())
    await settle()
    assert len(told) == LIMIT // 2 // frame
    peer.outbox.push("y" * 40)  # a live event fits beside it

    peer.reads()
    while not replaying.done():
        await clock.passes(1)
    await peer.outbox.drained()

    assert len(peer.got) == 31
    assert peer.slow == 0


async def test_nobody_waits_for_room_or_silence_once_the_socket_is_gone(peer, clock):
    peer.stops_reading()
    peer.outbox.push("x" * 60)
    waiting = [asyncio.ensure_future(waiter) for waiter in (peer.outbox.room_for(60), peer.outbox.drained())]
    await settle()
    assert not any(task.done() for task in waiting)

    peer.outbox.abandon()
    await asyncio.gather(*waiting)
    await peer.outbox.drained()
    await peer.outbox.room_for(60)

    assert peer.got == []


async def test_nobody_waits_for_room_once_the_socket_is_refused(peer, clock):
    peer.stops_reading()
    peer.outbox.push("x" * 60)
    waiting = asyncio.ensure_future(peer.outbox.room_for(60))
    await settle()

    peer.outbox.close(4404)
    await asyncio.wait_for(waiting, 1)

    assert peer.got == []


async def test_peer_that_is_gone_is_nobodys_fault(peer, caplog):
    peer.goes()
    peer.outbox.push("a")
    peer.outbox.push("b")
    await peer.outbox.drained()
    peer.outbox.push("c")
    peer.outbox.close(4404)
    await settle()

    assert (peer.got, peer.slow, caplog.records) == ([], 0, [])


async def test_nothing_leaves_before_the_socket_is_accepted_and_nothing_is_lost(peer):
    peer = type(peer)(is_accepted=False)
    peer.outbox.push("a")
    peer.outbox.close(4401)
    await settle()
    before = list(peer.got)

    peer.outbox.open()
    await settle()

    assert (before, peer.got) == ([], ["a", 4401])


async def test_waiting_frames_are_counted_in_bytes(peer):
    peer.stops_reading()

    peer.outbox.push("😀" * 15)
    peer.outbox.push("😀" * 15)

    assert peer.slow == 1


def batch_of(*texts: str, droppable: bool = False) -> FrameBatch:
    batch = FrameBatch()
    for text in texts:
        batch.add(text, droppable_kind="typing" if droppable else None)
    return batch


async def test_batch_that_does_not_fit_is_refused_whole_and_is_nobodys_fault(peer):
    peer.stops_reading()

    taken = [peer.outbox.push_batch(batch_of("x" * 20, "y" * 20)) for _ in range(2)]
    peer.reads()
    await peer.outbox.drained()

    assert (taken, peer.got, peer.slow) == ([True, False], ["x" * 20, "y" * 20], 0)


async def test_texts_and_bytes_leave_as_what_they_are(peer):
    batch = FrameBatch()
    batch.add(b"\x00\xff")
    batch.add("é")

    peer.outbox.push_batch(batch)
    peer.outbox.push(b"")
    peer.outbox.push("")
    await peer.outbox.drained()

    assert peer.got == [b"\x00\xff", "é", b"", ""]


# ── joining ──────────────────────────────────────────────────────────────────────────────────────────────


async def test_joined_frames_leave_in_order_and_the_close_after_them(peer):
    peer.outbox.push("before")
    peer.outbox.begin_joining()
    peer.outbox.push_batch(batch_of("a", "b"))
    peer.outbox.push("c")
    peer.outbox.push_batch(batch_of("d"))
    peer.outbox.close(4404)
    peer.outbox.end_joining()
    await peer.outbox.drained()

    assert peer.got == ["before", "a", "b", "c", "d", 4404]


async def test_joined_frames_leave_in_one_write_and_a_lone_chunk_as_it_is(prepared):
    lone = batch_of("alone")

    prepared.outbox.begin_joining()
    prepared.outbox.push_batch(batch_of("a"))
    prepared.outbox.push("b")
    assert prepared.wire.writes == []
    prepared.outbox.end_joining()
    prepared.outbox.begin_joining()
    prepared.outbox.push_batch(lone)
    prepared.outbox.end_joining()
    prepared.outbox.begin_joining()
    prepared.outbox.end_joining()
    prepared.outbox.push("not joined")

    assert prepared.wire.writes == [
        frame_of("a") + frame_of("b"),
        frame_of("alone"),
        frame_of("not joined"),
    ]
    assert prepared.wire.writes[1] is lone.data


async def test_frames_pushed_in_a_turn_are_joined_where_that_is_asked_for(prepared):
    for text in ("a", "b"):
        prepared.outbox.join_turn()
        prepared.outbox.push(text)
    assert prepared.wire.writes == []
    await asyncio.sleep(0)
    prepared.outbox.push("the turn after")
    prepared.outbox.join_turn()
    prepared.outbox.begin_joining()  # as the hub does, whose events are due in the same turn
    prepared.outbox.push("c")
    prepared.outbox.end_joining()
    prepared.outbox.push("d")
    await asyncio.sleep(0)

    assert prepared.wire.writes == [
        frame_of("a") + frame_of("b"),
        *map(frame_of, ("the turn after", "c", "d")),
    ]


@pytest.mark.parametrize("waits", [0, 20])
async def test_joined_frames_have_the_room_that_they_would_have_had_alone(prepared, waits):
    if waits:
        prepared.stops_reading()
        prepared.outbox.push("x" * waits)

    def told() -> list[object]:
        taken: list[object] = [prepared.outbox.push_batch(batch_of(letter * 20)) for letter in "abc"]
        prepared.outbox.push("ack" * 10)
        return [*taken, prepared.slow]

    prepared.outbox.begin_joining()
    joined = told()
    prepared.outbox.end_joining()

    assert joined == ([True, False, False, 0] if waits else [True, True, False, 0])


async def test_joined_frames_are_alone_where_nothing_waits_and_count_as_waiting(peer):
    peer.outbox.begin_joining()
    taken = [peer.outbox.push_batch(batch_of("x" * 3 * LIMIT)) for _ in range(2)]
    waiting = asyncio.ensure_future(peer.outbox.room_for(1))
    await settle()
    was_waiting = not waiting.done()
    peer.outbox.end_joining()
    await waiting
    await peer.outbox.drained()

    assert (taken, was_waiting, peer.got) == ([True, False], True, ["x" * 3 * LIMIT])


async def test_joining_lets_nothing_out_before_the_socket_is_accepted_nor_after_it_is_gone(peer):
    early, gone = type(peer)(is_accepted=False), peer
    early.outbox.begin_joining()
    early.outbox.push("a")
    early.outbox.end_joining()
    await settle()
    before = list(early.got)
    early.outbox.open()
    await early.outbox.drained()

    gone.outbox.begin_joining()
    gone.outbox.push("a")
    gone.outbox.abandon()
    gone.outbox.end_joining()
    await settle()

    assert (before, early.got, gone.got) == ([], ["a"], [])


async def test_joined_bytes_that_wait_too_long_are_found_too(prepared, monkeypatch):
    monkeypatch.setattr(module, "WATCHED_BYTES", 10)
    prepared.wire.room = 0
    for text in ("x" * 30, "x"):
        prepared.outbox.begin_joining()
        prepared.outbox.push(text)
        prepared.outbox.end_joining()
    await asyncio.sleep(0.1)

    assert prepared.slow == 1


async def test_joined_bytes_have_their_own_time_behind_others(prepared, monkeypatch, clock):
    """Bytes that are written while others wait need not be gone as early as those."""
    monkeypatch.setattr(module, "WATCHED_BYTES", 10)
    prepared.wire.room = 0
    prepared.outbox.push("x" * 20)
    prepared.outbox.begin_joining()
    prepared.outbox.push("x" * 20)
    prepared.outbox.end_joining()
    prepared.wire.room = 22  # room for the first
    await clock.passes(60)

    assert prepared.slow == 0


# ── without prepared frames ──────────────────────────────────────────────────────────────────────────────


async def test_peer_that_was_given_up_is_sent_no_more_than_the_frame_on_its_way(asgi, clock):
    asgi.stops_reading()
    asgi.outbox.push_batch(batch_of("x" * 10, "y" * 10))
    await settle(2)
    asgi.outbox.push("z" * 100)
    asgi.reads()
    await asgi.outbox.drained()

    assert (asgi.slow, asgi.got) == (1, ["x" * 10, 4408])


async def test_application_is_ended_where_its_peer_does_not_take_the_close(asgi, little_patience):
    asgi.stops_reading()
    asgi.outbox.close(4404)
    await asgi.outbox.drained()
    await settle()

    assert (asgi.ended, asgi.got) == (1, [])


async def test_application_is_ended_where_its_peer_takes_the_close_and_does_not_go(asgi, clock):
    asgi.outbox.push("a")
    asgi.outbox.close(4404)
    await asgi.outbox.drained()
    assert (asgi.got, asgi.ended) == (["a", 4404], 0)

    await clock.passes(round(1000 * wires.ABORT_SECONDS) + 10)

    assert asgi.ended == 1


@pytest.mark.parametrize("is_read", [True, False])
async def test_application_that_ended_itself_is_left_alone(asgi, clock, is_read):
    if not is_read:
        asgi.stops_reading()
        asgi.outbox.push("a")
    asgi.outbox.close(4404)
    await settle()
    asgi.outbox.abandon()
    asgi.reads()
    await clock.passes(round(1000 * wires.ABORT_SECONDS) + 10)

    assert (asgi.got, asgi.ended) == ([4404] if is_read else [], 0)


async def test_application_whose_peer_is_gone_is_ended_where_its_server_does_not_say_so(asgi, clock):
    asgi.goes()
    asgi.outbox.push("a")
    await settle()
    asgi.outbox.close(4404)
    await clock.passes(round(1000 * wires.ABORT_SECONDS) + 10)

    assert asgi.ended == 1


# ── prepared frames ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("size", "header"), [(3, 2), (125, 2), (126, 4), (65535, 4), (65536, 10)])
def test_frame_has_the_shortest_header_that_holds_its_size(size, header):
    text, binary = frame_of("x" * size), frame_of(b"\xff" * size)

    assert (text[0], binary[0]) == (0x81, 0x82)
    for frame in (text, binary):
        assert len(frame) == header + size
        assert int.from_bytes(frame[2:header], "big") in (0, size)
    found = list(payloads_in(text + binary + text))
    assert found == [(what, header + size) for what in ("x" * size, b"\xff" * size, "x" * size)]


def test_batch_is_joined_once_for_all_and_apart_for_those_left_out():
    batch = FrameBatch()
    batch.add("to all")
    batch.add("not to 7", left_out=[7], droppable_kind="typing")

    assert batch.data == frame_of("to all") + frame_of("not to 7")
    assert batch.chunk_for([1]) is batch.chunk_for([2]) is batch
    assert batch.data is batch.data
    chunk = batch.chunk_for([7])
    assert chunk.data == frame_of("to all")
    assert (chunk.payloads, chunk.droppable_kinds, chunk.is_droppable) == (["to all"], [], False)


async def test_prepared_frames_are_written_at_once_in_order(prepared):
    batch = FrameBatch()
    batch.add("b")

    prepared.outbox.push("a")
    prepared.outbox.push_batch(batch)

    assert prepared.wire.written == frame_of("a") + frame_of("b")


async def test_peer_that_takes_nothing_is_found_slow_once_and_cut_off(prepared, monkeypatch, little_patience):
    monkeypatch.setattr(module, "WATCHED_BYTES", 10)
    prepared.stops_reading()

    for _ in range(10):
        prepared.outbox.push("x" * 30)
    await asyncio.sleep(0.1)

    assert prepared.slow == 1
    assert len(prepared.wire.written) <= LIMIT
    assert prepared.wire.is_aborted


async def test_little_that_waits_makes_no_room_for_more_than_there_is(prepared):
    prepared.wire.room = 0
    prepared.outbox.push("x")
    written = prepared.wire.written

    taken = prepared.outbox.push_batch(batch_of("x" * 60))
    assert (taken, prepared.wire.written, prepared.slow) == (False, written, 0)

    prepared.outbox.push("x" * 100)
    assert (prepared.wire.written, prepared.slow) == (written, 1)


async def test_logged_events_leave_room_for_frames_of_this_socket_alone(prepared):
    prepared.wire.room = 0
    while prepared.outbox.push_batch(batch_of("x" * 10)):
        pass

    prepared.outbox.push("ack" * 10)

    assert (len(prepared.wire.written) > LIMIT // 2, prepared.slow) == (True, 0)


@pytest.mark.parametrize("size", [LIMIT // 2 + 1, LIMIT, LIMIT * 3])
async def test_large_batch_is_written_when_nothing_waits(prepared, size):
    assert prepared.outbox.push_batch(batch_of("x" * size))
    assert prepared.outbox.push_batch(batch_of("x" * size))

    assert (prepared.wire.written, prepared.slow) == (frame_of("x" * size) * 2, 0)


async def test_batch_may_be_dropped_when_all_of_it_may(prepared):
    prepared.wire.room = 0
    prepared.outbox.push("x" * 60)
    written = prepared.wire.written

    assert not prepared.outbox.push_batch(batch_of("typing", droppable=True))
    assert prepared.wire.written == written


async def test_peer_that_takes_nothing_while_the_log_waits_for_room_is_given_up(prepared):
    prepared.wire.room = 0
    prepared.outbox.push("x" * 40)

    await asyncio.wait_for(prepared.outbox.room_for(60), 2)

    assert prepared.slow == 1


async def test_peer_that_takes_a_little_at_a_time_is_waited_for(prepared, clock):
    prepared.wire.room = 0
    prepared.outbox.push("x" * 90)
    waiting = asyncio.create_task(prepared.outbox.room_for(10))
    for _ in range(6):
        await clock.passes(15)
        prepared.wire.room += 10
    await clock.passes(100)

    assert (waiting.done(), prepared.slow) == (True, 0)


async def test_few_bytes_that_wait_too_long_are_found_too(prepared, monkeypatch):
    monkeypatch.setattr(module, "WATCHED_BYTES", 10)
    prepared.wire.room = 0
    prepared.outbox.push("x" * 30)
    prepared.outbox.push("x")
    await asyncio.sleep(0.1)

    assert prepared.slow == 1


async def test_slow_but_steady_peer_is_left_alone(prepared, monkeypatch, clock):
    monkeypatch.setattr(module, "WATCHED_BYTES", 10)
    prepared.wire.room = 0
    for _ in range(8):
        prepared.outbox.push("x" * 20)
        prepared.outbox.push("x")
        await clock.passes(20)
        prepared.wire.room = len(prepared.wire.written) - 11

    assert prepared.slow == 0


async def test_droppable_prepared_frames_give_way(prepared, monkeypatch):
    monkeypatch.setattr(module, "WATCHED_BYTES", 10)
    prepared.wire.room = 0
    prepared.outbox.push("x" * 58)
    written = prepared.wire.written

    prepared.outbox.push("typing", droppable_kind="typing")

    assert (prepared.wire.written, prepared.slow) == (written, 0)


async def test_reader_of_the_log_waits_for_room(prepared, clock):
    prepared.wire.room = 0
    prepared.outbox.push("x" * 60)
    waiting = asyncio.create_task(prepared.outbox.room_for(1))
    await clock.passes(20)
    waited = not waiting.done()

    prepared.wire.room = 1000
    await clock.passes(100)

    assert (waited, waiting.done(), prepared.slow) == (True, True, 0)
