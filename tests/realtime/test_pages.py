"""Catching up together: one reading, one framing, one write for all who are at the same place."""

from __future__ import annotations

import asyncio

import pytest

from realtime import pages
from realtime.events import Delivery, Logged
from realtime.framing import EVERYTHING
from realtime.pages import STRETCH_SIZE, Page, Place, read_page
from tests.realtime.listeners import body


def page_of(*sizes: int) -> Page:
    deliveries = [Delivery("t", seq, "x" * size) for seq, size in enumerate(sizes, start=1)]
    return Page(deliveries, len(deliveries))


@pytest.mark.parametrize(
    ("sizes", "stretches"),
    [
        ([], []),
        ([10, 10, 10], [[1, 2, 3]]),
        ([STRETCH_SIZE, 10], [[1], [2]]),
        ([STRETCH_SIZE // 2, STRETCH_SIZE, 10], [[1, 2], [3]]),
    ],
)
def test_stretches_hold_every_event_once_in_order_and_are_written_in_reasonable_pieces(sizes, stretches):
    page = page_of(*sizes)

    assert [[d.seq for d in stretch.deliveries] for stretch in page.stretches] == stretches
    assert [stretch.reached for stretch in page.stretches] == [each[-1] for each in stretches]
    assert [d.seq for d in page.deliveries] == [seq for each in stretches for seq in each]


def test_stretch_is_framed_once_per_kind_of_socket():
    [stretch] = page_of(10, 20).stretches

    batch = stretch.framed(EVERYTHING)

    assert stretch.framed(EVERYTHING) is batch
    assert batch.texts(7) == ["x" * 10, "x" * 20]


async def test_sockets_at_the_same_place_are_read_for_once(monkeypatch):
    readings = []

    def read_on(name: str, *, after: int, limit: int):
        readings.append((name, after))
        return [Logged(name, after + 1, body(after + 1))], after + 1

    async def run_in_thread(function, *args):
        return function(*args)

    monkeypatch.setattr("realtime.asking.run_in_thread", run_in_thread)
    monkeypatch.setattr(pages.log, "read_on", read_on)

    found = await asyncio.gather(*(read_page(Place("t", after)) for after in [5, 5, 5, 6]))

    assert sorted(readings) == [("t", 5), ("t", 6)]
    assert found[0] is found[1] is found[2]
    assert [page.reached for page in found] == [6, 6, 6, 7]
