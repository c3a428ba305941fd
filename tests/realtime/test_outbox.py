"""What waits for one socket: bounded, in order, and never a reason to wait for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from realtime.errors import CloseCode
from realtime.wire import prepared_outbox as module
from realtime.wire.metrics import slow_wires
from realtime.wire.outbox import Outbox
from realtime.wire.prepared import Batch, text_frame
from realtime.wire.prepared_outbox import PreparedOutbox
from tests.realtime.listeners import StillClock, settle

LIMIT = 100


class Peer:
    """The other end: reads at once, or not at all, or is gone."""

    def __init__(self) -> None:
        self.got: list[Any] = []
        self.reads = asyncio.Event()
        self.reads.set()
        self.is_gone = False
        self.slow = 0
        self.outbox: Outbox | PreparedOutbox = Outbox(self.send, self.on_slow)
        self.outbox.open()

    async def send(self, message: dict[str, Any]) -> None:
        if self.is_gone:
            raise ConnectionResetError
        await self.reads.wait()
        self.got.append(message.get("text", message.get("code")))

    def on_slow(self) -> None:
        self.slow += 1
        self.outbox.close(CloseCode.TOO_SLOW)


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
    """For those who must not be found slow because the machine is."""
    return StillClock(monkeypatch)


@pytest.fixture
async def peer() -> Peer:
    return Peer()


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
    peer.reads.clear()
    for _ in range(12):
        peer.outbox.push("x" * 10)
        await settle(2)

    assert peer.slow == 1
    peer.reads.set()
    await peer.outbox.drained()

    assert peer.got == ["x" * 10, 4408]  # the one that was on its way; the rest is in the log


async def test_peer_that_lets_one_write_wait_too_long_is_closed_as_slow_once(peer):
    peer.reads.clear()
    peer.outbox.push("a")
    peer.outbox.push("b")
    await peer.outbox.drained()  # ends although the peer never reads: first the write, then the close give up

    assert (peer.slow, peer.got) == (1, [])
    assert peer.outbox.is_closing


async def test_overflow_is_closed_even_when_the_write_in_flight_never_ends(peer):
    sent = []

    async def only_closes(message: dict[str, Any]) -> None:
        if message["type"] == "websocket.send":
            await asyncio.Event().wait()
        sent.append(message["code"])

    outbox = Outbox(only_closes, lambda: outbox.close(CloseCode.TOO_SLOW))
    outbox.open()
    for _ in range(12):
        outbox.push("x" * 10)
        await settle(2)
    await outbox.drained()

    assert sent == [4408]


async def test_what_may_be_dropped_gives_way_first(peer):
    peer.reads.clear()
    peer.outbox.push("x" * 60)
    peer.outbox.push("typing", droppable=True)
    peer.outbox.push("y")
    peer.reads.set()
    await peer.outbox.drained()
    peer.outbox.push("typing", droppable=True)
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
    peer.reads.clear()
    told = []

    async def replay() -> None:
        for number in range(30):
            await peer.outbox.room_for(10)
            peer.outbox.push("x" * 10)
            told.append(number)

    replaying = asyncio.get_running_loop().create_task(replay())
    await settle()
    assert len(told) == LIMIT // 2 // 10
    peer.outbox.push("y" * 40)  # a live event fits beside it

    peer.reads.set()
    await replaying
    await peer.outbox.drained()

    assert len(peer.got) == 31
    assert peer.slow == 0


async def test_nobody_waits_for_room_or_silence_once_the_socket_is_gone(peer, clock):
    peer.reads.clear()
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
    peer.reads.clear()
    peer.outbox.push("x" * 60)
    waiting = asyncio.ensure_future(peer.outbox.room_for(60))
    await settle()

    peer.outbox.close(4404)
    await asyncio.wait_for(waiting, 1)

    assert peer.got == []


async def test_peer_that_is_gone_is_nobodys_fault(peer, caplog):
    peer.is_gone = True
    peer.outbox.push("a")
    peer.outbox.push("b")
    await peer.outbox.drained()
    peer.outbox.push("c")
    peer.outbox.close(4404)
    await settle()

    assert (peer.got, peer.slow, caplog.records) == ([], 0, [])


async def test_nothing_leaves_before_the_socket_is_accepted_and_nothing_is_lost():
    peer = Peer()
    peer.outbox = Outbox(peer.send, peer.on_slow)
    peer.outbox.push("a")
    peer.outbox.close(4401)
    await settle()
    before = list(peer.got)

    peer.outbox.open()
    await settle()

    assert (before, peer.got) == ([], ["a", 4401])


async def test_what_waits_is_counted_in_bytes(peer):
    peer.reads.clear()

    peer.outbox.push("😀" * 15)
    peer.outbox.push("😀" * 15)

    assert peer.slow == 1


def batch_of(*texts: str, droppable: bool = False) -> Batch:
    batch = Batch()
    for text in texts:
        batch.add(text, left_out=None, droppable=droppable)
    return batch


async def test_batch_that_does_not_fit_is_refused_whole_and_is_nobodys_fault(peer):
    peer.reads.clear()

    taken = [peer.outbox.push_batch(batch_of("x" * 20, "y" * 20), 1) for _ in range(2)]
    peer.reads.set()
    await peer.outbox.drained()

    assert (taken, peer.got, peer.slow) == ([True, False], ["x" * 20, "y" * 20], 0)


# ── prepared frames ──────────────────────────────────────────────────────────────────────────────────────


class FakeWire:
    """A server's connection whose kernel takes so many bytes and no more."""

    def __init__(self) -> None:
        self.written = b""
        self.room = 1_000_000
        self.is_aborted = False

    def write(self, data: bytes) -> None:
        self.written += data

    def waiting(self) -> int:
        return max(0, len(self.written) - self.room)

    def abort(self) -> None:
        self.is_aborted = True


