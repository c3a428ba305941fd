"""One socket on one topic: how far it is, and how it catches up with the others from the log."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Iterable
from typing import TYPE_CHECKING

from realtime.hub import catch_up as pages
from realtime.hub import metrics, reactions
from realtime.hub.catch_up import Page, Place, Stretch
from realtime.hub.rendering import Framing
from realtime.log.positions import Position

if TYPE_CHECKING:
    from realtime.hub.audience import Audience
    from realtime.sockets.consumer import JsonSocket


class Subscriber:
    """One socket on one topic, live or behind its audience."""

    __slots__ = ("as_of", "audience", "framing", "mark", "position", "socket", "user_id")

    def __init__(
        self, socket: JsonSocket, audience: Audience, framing: Framing, position: Position, as_of: int
    ) -> None:
        self.socket = socket
        self.audience = audience
        self.framing = framing
        self.user_id = socket.user_id
        #: The last seq it was told, while it catches up, and the mark of that event, empty where it is not
        #: known; live ones share their audience's position.
        self.position, self.mark = position
        #: The seq at which its right to listen was read: only later events can take that right away.
        self.as_of = as_of

    @property
    def told_up_to(self) -> int:
        """The seq of the last event it was told, live or behind."""
        return self.place.seq

    @property
    def place(self) -> Position:
        """The position of the last event it was told, live or behind."""
        if self in self.audience.behind:
            return Position(self.position, self.mark)
        return self.audience.place

    def reframe(self, framing: Framing) -> None:
        """From now on tell it events in another way."""
        if self in self.audience.behind:
            self.framing = framing
        elif framing is not self.framing:
            self.audience.move(self, framing)

    def detach(self) -> None:
        """Stop telling it anything of this topic, and let the socket know."""
        self.socket.forget(self)
        self.audience.remove(self)
        self.socket.detached(self.audience.topic)

    def was_misled(self, position: Position) -> None:
        """What it was told after `position`, and maybe before, is not in the log."""
        self.position, self.mark = position
        self.socket.was_misled(self.audience.topic, position.seq)

    def fall_behind(self, position: Position) -> None:
        """There was no room for what came after `position`: read it when there is."""
        self.position, self.mark = position
        # In nobody's name: it is anybody's turn of the loop.
        contextvars.Context().run(self.socket.spawn, self.catch_up())

    async def catch_up(self) -> None:
        """Come from its own position to its audience's, then be live."""
        audience = self.audience
        while self in audience.behind:
            if audience.position is not None and self.position > audience.position:
                await audience.reached(self.position)  # it has read further than the bells told us
                # Still behind it: the log never had that position, and everybody's will do.
                if self.position > audience.position and self.mark:
                    self.was_misled(audience.place)
                elif self.position > audience.position:
                    self.position, self.mark = audience.place
            elif self.place.is_at(audience.place):
                audience.make_live(self)
            else:
                timeline = audience.timeline
                page = await pages.page_after(Place(audience.topic, self.position))
                if self._reads(timeline) and self.mark not in ("", page.mark):
                    # It begins, or goes on, where the log has another event, or none.
                    self.was_misled(Position(self.position))
                    continue
                audience.compare(Position(self.position, page.mark))
                if not await self._tell_page(page, timeline):
                    continue
                is_stuck = not page.stretches and self.position >= page.reached
                if is_stuck and not self.place.is_at(audience.place):
                    # The log went back, and the next look will find that.
                    await asyncio.sleep(pages.RETRY_SECONDS)
                    continue
                if page.reached > self.position:
                    self.position, self.mark = page.reached, ""
                await self.socket.drained()

    def _reads(self, timeline: int) -> bool:
        """Whether what was read of the log then is still what it misses."""
        return self in self.audience.behind and self.audience.timeline == timeline

    async def _tell_page(self, page: Page, timeline: int) -> bool:
        """Tell it what it missed; False when it listens no more, or the log went back."""
        for stretch in page.stretches:
            # What it causes may end its right to listen, exactly there.
            for part in stretch.one_by_one() if stretch.reached > self.as_of else [stretch]:
                if not await self._tell_missed(part, timeline):
                    return False
        return self._reads(timeline)

    async def _tell_missed(self, stretch: Stretch, timeline: int) -> bool:
        batch = stretch.framed(self.framing)
        if batch:
            await self.socket.room_for(batch.size)
        if not self._reads(timeline):  # it left, or the log went back, while there was no room or it was read
            return False
        if batch:
            self.socket.push_batch(batch)
            metrics.DELIVERIES.value += batch.told_to(1)
        metrics.EVENTS_REPLAYED.value += len(stretch.deliveries)
        self.position, self.mark = stretch.end
        for delivery in stretch.deliveries:
            reactions.react(delivery, ([self],))
        return True


def of_user(subscribers: Iterable[Subscriber], user_id: int) -> list[Subscriber]:
    """Those that belong to one user."""
    return [subscriber for subscriber in subscribers if subscriber.user_id == user_id]
