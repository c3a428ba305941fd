"""Catching up together: one reading, one rendering, one write for all that are at the same place."""

from __future__ import annotations

import asyncio

import pytest
from django.db import transaction

from realtime import log
from realtime.events import Delivery, Event, Logged
from realtime.hub import pages, reactions
from realtime.hub.pages import STRETCH_SIZE, Page, PageKey, read_page
from realtime.hub.pages import _read as read_pages
from realtime.hub.rendering import EVERYTHING, Everything
from tests.realtime.listeners import body, delivery


class Said(Event, tag="said", frozen=True):
    words: str
    seq: int = 0


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


def test_stretch_is_rendered_once_for_all_equal_renderings():
    [stretch] = page_of(10, 20).stretches

    batch = stretch.batch(EVERYTHING)

    assert stretch.batch(Everything()) is batch
    assert batch.chunk_for([7]) is batch
    assert batch.payloads == ["x" * 10, "x" * 20]


@pytest.mark.parametrize(
    ("events", "parts"),
    [
        ("said", [[1]]),
        ("said said", [[1], [2]]),
        ("said-a said-a said-a", [[1, 2, 3]]),
        ("said said-a said-a said-b said-b said", [[1], [2, 3], [4, 5], [6]]),
        ("said-a removed-a said-a said-a", [[1, 2], [3, 4]]),
        ("removed-a removed-a said-a removed-a", [[1], [2], [3, 4]]),
    ],
)
def test_stretch_is_taken_apart_by_write_and_at_what_is_acted_on_once_for_all(events, parts, monkeypatch):
    monkeypatch.setattr(reactions, "_actions", {"removed": [print]})
    named = [event.partition("-") for event in events.split()]
    [stretch] = Page(
        [delivery(n, kind, write=mark) for n, (kind, _, mark) in enumerate(named, 1)], 9
    ).stretches

    cut = stretch.write_by_write()

    assert [[event.seq for event in part.deliveries] for part in cut] == parts
    assert stretch.write_by_write() is cut
    assert (cut[0] is stretch) == (len(parts) == 1)


def test_events_of_one_write_are_taken_apart_together():
    marked = [
        Delivery("t", seq, f'{{"type":"changed","write":"{write}","seq":{seq}}}')
        for seq, write in ((1, "a"), (2, "a"), (3, "b"))
    ]
    alone = Delivery("t", 4, body(4))

    [stretch] = Page([*marked, alone], 4).stretches

    assert [[d.seq for d in part.deliveries] for part in stretch.write_by_write()] == [[1, 2], [3], [4]]


@pytest.mark.django_db(transaction=True)
def test_page_of_large_events_is_short_and_leads_to_its_last():
    large = STRETCH_SIZE // 4 + 1
    with transaction.atomic():
        log.append([("t", Said(words="😀" * large))] * 9)

    first = read_pages([PageKey("t", 0)])[PageKey("t", 0)]
    second = read_pages([PageKey("t", 4)])[PageKey("t", 4)]

    assert ([d.seq for d in first.deliveries], first.reached) == ([1, 2, 3, 4], 4)
    assert ([d.seq for d in second.deliveries], second.reached) == ([5, 6, 7, 8], 8)
    assert len(first.stretches) == 4


async def test_sockets_at_the_same_place_are_read_for_once(monkeypatch):
    readings = []

    def read_on(name: str, *, after: int, limit: int, size: int):
        readings.append((name, after))
        return log.Following([Logged(name, after + 1, body(after + 1))]), after + 1

    async def run_in_thread(function, *args):
        return function(*args)

    monkeypatch.setattr("realtime.database.batch_loader.run_in_thread", run_in_thread)
    monkeypatch.setattr(pages.log, "read_on", read_on)

    found = await asyncio.gather(*(read_page(PageKey("t", after)) for after in [5, 5, 5, 6]))

    assert sorted(readings) == [("t", 5), ("t", 6)]
    assert found[0] is found[1] is found[2]
    assert [page.reached for page in found] == [6, 6, 6, 7]
