"""What waits for one socket: bounded, in order, and never a reason to wait for ever."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from realtime.errors import CloseCode
from realtime.outbox import Outbox
from tests.realtime.listeners import settle

LIMIT = 100


class Peer:
    """The other end: reads at once, or not at all, or is gone."""

    def __init__(self) -> None:
        self.got: list[Any] = []
        self.reads = asyncio.Event()
        self.reads.set()
        self.is_gone = False
        self.slow = 0
        self.outbox = Outbox(self.send, self.on_slow)

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
    settings.RELAIS = {**settings.RELAIS, "outbox_bytes": LIMIT, "write_timeout_seconds": 0.05}


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


async def test_peer_that_lets_too_much_wait_is_closed_as_slow_once(peer):
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
        await peer.outbox.room_for("x" * size)
        peer.outbox.push("x" * size)
    await peer.outbox.drained()

    assert peer.got == ["x" * size] * 3
    assert peer.slow == 0


async def test_reader_of_a_long_log_waits_for_room_and_leaves_some(peer):
    peer.reads.clear()
    told = []

    async def replay() -> None:
        for number in range(30):
            await peer.outbox.room_for("x" * 10)
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


async def test_nobody_waits_for_room_or_silence_once_the_socket_is_gone(peer):
    peer.reads.clear()
    peer.outbox.push("x" * 60)
    waiting = [
        asyncio.ensure_future(waiter) for waiter in (peer.outbox.room_for("x" * 60), peer.outbox.drained())
    ]
    await settle()
    assert not any(task.done() for task in waiting)

    peer.outbox.abandon()
    await asyncio.gather(*waiting)
    await peer.outbox.drained()
    await peer.outbox.room_for("x" * 60)

    assert peer.got == []


async def test_nobody_waits_for_room_once_the_socket_is_refused(peer):
    peer.reads.clear()
    peer.outbox.push("x" * 60)
    waiting = asyncio.ensure_future(peer.outbox.room_for("x" * 60))
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
