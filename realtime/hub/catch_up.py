"""Catching up: the subscriptions of a socket that are behind read the log, one page each in turn."""

from __future__ import annotations

import asyncio
from itertools import islice

from realtime.database import outages
from realtime.hub import metrics, pages, reactions
from realtime.hub.pages import Page, PageKey, PageStretch
from realtime.hub.subscription import Socket, Subscription
from realtime.log.positions import Position

#: Subscriptions that hold a page at the same time: as many as one query answers, and a megabyte at most.
TOGETHER = 8
#: Seconds for which subscriptions that wait for their audiences hold up the others of the socket.
PASS_OVER_SECONDS = 0.05


class CatchUp:
    """Brings the subscriptions of one socket from their own positions to those of their audiences.

    A round asks for the next pages of several subscriptions in one query, and writes them one after the
    other. A subscription that has to wait (its page cannot be read, or its audience reads a gap) is passed
    over.
    """

    def __init__(self, socket: Socket) -> None:
        self._socket = socket
        #: The subscriptions that are behind, the next in turn first.
        self._behind: dict[Subscription, None] = {}
        #: Subscriptions that have read further than their audiences, which check whether the log goes on.
        self._ahead: set[Subscription] = set()
        #: A future that is done when another subscription is added; set while all others wait.
        self._one_more: asyncio.Future[None] | None = None

    def add(self, subscription: Subscription) -> None:
        """Add a subscription that has to catch up."""
        self._behind[subscription] = None
        one_more, self._one_more = self._one_more, None
        if one_more is not None:
            one_more.set_result(None)

    async def run(self) -> None:
        """Run until no subscription is behind."""
        while self._behind:
            turn = list(islice(self._behind, TOGETHER))
            for subscription in turn:  # to the end of the order
                del self._behind[subscription]
                self._behind[subscription] = None
            reading = [subscription for subscription in turn if self._needs_page(subscription)]
            if reading:
                await self._read(reading)
            elif self._behind:
                await self._wait_for_audiences(turn)

    def _needs_page(self, subscription: Subscription) -> bool:
        """Whether a subscription needs a page now; it may be live, ended, or ahead of its audience."""
        audience = subscription.audience
        if not subscription.is_behind or subscription.is_suspended:
            self._forget(subscription)
            return False
        if subscription.place.is_at(audience.place):
            self._forget(subscription)
            audience.make_live(subscription)
            subscription.caught_up()
            return False
        if audience.position is None or subscription.position <= audience.position:
            self._ahead.discard(subscription)
            return True
        if subscription not in self._ahead:  # it has read further than the bells reached
            self._ahead.add(subscription)
            audience.expect(subscription.position)
        if audience.reading is not None:
            return False
        self._ahead.discard(subscription)
        # Still ahead: the log never had that position, so the audience's position counts.
        if subscription.mark:
            subscription.misled(audience.place)
        else:
            subscription.position, subscription.mark = audience.place
        return self._needs_page(subscription)

    def _forget(self, subscription: Subscription) -> None:
        """Forget a subscription that is live, ended or suspended."""
        self._behind.pop(subscription, None)
        self._ahead.discard(subscription)

    async def _wait_for_audiences(self, turn: list[Subscription]) -> None:
        """Wait while none of these needs a page, because their audiences read what is missing."""
        reading = {subscription.audience.reading for subscription in turn if subscription in self._behind}
        tasks = [task for task in reading if task is not None]
        if tasks:
            patience = None if len(self._behind) <= len(turn) else PASS_OVER_SECONDS
            one_more = self._one_more = asyncio.get_running_loop().create_future()
            await asyncio.wait([*tasks, one_more], timeout=patience, return_when=asyncio.FIRST_COMPLETED)
            self._one_more = None

    async def _read(self, reading: list[Subscription]) -> None:
        timelines = [subscription.audience.timeline for subscription in reading]
        keys = [PageKey(subscription.topic, subscription.position) for subscription in reading]
        answers = await asyncio.gather(*map(pages.read_page, keys), return_exceptions=True)
        has_failed = goes_on = False
        for subscription, timeline, page in zip(reading, timelines, answers, strict=True):
            if isinstance(page, Page):
                goes_on = await self._take(subscription, page, timeline) or goes_on
            else:
                has_failed = True
                outages.DATABASE.noticed(page)
        if not has_failed:
            outages.DATABASE.over()
        if not goes_on:
            await asyncio.sleep(pages.RETRY_SECONDS)
        await self._socket.outbox.drained()

    async def _take(self, subscription: Subscription, page: Page, timeline: int) -> bool:
        """Send a subscription its page; False if that leads no further for now."""
        audience = subscription.audience
        if not self._reads(subscription, timeline):  # it ended, or the log went back, while the page was read
            return True
        if subscription.mark not in ("", page.mark):
            # The log has another event at the subscription's position, or none.
            subscription.misled(Position(subscription.position))
            return True
        audience.compare(Position(subscription.position, page.mark))
        if not await self._tell_page(subscription, page, timeline):
            return True
        is_stuck = not page.stretches and subscription.position >= page.reached
        if is_stuck and not subscription.place.is_at(audience.place):
            return False  # the log went back, which the next look finds
        if page.reached > subscription.position:
            subscription.position, subscription.mark = page.reached, ""
        return True

    @staticmethod
    def _reads(subscription: Subscription, timeline: int) -> bool:
        """Whether the page read at that time is still what the subscription misses."""
        return subscription.is_behind and subscription.audience.timeline == timeline

    async def _tell_page(self, subscription: Subscription, page: Page, timeline: int) -> bool:
        """Send a page's events; False if the subscription has ended, or the log went back."""
        for stretch in page.stretches:
            # An event after the right to listen was read may end that right, exactly there.
            is_past = stretch.reached <= subscription.authorized_at
            for part in [stretch] if is_past else stretch.write_by_write():
                if not await self._tell_missed(subscription, part, timeline):
                    return False
        return self._reads(subscription, timeline)

    async def _tell_missed(self, subscription: Subscription, stretch: PageStretch, timeline: int) -> bool:
        chunk = stretch.batch(subscription.rendering).chunk_for(subscription.who)
        if chunk:
            await self._socket.outbox.room_for(chunk.size)
        # While waiting for room or the page, it may have ended or been suspended, or the log gone back.
        if not self._reads(subscription, timeline) or subscription.is_suspended:
            return False
        if chunk:
            self._socket.outbox.push_batch(chunk)
            metrics.DELIVERIES.value += len(chunk)
        metrics.EVENTS_REPLAYED.value += len(stretch.deliveries)
        subscription.position, subscription.mark = stretch.end
        for delivery in stretch.deliveries:
            reactions.react(delivery, [(subscription,)])
        return True