class PreparedPeer(Peer):
    def __init__(self) -> None:
        super().__init__()
        self.wire = FakeWire()
        self.outbox = PreparedOutbox(self.send, self.wire, self.on_slow)
        self.outbox.open()


@pytest.fixture
async def prepared() -> PreparedPeer:
    return PreparedPeer()


@pytest.mark.parametrize(("size", "header"), [(3, 2), (125, 2), (126, 4), (65535, 4), (65536, 10)])
def test_frame_has_the_shortest_header_that_holds_its_size(size, header):
    frame = text_frame("x" * size)

    assert (frame[0], len(frame)) == (0x81, header + size)
    assert int.from_bytes(frame[2:header], "big") in (0, size)


def test_batch_is_joined_once_for_all_and_apart_for_whoever_is_left_out():
    batch = Batch()
    batch.add("to all", left_out=None, droppable=False)
    batch.add("not to 7", left_out=7, droppable=True)

    assert batch.data(1) == text_frame("to all") + text_frame("not to 7")
    assert batch.data(1) is batch.data(2)
    assert batch.data(7) == text_frame("to all")
    assert (batch.texts(7), batch.is_droppable) == (["to all"], False)


async def test_prepared_frames_are_written_at_once_in_order(prepared):
    batch = Batch()
    batch.add("b", left_out=None, droppable=False)

    prepared.outbox.push("a")
    prepared.outbox.push_batch(batch, 1)

    assert prepared.wire.written == text_frame("a") + text_frame("b")


async def test_prepared_frames_wait_for_accept():
    peer = PreparedPeer()
    peer.outbox = PreparedOutbox(peer.send, peer.wire, peer.on_slow)
    peer.outbox.push("a")
    peer.outbox.close(4401)
    before = peer.wire.written

    peer.outbox.open()
    await settle()

    assert (before, peer.wire.written, peer.got) == (b"", text_frame("a"), [4401])


async def test_peer_that_takes_nothing_is_found_slow_once_and_cut_off(prepared, monkeypatch):
    monkeypatch.setattr(module, "WATCHED_BYTES", 10)
    monkeypatch.setattr(module, "ABORT_SECONDS", 0.02)
    prepared.wire.room = 0
    prepared.reads.clear()

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

    taken = prepared.outbox.push_batch(batch_of("x" * 60), 1)
    assert (taken, prepared.wire.written, prepared.slow) == (False, written, 0)

    prepared.outbox.push("x" * 100)
    assert (prepared.wire.written, prepared.slow) == (written, 1)


async def test_what_the_log_has_leaves_room_for_what_only_this_socket_is_told(prepared):
    prepared.wire.room = 0
    while prepared.outbox.push_batch(batch_of("x" * 10), 1):
        pass

    prepared.outbox.push("ack" * 10)

    assert (len(prepared.wire.written) > LIMIT // 2, prepared.slow) == (True, 0)


@pytest.mark.parametrize("size", [LIMIT // 2 + 1, LIMIT, LIMIT * 3])
async def test_large_batch_is_written_when_nothing_waits(prepared, size):
    assert prepared.outbox.push_batch(batch_of("x" * size), 1)
    assert prepared.outbox.push_batch(batch_of("x" * size), 1)

    assert (prepared.wire.written, prepared.slow) == (text_frame("x" * size) * 2, 0)


async def test_batch_may_be_dropped_when_all_of_it_may(prepared):
    prepared.wire.room = 0
    prepared.outbox.push("x" * 60)
    written = prepared.wire.written

    assert prepared.outbox.push_batch(batch_of("typing", droppable=True), 1)
    assert prepared.wire.written == written


async def test_who_takes_nothing_while_the_log_waits_for_room_is_given_up(prepared):
    prepared.wire.room = 0
    prepared.outbox.push("x" * 40)

    await asyncio.wait_for(prepared.outbox.room_for(60), 2)

    assert prepared.slow == 1


async def test_who_takes_a_little_at_a_time_is_waited_for(prepared, clock):
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

    prepared.outbox.push("typing", droppable=True)

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
