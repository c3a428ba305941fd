"""Garbage collection: old objects are left out, until too much memory is in use."""

import asyncio
import gc
import sys
import weakref
from collections.abc import Iterator

import pytest

from realtime.process import background, garbage
from realtime.process.garbage import GROWTH, LEAST_GROWTH_BLOCKS, THRESHOLDS, Keeper


class Knot:
    """A cycle that only a collection can find."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def collections_as_before() -> Iterator[None]:
    yield
    gc.unfreeze()
    gc.collect()
    gc.freeze()


@pytest.fixture
def in_use(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """The number of objects that is reported as in use."""
    now = {"blocks": 4_000_000}
    monkeypatch.setattr(sys, "getallocatedblocks", lambda: now["blocks"])
    return now


def old_knot(keeper: Keeper) -> "weakref.ref[Knot]":
    """A cycle that was still in use when the live objects were left out of collections."""
    knot = Knot()
    keeper.tend()
    return weakref.ref(knot)


def test_live_objects_are_left_out_and_young_garbage_is_not(in_use):
    keeper, young = Keeper(), weakref.ref(Knot())

    old = old_knot(keeper)

    gc.collect()
    assert young() is None
    assert old() is not None


def test_object_that_was_left_out_still_ends_with_its_last_reference(in_use):
    keeper, plain = Keeper(), type("Plain", (), {})()
    keeper.tend()
    seen = weakref.ref(plain)

    del plain

    assert seen() is None


@pytest.mark.parametrize(
    ("before", "enough"),
    [(500_000, 500_000 + LEAST_GROWTH_BLOCKS), (8_000_000, round(8_000_000 * GROWTH))],
)
def test_everything_is_looked_through_when_more_is_in_use(in_use, before, enough):
    in_use["blocks"] = before
    keeper = Keeper()
    old = old_knot(keeper)

    in_use["blocks"] = enough
    keeper.tend()
    assert old() is not None
    in_use["blocks"] = enough + 1
    keeper.tend()

    assert old() is None
    assert keeper.enough_blocks > enough  # not again and again while that much is in use


def test_objects_are_what_is_counted(monkeypatch):
    monkeypatch.setattr(garbage, "LEAST_GROWTH_BLOCKS", 50_000)
    monkeypatch.setattr(garbage, "GROWTH", 1.0)
    keeper = Keeper()
    old = old_knot(keeper)

    kept = [str(number) for number in range(30_000)]
    keeper.tend()
    assert old() is not None
    kept += [str(number) for number in range(30_000)]
    keeper.tend()

    assert old() is None


async def test_while_a_hub_runs_full_collections_are_made_here_only():
    before = gc.get_threshold()

    work = background.start(garbage.keep_collections_short())
    try:
        await _turn()
        assert gc.get_threshold() == THRESHOLDS
    finally:
        work.cancel()
        await _turn()

    assert gc.get_threshold() == before


async def test_free_memory_is_given_back_now_and_then(monkeypatch):
    given_back = []
    monkeypatch.setattr(garbage, "SETTLE_SECONDS", 0.001)
    monkeypatch.setattr(garbage, "GIVE_BACK_ROUNDS", 3)
    monkeypatch.setattr(garbage.heap, "give_back", lambda: given_back.append(len(tended)))
    tended: list[int] = []
    monkeypatch.setattr(Keeper, "tend", lambda _self: tended.append(1))

    work = background.start(garbage.keep_collections_short())
    while len(given_back) < 2:
        await _turn()
    work.cancel()
    await _turn()

    assert given_back[:2] == [3, 6]


async def _turn() -> None:
    await asyncio.sleep(0.01)
