"""The window of a topic joins events that come close together, and does not delay a lone one."""

from __future__ import annotations

import asyncio

import pytest

from realtime.hub.hub import Hub
from realtime.hub.window import (
    EVENTS_UNTIL_NEXT_TRY,
    LATE_SECONDS,
    LONELY_WAITS,
    MAX_SECONDS,
    MIN_SECONDS,
    Window,
)
from tests.realtime.listeners import TOPIC, Listener, StillClock, body, settle


class Topic:
    """A topic on a clock of its own; writing takes no time unless the test says so."""

    def __init__(self) -> None:
        self.window = Window()
        self.now = 100.0

    def speaks(
        self, *, after: float = 0.001, events: int = 1, takes: float = 0.0, late: float = 0.0
    ) -> float:
        """How long an event waits that comes so long after the last was written; others may join it."""
        self.now += after
        wait = max(0.0, self.window.wait(self.now))
        began = self.now + wait + late
        self.now = began + takes
        self.window.wrote(began, self.now, events=events)
        return wait


def waits(topic: Topic, count: int) -> list[bool]:
    return [topic.speaks() > 0 for _ in range(count)]


def test_event_of_an_idle_topic_waits_for_nobody() -> None:
    topic = Topic()

    assert [topic.speaks(after=1) for _ in range(100)] == [0.0] * 100


def test_event_that_comes_soon_waits_until_the_window_is_over() -> None:
    topic = Topic()
    topic.speaks()

    assert topic.speaks(after=0.001) == pytest.approx(MIN_SECONDS - 0.001)


@pytest.mark.parametrize(
    ("takes", "window"),
    [(0.0, MIN_SECONDS), (0.001, MIN_SECONDS), (0.01, 0.01), (0.02, 0.02), (5, MAX_SECONDS)],
)
def test_window_is_as_long_as_writing_took_within_bounds(takes: float, window: float) -> None:
    topic = Topic()
    topic.speaks(takes=takes)

    assert topic.speaks(after=0) == pytest.approx(window)


@pytest.mark.parametrize(("late", "window"), [(LATE_SECONDS / 2, 0.01), (LATE_SECONDS * 2, 0.02)])
def test_window_is_twice_as_long_where_the_process_is_late(late: float, window: float) -> None:
    """The process has more to do than it has time for: joining more events saves some of the work."""
    topic = Topic()
    topic.speaks()
    topic.speaks(events=5, takes=0.01, late=late)

    assert topic.speaks(after=0) == pytest.approx(window)


def test_lone_speaker_waits_no_more_after_some_waits_in_vain_but_tries_now_and_then() -> None:
    topic = Topic()
    topic.speaks()

    assert waits(topic, LONELY_WAITS) == [True] * LONELY_WAITS
    for _ in range(5):
        assert waits(topic, EVENTS_UNTIL_NEXT_TRY) == [False] * EVENTS_UNTIL_NEXT_TRY
        assert waits(topic, 1) == [True]


def test_pauses_of_a_lone_speaker_are_no_waits_in_vain() -> None:
    topic = Topic()
    for _ in range(100):
        topic.speaks(after=1)

    assert waits(topic, LONELY_WAITS + 1) == [True] * LONELY_WAITS + [False]


def test_several_events_that_come_together_open_the_window_again() -> None:
    topic = Topic()
    topic.speaks()
    waits(topic, LONELY_WAITS + 5)
    assert topic.speaks() == 0

    topic.speaks(events=2)

    assert waits(topic, LONELY_WAITS + 1) == [True] * LONELY_WAITS + [False]


def test_busy_topic_never_stops_to_wait() -> None:
    topic = Topic()
    topic.speaks()

    assert all(topic.speaks(events=3) > 0 for _ in range(200))


async def test_echo_reaches_a_lone_speaker_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The speaker waits for the echo before speaking on: after some waits an event is written in the next
    turn."""
    clock = StillClock(monkeypatch)
    hub = Hub(asyncio.get_running_loop())
    ana = Listener()
    ana.join(hub, position=0)

    async def echo_of(seq: int) -> int:
        """The milliseconds until the event is heard."""
        hub.receive([(TOPIC, seq, body(seq))])
        await settle()
        for milliseconds in range(100):
            if len(ana._told) == seq:
                return milliseconds
            await clock.passes(1)
        raise AssertionError("never told")

    echoes = [await echo_of(seq) for seq in range(1, 30)]

    assert echoes[0] == 0
    assert all(1 <= echo <= 4 for echo in echoes[1 : LONELY_WAITS + 1])
    assert set(echoes[LONELY_WAITS + 1 :]) == {0}


async def test_speakers_who_come_together_are_joined_again(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = StillClock(monkeypatch)
    hub = Hub(asyncio.get_running_loop())
    ana = Listener()
    ana.join(hub, position=0)
    writes: list[int] = []
    monkeypatch.setattr(ana, "push_batch", lambda batch: writes.append(len(batch)) or True)
    seq = 0

    async def say(count: int) -> None:
        nonlocal seq
        for _ in range(count):
            seq += 1
            hub.receive([(TOPIC, seq, body(seq))])
        await settle()

    for _ in range(LONELY_WAITS + 3):
        await say(1)
        await clock.passes(4)
        await say(1)
        await clock.passes(4)
    writes.clear()

    await say(2)  # both in one turn
    for _ in range(3):
        await say(1)
    await clock.passes(10)

    assert writes == [2, 3]
