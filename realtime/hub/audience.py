"""An audience: the subscriptions of one topic in this process, their position, and how gaps are filled."""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

from realtime.defaults import conf
from realtime.events import Delivery
from realtime.hub import metrics, reactions
from realtime.hub.held import Budget, Held
from realtime.hub.pages import PageKey, page_after
from realtime.hub.rendering import NOTHING, Rendering, Stretch
from realtime.hub.subscription import Subscription
from realtime.hub.window import Window
from realtime.log import positions
from realtime.log.positions import Position
from realtime.process import background
from realtime.wire.frames import size_of

logger = logging.getLogger(__name__)


class Keeper(Protocol):
    """The part of the hub that its audiences use."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop: ...
    @property
    def held(self) -> Budget: ...

    def write_soon(self, audience: Audience, now: float) -> None:
        """Have the pending events of an audience written when they are due."""

    def forget(self, audience: Audience) -> None:
        """Forget an audience without subscriptions."""


class Audience:
    """The subscriptions of one topic in this process.

    `position` is the seq of the last event handed to the live subscriptions. It is None until it is known,
    and always for an ephemeral topic. Subscriptions that are behind it read the log (`catch_up`), and become
    live in the same turn of the loop in which they have caught up. A live one whose outbox has no room for an
    event falls behind.
    """

    __slots__ = (
        "_healing",
        "_held",
        "_is_warned_of_log",
        "_mark_before",
        "_pending",
        "_pending_after",
        "_pending_size",
        "_target",
        "_window",
        "behind",
        "hub",
        "live",
        "mark",
        "position",
        "timeline",
        "topic",
        "writes_at",
    )

    def __init__(self, hub: Keeper, topic: str) -> None:
        self.hub = hub
        self.topic = topic
        self.position: int | None = None
        #: The mark of the event at the position; empty if it is not known.
        self.mark = ""
        #: The mark of the event before that one.
        self._mark_before = ""
        #: How often the log went back: what was read from it before is of another past.
        self.timeline = 0
        #: In the order of arrival: sockets that came together lie together in memory, which is half of the
        #: cost of writing to thousands.
        self.live: dict[Rendering, dict[Subscription, None]] = {}
        self.behind: dict[Subscription, None] = {}
        self._held = Held(hub.held)
        self._target = 0
        self._is_warned_of_log = False
        self._healing: asyncio.Task[None] | None = None
        #: The events handed out and not yet written, their bytes, and the position before them.
        self._pending: list[Delivery] = []
        self._pending_size = 0
        self._pending_after: Position | None = None
        #: When the hub writes the pending events, on the loop's clock; None without any.
        self.writes_at: float | None = None
        self._window = Window()

    @property
    def place(self) -> Position:
        """The position with its mark."""
        return Position(self.position or 0, self.mark)

    # --- who listens --------------------------------------------------------------------------------

    def subscriptions(self) -> list[Subscription]:
        """All subscriptions, live or behind."""
        return [subscription for group in self.live.values() for subscription in group] + list(self.behind)

    def add(self, subscription: Subscription, *, is_live: bool) -> None:
        """Add a subscription: live from the next event on, or behind until it has caught up."""
        if is_live:
            self.make_live(subscription)
        else:
            self.behind[subscription] = None

    def make_live(self, subscription: Subscription) -> None:
        """Make a subscription live: it receives everything from the next event on."""
        self.write_pending()
        self.behind.pop(subscription, None)
        self.live.setdefault(subscription.rendering, {})[subscription] = None

    def remove(self, subscription: Subscription) -> None:
        """Remove a subscription; the audience ends with the last one."""
        self.write_pending()
        self.behind.pop(subscription, None)
        self._leave_live(subscription)
        if not self.live and not self.behind:
            self.hub.forget(self)

    def render_anew(self, subscription: Subscription, rendering: Rendering) -> None:
        """Give a subscription another rendering for the events from now on."""
        self.write_pending()
        was_live = self._leave_live(subscription)
        subscription.rendering = rendering
        if was_live:
            self.make_live(subscription)

    def set_aside(self, subscription: Subscription) -> None:
        """Pause a live subscription: it is behind from here on, and goes on when it catches up."""
        self.write_pending()
        if self._leave_live(subscription):
            self.behind[subscription] = None
            subscription.position, subscription.mark = self.place

    def _leave_live(self, subscription: Subscription) -> bool:
        """Take a subscription out of the live ones; returns whether it was one."""
        group = self.live.get(subscription.rendering)
        if group is None or subscription not in group:
            return False
        del group[subscription]
        if not group:
            del self.live[subscription.rendering]
        return True

    def close(self) -> None:
        """End the audience, which has no subscription left, or whose hub stops."""
        self._held.forget()
        self._pending.clear()
        self.writes_at = None
        if self._healing is not None:
            self._healing.cancel()

    # --- what they are told -------------------------------------------------------------------------

    def receive(self, delivery: Delivery) -> None:
        """Hand out an event in order: drop it if it is known, and wait if one before it is missing."""
        if delivery.seq is None:
            self._hand_out(delivery)
        elif self.position is None:
            self._warn_of_log()
            self._hand_out(delivery)
        elif delivery.seq == self.position + 1:
            self._advance(delivery)
            self._release_held()
        elif delivery.seq == self.position:
            self._compare_known(delivery)
        elif delivery.seq > self.position:
            self._held.keep(delivery.seq, delivery)
            self.expect(delivery.seq)

    def _warn_of_log(self) -> None:
        if not self._is_warned_of_log:
            self._is_warned_of_log = True
            logger.warning(
                "%s has a log, and is listened to without a position: an event whose bell is lost is missed."
                " Subscribe with position= and authorized_at=",
                self.topic,
            )

    def expect(self, seq: int) -> None:
        """Note that the database is at `seq`, and read the missing events."""
        self._target = max(self._target, seq)
        is_behind = self.position is not None and self._target > self.position
        if is_behind and self._healing is None and (self.live or self.behind):
            self._healing = background.start(self._heal())

    def compare(self, place: Position) -> None:
        """Compare the database's event at a seq with the one handed out at it."""
        if place.contradicts(self.place):
            self.go_back(place.seq - 1)
            self.expect(place.seq)
        elif place.seq == self.position:
            self.mark = self.mark or place.mark

    def _compare_known(self, delivery: Delivery) -> None:
        """Drop an event that was handed out; hand it out if it is another one at the same seq."""
        if Position(delivery.seq or 0, positions.mark_in(delivery.body)).contradicts(self.place):
            self.go_back((self.position or 0) - 1)
            self._advance(delivery)

    def go_back(self, seq: int) -> None:
        """Go back to `seq`: the later events are no longer in the log, since a database took over without the
        last commits.

        New events take the seqs of the lost ones, and must be handed out too. How many of the earlier events
        were lost as well is unknown: the sockets are asked to find out.
        """
        logger.warning("The log of %s went back from %s to %s", self.topic, self.position, seq)
        self.write_pending()
        self.timeline += 1
        misled = [subscription for group in self.live.values() for subscription in group]
        misled += [subscription for subscription in self.behind if subscription.position > seq]
        self.position = self._target = seq
        self.mark = ""
        self._held.forget()
        for subscription in misled:
            subscription.misled(Position(seq))

    @property
    def reading(self) -> asyncio.Task[None] | None:
        """The task that fills a gap from the log, if one runs."""
        return self._healing

    async def reached(self, seq: int) -> None:
        """Wait until live subscriptions have been handed everything up to `seq`, as far as the log goes."""
        self.expect(seq)
        if self._healing is not None:
            await asyncio.wait([self._healing])

    def _advance(self, delivery: Delivery) -> None:
        self.position = delivery.seq
        self._mark_before, self.mark = self.mark, positions.mark_in(delivery.body)
        self._hand_out(delivery)

    def _hand_out(self, delivery: Delivery) -> None:
        if self._is_told():
            size = size_of(delivery.body)  # before it waits: a text that no frame can hold reaches nobody
            if not self._pending:
                self._begin_pending(delivery)
            self._pending.append(delivery)
            self._pending_size += size
        reactions.react(delivery, self.live.values(), self.write_pending)
        if self._pending_size >= conf.limit_outbox_bytes // 2:  # more would fit into no outbox
            self.write_pending()

    def _is_told(self) -> bool:
        """Whether some live subscription receives events, rather than being there for reactions alone."""
        return any(rendering is not NOTHING for rendering in self.live)

    def _begin_pending(self, delivery: Delivery) -> None:
        if self.position is None:
            self._pending_after = None
        elif delivery.seq is None:
            self._pending_after = self.place
        else:
            self._pending_after = Position(delivery.seq - 1, self._mark_before)
        now = self.hub.loop.time()
        self.writes_at = now + max(0.0, self._window.wait(now))
        self.hub.write_soon(self, now)

    def write_pending(self) -> None:
        """Write the pending events to all live subscriptions; done before one of them changes."""
        if not self._pending:
            return
        stretch, after = Stretch(self._pending), self._pending_after
        self._pending, self._pending_size, self.writes_at = [], 0, None
        began = self.hub.loop.time()
        delivered = 0
        for rendering in tuple(self.live):
            undiminished = 0
            batch = stretch.batch(rendering)
            # A copy, because a subscription without room leaves the group.
            for subscription in tuple(self.live.get(rendering, ())) if batch else ():
                chunk = batch.chunk_for(subscription.who) if batch.left_out else batch
                try:
                    if not subscription.socket.outbox.push_batch(chunk):
                        if chunk.is_droppable:
                            subscription.gave_way()
                        else:
                            self._let_fall_behind(subscription, after)
                    elif chunk is batch:
                        undiminished += 1
                    else:
                        delivered += len(chunk)
                except Exception:
                    logger.exception("Events of %s could not be written to a socket", self.topic)
            delivered += undiminished * len(batch)
        metrics.DELIVERIES.value += delivered
        metrics.written(stretch.deliveries[0].told_at)
        self._window.wrote(began, self.hub.loop.time(), events=len(stretch.deliveries))

    def _let_fall_behind(self, subscription: Subscription, after: Position | None) -> None:
        """Let a subscription without room fall behind, if the topic has a log to read the events from."""
        if after is not None and self._leave_live(subscription):
            self.behind[subscription] = None
            subscription.fell_behind(after)

    # --- reading the log ----------------------------------------------------------------------------

    async def _heal(self) -> None:
        """Read from the log until no event is missing; hand the events to the live subscriptions."""
        try:
            while self.position is not None and self.position < self._target:
                target, timeline, after = self._target, self.timeline, self.place
                # A database that comes back may be another one, without the pending events.
                page = await page_after(PageKey(self.topic, after.seq), has_failed=self._held.forget)
                if timeline != self.timeline:
                    continue
                if after.contradicts(Position(after.seq, page.mark)):
                    self.go_back(after.seq - 1)
                    self._target = target
                    continue
                for delivery in page.deliveries:
                    if (delivery.seq or 0) > self.position:  # a bell may have brought it meanwhile
                        metrics.EVENTS_BACKFILLED.value += 1
                        self._advance(delivery)
                if page.reached > self.position:
                    self.position, self.mark = page.reached, ""
                self._release_held()
                if not page.stretches and self.position < target == self._target:
                    # The log ends here, and is the truth: a bell that claimed more was none of ours.
                    self._target = self.position
                    self._held.forget()
        finally:
            self._healing = None

    def _release_held(self) -> None:
        """Hand out the events that waited for the one before them, and forget those read instead."""
        while self._held and (held := self._held.pop((self.position or 0) + 1)) is not None:
            self._advance(held)
        if self._held:
            self._held.forget(up_to=self.position or 0)
