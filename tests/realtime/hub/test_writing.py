"""Topics that are due together are written together: one write for each socket, with the events in order."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from realtime.hub import window
from realtime.hub.hub import Hub
from realtime.hub.rendering import Frame
from tests.realtime.listeners import StillClock, Wired, body, settle


class Briefly:
    """Renders each event as its topic and number."""

    def render(self, write: Any) -> list[Frame]:
        return [Frame(f"{event.topic}{event.seq}") for event in write]


BRIEFLY = Briefly()


@pytest.fixture
async def quiet_hub() -> Hub:
    """A hub that does nothing by itself."""
    return Hub(asyncio.get_running_loop())


def joined(hub: Hub, *topics: str) -> Wired:
    socket = Wired()
    for topic in topics:
        socket.subscribe(hub, topic, position=0, rendering=BRIEFLY)
    return socket


def tell(hub: Hub, *events: tuple[str, int]) -> None:
    hub.receive([(topic, seq, body(seq)) for topic, seq in events])


async def test_topics_that_are_due_at_once_are_one_write(quiet_hub) -> None:
    ana, bruno = joined(quiet_hub, "a", "b", "c"), joined(quiet_hub, "b")

    tell(quiet_hub, ("a", 1), ("b", 1), ("a", 2), ("c", 1))
    await settle(3)

    assert ana.writes == [["a1", "a2", "b1", "c1"]]
    assert bruno.writes == [["b1"]]


async def test_lone_topic_is_written_straight_and_shared(quiet_hub, monkeypatch) -> None:
    ana, bruno = joined(quiet_hub, "a"), joined(quiet_hub, "a")
    written: list[bytes] = []
    for socket in (ana, bruno):
        monkeypatch.setattr(socket, "begin_joining", None)
        monkeypatch.setattr(socket, "write", written.append)

    tell(quiet_hub, ("a", 1), ("a", 2))
    await settle(3)

    assert len(written) == 2
    assert written[0] is written[1]


async def test_answer_pushed_in_between_keeps_its_place(quiet_hub, monkeypatch) -> None:
    """An answer that is given while topics are written stands between the event before it and the one after
    it."""
    ana = joined(quiet_hub, "a", "b", "c")
    stock = ana.outbox.push_batch

    def push_batch(batch: Any) -> bool:
        taken = stock(batch)
        ana.push(f"after {batch.payloads[0]}")
        return taken

    monkeypatch.setattr(ana.outbox, "push_batch", push_batch)
    ana.push("first")
    tell(quiet_hub, ("a", 1), ("b", 1), ("c", 1))
    ana.push("before they are due")
    await settle(3)
    ana.push("last")

    assert ana.writes == [
        ["first"],
        ["before they are due"],
        ["a1", "after a1", "b1", "after b1", "c1", "after c1"],
        ["last"],
    ]


async def test_topic_that_is_nearly_due_is_written_with_another(quiet_hub, monkeypatch) -> None:
    clock = StillClock(monkeypatch)
    monkeypatch.setattr(window, "MIN_SECONDS", 0.0105)
    ana = joined(quiet_hub, "a", "b", "c")
    tell(quiet_hub, ("a", 1))
    await clock.passes(1)
    tell(quiet_hub, ("b", 1))
    await clock.passes(5)
    tell(quiet_hub, ("c", 1))
    await clock.passes(1)
    assert ana.writes == [["a1"], ["b1"], ["c1"]]

    tell(quiet_hub, ("a", 2), ("b", 2), ("c", 2))  # due about 1 ms after one another, and 5 ms later
    await clock.passes(20)

    assert ana.writes[3:] == [["a2", "b2"], ["c2"]]


async def test_topic_that_was_written_before_it_was_due_is_not_written_again(quiet_hub, monkeypatch) -> None:
    """On a clock that stands still, a topic is due twice at one moment."""
    clock = StillClock(monkeypatch)
    ana = joined(quiet_hub, "a", "b")
    tell(quiet_hub, ("a", 1), ("b", 1))
    await clock.passes(100)
    ana.writes.clear()
    monkeypatch.setattr(window, "MIN_SECONDS", 0.0)
    tell(quiet_hub, ("a", 2))
    await clock.passes(100)

    tell(quiet_hub, ("a", 3))
    quiet_hub.audience("a").write_pending()
    tell(quiet_hub, ("a", 4), ("b", 2))
    await clock.passes(20)
    tell(quiet_hub, ("a", 5))
    await clock.passes(100)

    assert [sorted(write) for write in ana.writes] == [["a2"], ["a3"], ["a4", "b2"], ["a5"]]


async def test_each_topic_is_written_when_it_is_due_whatever_comes_earlier(quiet_hub, monkeypatch) -> None:
    clock = StillClock(monkeypatch)
    ana = joined(quiet_hub, "a", "b")
    tell(quiet_hub, ("a", 1))
    await clock.passes(1)
    tell(quiet_hub, ("a", 2))  # waits until its window is over
    await settle()
    assert ana.writes == [["a1"]]

    tell(quiet_hub, ("b", 1))  # an idle topic, due at once
    await settle()
    assert ana.writes == [["a1"], ["b1"]]
    await clock.passes(5)

    assert ana.writes == [["a1"], ["b1"], ["a2"]]


async def test_socket_that_has_no_room_falls_behind_with_the_right_subscription(quiet_hub, settings) -> None:
    """Room is decided when a chunk is handed over, although it is written later."""
    settings.RELAIS = {**settings.RELAIS, "limit_outbox_bytes": 2_000}
    ana = Wired()
    a, b, c = (ana.subscribe(quiet_hub, topic, position=0) for topic in ("a", "b", "c"))
    ana.catch_up = lambda subscription: None  # type: ignore[method-assign]  # nobody reads the log here

    quiet_hub.receive(
        [
            ("a", 1, body(1, text="x" * 400)),
            ("b", 1, body(1, text="x" * 800)),
            ("c", 1, body(1, text="x" * 400)),
        ]
    )
    await settle(3)

    assert [each.is_behind for each in (a, b, c)] == [False, True, False]
    assert len(ana.writes) == 1
    assert ana.writes[0] == [body(1, text="x" * 400)] * 2


async def test_socket_that_cannot_be_written_to_keeps_nothing_from_the_others(quiet_hub, caplog) -> None:
    sockets = [joined(quiet_hub, "a", "b", "c") for _ in range(5)]

    def broken(data: bytes) -> None:
        raise RuntimeError("a bug")

    for socket in sockets[::2]:
        socket.write = broken  # type: ignore[method-assign]  # a bug
    tell(quiet_hub, ("a", 1), ("b", 1))
    await settle(3)
    quiet_hub.audience("a").write_pending()
    tell(quiet_hub, ("c", 1))
    await settle(3)

    assert [socket.writes for socket in sockets] == [
        [],
        [["a1", "b1"], ["c1"]],
        [],
        [["a1", "b1"], ["c1"]],
        [],
    ]
    assert set(caplog.messages) == {
        "Joined frames could not be written to a socket",
        "Events of c could not be written to a socket",
    }


async def test_socket_that_leaves_while_topics_are_joined_is_told_what_came_before(quiet_hub) -> None:
    ana = joined(quiet_hub, "a", "b")
    _, second = ana.subscriptions
    stock = ana.outbox.push_batch

    def push_batch(batch: Any) -> bool:
        taken = stock(batch)
        second.end()
        return taken

    ana.outbox.push_batch = push_batch
    tell(quiet_hub, ("a", 1), ("b", 1))
    await settle(3)

    assert ana.writes == [["a1", "b1"]]
    assert quiet_hub.audience("b") is None
