"""Catching up: the subscriptions of one socket that are behind read the log, a page each in turn."""

from __future__ import annotations

import asyncio
from itertools import islice

from realtime.database import outages
from realtime.hub import metrics, pages, reactions
from realtime.hub.pages import Page, PageKey, PageStretch
from realtime.hub.subscription import Socket, Subscription
from realtime.log.positions import Position

#: Subscriptions that have a page at a time: what one read of the database answers, and a megabyte at most.
TOGETHER = 8
#: Seconds for which those that wait for their audiences keep the others of their socket.
PASS_OVER_SECONDS = 0.05


class CatchUp:
    """Brings the subscriptions of one socket from their own positions to those of their audiences.

    A round asks for the next pages of those whose turn it is in one question, and writes them one after the
    other. A subscription that has to wait (its page cannot be read, its audience reads a gap) is passed over.
    """

    def __init__(self, socket: Socket) -> None:
        self._socket = socket
        #: Those that are behind, the next in turn first.
        self._behind: dict[Subscription, None] = {}
        #: Those that have read further than their audiences, which look whether the log goes on.
        self._ahead: set[Subscription] = set()
        #: Done when one more catches up; there while all others wait.
        self._one_more: asyncio.Future[None] | None = None

    def add(self, subscription: Subscription) -> None:
        """Let one more catch up."""
        self._behind[subscription] = None
        one_more, self._one_more = self._one_more, None
        if one_more is not None:
            one_more.set_result(None)

    async def run(self) -> None:
        """Until none is behind."""
        while self._behind:
            turn = list(islice(self._behind, TOGETHER))
            for subscription in turn:  # the last from now on
                del self._behind[subscription]
                self._behind[subscription] = None
            reading = [subscription for subscription in turn if self._needs_page(subscription)]
            if reading:
                await self._read(reading)
            elif self._behind:
                await self._wait_for_audiences(turn)

    def _needs_page(self, subscription: Subscription) -> bool:
        """Whether the log has to be read for it now; it may be live, over, or ahead of its audience."""
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
        if subscription not in self._ahead:  # it has read further than the bells told us
            self._ahead.add(subscription)
            audience.expect(subscription.position)
        if audience.reading is not None:
            return False
        self._ahead.discard(subscription)
        # Still ahead: the log never had that position, and everybody's will do.
        if subscription.mark:
            subscription.misled(audience.place)
        else:
            subscription.position, subscription.mark = audience.place
        return self._needs_page(subscription)

    def _forget(self, subscription: Subscription) -> None:
        """It is live, over, or suspended."""
        self._behind.pop(subscription, None)
        self._ahead.discard(subscription)

    async def _wait_for_audiences(self, turn: list[Subscription]) -> None:
        """None of these needs a page: let their audiences read what is missing."""
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
        """Tell it the page; False when that leads nowhere for now."""
        audience = subscription.audience
        if not self._reads(subscription, timeline):  # it left, or the log went back, while the page was read
            return True
        if subscription.mark not in ("", page.mark):
            # It begins, or goes on, where the log has another event, or none.
            subscription.misled(Position(subscription.position))
            return True
        audience.compare(Position(subscription.position, page.mark))
        if not await self._tell_page(subscription, page, timeline):
            return True
        is_stuck = not page.stretches and subscription.position >= page.reached
        if is_stuck and not subscription.place.is_at(audience.place):
            return False  # the log went back, and the next look will find that
        if page.reached > subscription.position:
            subscription.position, subscription.mark = page.reached, ""
        return True

    @staticmethod
    def _reads(subscription: Subscription, timeline: int) -> bool:
        """Whether what was read of the log then is still what it misses."""
        return subscription.is_behind and subscription.audience.timeline == timeline

    async def _tell_page(self, subscription: Subscription, page: Page, timeline: int) -> bool:
        """Tell it what it missed; False when it listens no more, or the log went back."""
        for stretch in page.stretches:
            # An event after its right to listen was read may end that right, exactly there.
            is_past = stretch.reached <= subscription.authorized_at
            for part in [stretch] if is_past else stretch.write_by_write():
                if not await self._tell_missed(subscription, part, timeline):
                    return False
        return self._reads(subscription, timeline)

    async def _tell_missed(self, subscription: Subscription, stretch: PageStretch, timeline: int) -> bool:
        chunk = stretch.batch(subscription.rendering).chunk_for(subscription.who)
        if chunk:
            await self._socket.outbox.room_for(chunk.size)
        # It left, was suspended, or the log went back, while there was no room or the page was read.
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
