"""Head checks: each topic is compared with the database once in its time, whichever topics come and go."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime import log
from realtime.hub import head_checks
from realtime.hub.head_checks import HeadChecks, SweepOrder
from realtime.log.positions import START, Position
from tests.realtime.listeners import StillClock

SECONDS, COUNT = 4.0, 3


class Hub:
    """A hub in which topics come and go, and its clock."""

    def __init__(self) -> None:
        self.now = 0.0
        self.order = SweepOrder(lambda: self.now)
        self.looks: dict[str, list[float]] = defaultdict(list)
        self.began = 0.0
        self.queries = 0

    def come(self, topic: str) -> None:
        self.order.add(topic)
        self.looks[topic] = [self.now]

    def go(self, topic: str) -> None:
        self.order.remove(topic)
        self.check(topic)
        del self.looks[topic]

    def passes(self, seconds: float) -> None:
        until = self.now + seconds
        while (at := self.now + self.wait()) <= until:
            self.now = self.began = at
            self.queries += 1
            for topic in self.order.take(COUNT):
                self.looks[topic].append(self.now)
        self.now = until

    def wait(self) -> float:
        return self.order.wait(self.began, seconds=SECONDS, count=COUNT) or 0.001

    def check(self, topic: str) -> None:
        gaps = [after - before for before, after in pairwise([*self.looks[topic], self.now])]
        # Looks that are due at one moment begin one after the other.
        assert max(gaps) <= SECONDS + 0.1, (topic, gaps)


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("come"), st.integers(0, 40)),
            st.tuples(st.just("go"), st.integers(0, 40)),
            st.tuples(st.just("passes"), st.floats(0, 9)),
        ),
        max_size=60,
    )
)
def test_no_topic_is_left_alone_for_longer_than_promised(steps):
    hub = Hub()
    for verb, number in steps:
        if verb == "passes":
            hub.passes(number)
        elif verb == "come" and str(number) not in hub.looks:
            hub.come(str(number))
        elif verb == "go" and str(number) in hub.looks:
            hub.go(str(number))
    for topic in hub.looks:
        hub.check(topic)


def test_topics_that_go_make_no_other_wait_longer():
    """Topics that were looked at just now go: with half as many, the others are not looked at half as
    often."""
    hub = Hub()
    for number in range(30):
        hub.come(f"{number}")
    hub.passes(1.5 * SECONDS)
    for topic in sorted(hub.looks, key=lambda topic: hub.looks[topic][-1])[15:]:
        hub.go(topic)
    hub.passes(SECONDS)

    for topic in hub.looks:
        hub.check(topic)


def test_looks_at_many_are_spread_over_the_time():
    hub = Hub()
    for number in range(30):
        hub.come(f"{number}")
    hub.passes(10 * SECONDS)

    assert hub.queries == pytest.approx(10 * 30 / COUNT, abs=2)
    starts = sorted({at for looks in hub.looks.values() for at in looks if at > SECONDS})
    assert {round(after - before, 6) for before, after in pairwise(starts)} == {SECONDS * COUNT / 30}


async def test_lost_bell_is_found_in_time_however_long_the_queries_take(monkeypatch, settings):
    """Each of four queries takes three quarters of a second, which is not added to the time."""
    settings.RELAIS = {**settings.RELAIS, "head_check_seconds": 5, "head_check_batch": 5}
    clock = StillClock(monkeypatch)
    loop = asyncio.get_running_loop()
    expected: dict[str, list[float]] = defaultdict(list)
    audiences: Any = {
        f"talk.{number}": SimpleNamespace(
            position=0,
            timeline=0,
            compare=lambda _end: None,
            expect=lambda _seq, number=number: expected[f"talk.{number}"].append(loop.time()),
        )
        for number in range(20)
    }

    async def run(function: Any, topics: list[str]) -> dict[str, Position]:
        assert function is log.ends
        await asyncio.sleep(0.75)
        return dict.fromkeys(topics, START)

    monkeypatch.setattr(head_checks, "run_in_thread", run)
    monkeypatch.setattr(head_checks, "layer_is_shared", lambda: True)
    checks = HeadChecks(audiences, loop.time)
    for topic in audiences:
        checks._order.add(topic)
    task = asyncio.create_task(checks.sweep())
    await clock.passes(20_000)
    task.cancel()

    assert expected.keys() == audiences.keys()
    for found in expected.values():
        assert len(found) >= 4
        # A bell that is lost just after one query has read is found when the next one answers.
        assert max(after - before for before, after in pairwise(found)) <= 5 - 0.75


class Audience:
    """An audience that notes how often its log went back."""

    def __init__(self, position: int, went_back: list[int]) -> None:
        self.position, self.timeline, self._went_back = position, 0, went_back

    def go_back(self, seq: int) -> None:
        self.position, self.timeline = seq, self.timeline + 1
        self._went_back.append(seq)

    def compare(self, _end: Position) -> None: ...

    def expect(self, _seq: int) -> None: ...


@pytest.mark.parametrize("is_left", [False, True])
async def test_two_checks_at_once_find_once_that_the_log_went_back(monkeypatch, is_left):
    """In one case the first check has everybody leave, and they come back to another audience meanwhile."""
    went_back: list[int] = []
    audiences: Any = {"talk.1": Audience(5, went_back)}

    async def run(_function: Any, topics: list[str]) -> dict[str, Position]:
        await asyncio.sleep(0)  # both have begun before either is answered
        if went_back and is_left:
            audiences["talk.1"] = Audience(4, went_back)
        return dict.fromkeys(topics, Position(4))

    async def later(_function: Any, topics: list[str]) -> dict[str, Position]:
        while not went_back:  # noqa: ASYNC110 - the first check says so to nobody
            await asyncio.sleep(0)
        return await run(_function, topics)

    checks = HeadChecks(audiences, asyncio.get_running_loop().time)
    monkeypatch.setattr(head_checks, "run_in_thread", later)
    second = asyncio.create_task(checks._check(["talk.1"]))
    await asyncio.sleep(0)
    monkeypatch.setattr(head_checks, "run_in_thread", run)
    await checks._check(["talk.1"])
    await second

    assert went_back == [4]
