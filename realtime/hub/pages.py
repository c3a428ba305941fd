"""Pages of the log, read and rendered once for all subscriptions that catch up from the same seq.

After a restart or an outage, all sockets of a conversation come back at about the same seq.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import NamedTuple

from realtime import log
from realtime.database import outages
from realtime.database.batch_loader import BatchLoader
from realtime.defaults import conf
from realtime.events import Delivery
from realtime.hub import reactions
from realtime.hub.rendering import Stretch
from realtime.log import positions
from realtime.log.positions import Position
from realtime.wire.frames import size_of

#: Bytes written at a time: a fraction of the room in an outbox, so that few sockets have to wait for room.
STRETCH_SIZE = 32 * 1024
#: Bytes of a page, exceeded by one event at most: each slow socket holds one.
PAGE_SIZE = 4 * STRETCH_SIZE
#: Seconds before a failed reading is tried again.
RETRY_SECONDS = 0.5


class PageKey(NamedTuple):
    """The key of a page: the events of a topic that follow a seq."""

    topic: str
    after: int


class PageStretch(Stretch):
    """Some events of a page, written together."""

    __slots__ = ("_parts",)

    def __init__(self, deliveries: Sequence[Delivery]) -> None:
        super().__init__(deliveries)
        self._parts: list[PageStretch] = []

    @property
    def reached(self) -> int:
        """The seq of the last event."""
        return self.deliveries[-1].seq or 0

    @property
    def end(self) -> Position:
        """The position of the last event."""
        return Position(self.reached, positions.mark_in(self.deliveries[-1].body))

    def write_by_write(self) -> list[PageStretch]:
        """The stretch in pieces of one write each, mostly one event; made once.

        A write is cut after an event that something acts on: the subscriber may lose the right to what
        follows.
        """
        if not self._parts:
            parts = [part for write in self.by_write() for part in _cut_at_actions(write)]
            self._parts = [self] if len(parts) == 1 else [PageStretch(part) for part in parts]
        return self._parts


def _cut_at_actions(write: Sequence[Delivery]) -> Iterator[Sequence[Delivery]]:
    begin = 0
    for end, delivery in enumerate(write, start=1):
        if end == len(write) or reactions.are_acted_on(delivery.type):
            yield write[begin:end]
            begin = end


class Page:
    """The events that follow a seq, and the seq up to which they reach."""

    __slots__ = ("mark", "reached", "stretches")

    def __init__(self, deliveries: Sequence[Delivery], reached: int, mark: str = "") -> None:
        self.reached = reached
        #: The mark of the event at that seq: a client with another mark comes from another past.
        self.mark = mark
        self.stretches: list[PageStretch] = []
        begin = size = 0
        for end, delivery in enumerate(deliveries, start=1):
            size += size_of(delivery.body)
            if size >= STRETCH_SIZE or end == len(deliveries):
                self.stretches.append(PageStretch(deliveries[begin:end]))
                begin, size = end, 0

    @property
    def deliveries(self) -> list[Delivery]:
        return [delivery for stretch in self.stretches for delivery in stretch.deliveries]


def _read(keys: Collection[PageKey]) -> dict[PageKey, Page]:
    pages = {}
    for key in keys:
        rows, reached = log.read_on(key.topic, after=key.after, limit=conf.replay_page, size=PAGE_SIZE)
        pages[key] = Page([Delivery(*row) for row in rows], reached, rows.mark)
    return pages


#: Pages read at a time: each takes milliseconds of a thread.
read_page: BatchLoader[PageKey, Page] = BatchLoader(_read, max_batch=8)


async def page_after(key: PageKey, *, has_failed: Callable[[], None] = lambda: None) -> Page:
    """The page of a key, read again and again until it can be read; each failure calls `has_failed`."""
    while True:
        try:
            page = await read_page(key)
        except Exception as error:  # noqa: BLE001 - the log is still there when the database returns
            outages.DATABASE.noticed(error)
            has_failed()
            await asyncio.sleep(RETRY_SECONDS)
        else:
            outages.DATABASE.over()
            return page
