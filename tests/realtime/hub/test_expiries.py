"""An access ends in its last second, whatever happens to others that end in the same one."""

from __future__ import annotations

import asyncio

import pytest

from realtime.hub import expiries
from realtime.hub.expiries import Expiries
from realtime.testing import eventually
from tests.realtime.listeners import StillClock


class Something:
    """An access whose token ends."""

    def __init__(self, *, is_broken: bool = False) -> None:
        self.is_broken = is_broken
        self.has_ended = False

    def expire(self) -> None:
        if self.is_broken:
            raise RuntimeError("a bug")
        self.has_ended = True

    def __repr__(self) -> str:
        return "<what is broken>"


async def test_access_that_cannot_be_ended_keeps_no_other_alive(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(expiries, "LOOK_SECONDS", 0.01)
    all_of_them = [Something(is_broken=number % 2 == 0) for number in range(10)]
    ending = Expiries(asyncio.get_running_loop())
    for each in all_of_them:
        ending.add(each, seconds=-1)
    running = asyncio.create_task(ending.run())
    await eventually(lambda: all_of_them[-1].has_ended)
    running.cancel()

    assert [each.has_ended for each in all_of_them] == [False, True] * 5
    assert caplog.messages == ["<what is broken> could not be ended in time"] * 5


async def test_nothing_ends_early_or_after_it_was_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expiries, "LOOK_SECONDS", 0.0)
    clock = StillClock(monkeypatch)
    soon, later, forgotten = (Something() for _ in range(3))
    ending = Expiries(asyncio.get_running_loop())
    ending.add(soon, seconds=0.01)
    ending.add(later, seconds=3)
    ending.forget(forgotten, ending.add(forgotten, seconds=0.01))
    running = asyncio.create_task(ending.run())

    await clock.passes(1_100)
    in_a_second = soon.has_ended, later.has_ended
    await clock.passes(1_800)
    before_the_third = later.has_ended
    await clock.passes(1_200)
    running.cancel()

    assert in_a_second == (True, False)
    assert not before_the_third
    assert later.has_ended
    assert not forgotten.has_ended
