"""One topic in one process: who listens, how far they are, and how a gap is filled from the log."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from realtime.conf import conf
from realtime.events import Delivery
from realtime.hub import metrics, reactions
from realtime.hub.catch_up import Place, page_after
from realtime.hub.held import Held
from realtime.hub.rendering import Framing, add_framed
from realtime.log import positions
from realtime.log.positions import Position
from realtime.process import background
from realtime.wire.batch import Batch

if TYPE_CHECKING:
    from realtime.hub.hub import Hub
    from realtime.hub.subscription import Subscriber

logger = logging.getLogger(__name__)

#: Seconds for which a busy topic's events are joined, at least and at most: what a flush costs decides.
MIN_WINDOW_SECONDS, MAX_WINDOW_SECONDS = 0.003, 0.05


class Audience:
    """The subscribers of one topic in this process.

    `position` is the seq of the last event handed to the live ones. It is None until it is known,
    and stays so for an ephemeral topic. Subscribers that are behind it read the log by themselves
    and join the live ones in the same turn of the loop in which they have caught up. A live one that
    has no room for what the others are told falls behind.
    """

    __slots__ = (
        "_flush",
        "_flushed_at",
        "_healing",
        "_held",
        "_mark_before",
        "_pending",
        "_pending_after",
        "_target",
        "_told_at",
        "_window",
        "behind",
        "hub",
        "live",
        "mark",
        "position",
        "timeline",
        "topic",
    )

    def __init__(self, hub: Hub, topic: str, position: int | None) -> None:
        self.hub = hub
        self.topic = topic
        self.position = position
        #: The mark of the event there; empty where it is not known.
        self.mark = ""
        #: The one of the event before that.
        self._mark_before = ""
        #: How often the log went back: what was read before is of another past.
        self.timeline = 0
        #: In the order in which they came: neighbours in time are neighbours in memory, which is half of what
        #: writing to thousands costs.
        self.live: dict[Framing, dict[Subscriber, None]] = {}
        self.behind: set[Subscriber] = set()
        self._held = Held(hub.held)
        self._target = 0
        self._healing: asyncio.Task[None] | None = None
        #: What each kind of socket will be told by the next flush.
        self._pending: dict[Framing, Batch] = {}
        #: The position before that.
        self._pending_after: Position | None = None
        self._flush: asyncio.Handle | None = None
        self._flushed_at = 0.0
        #: When the oldest event that waits was told, if a bell or this process brought it.
        self._told_at: float | None = None
        self._window = MIN_WINDOW_SECONDS

    @property
    def place(self) -> Position:
        """The position, with its mark."""
        return Position(self.position or 0, self.mark)

    # --- who listens --------------------------------------------------------------------------------

    def subscribers(self) -> list[Subscriber]:
        """Everybody, live or behind."""
        return [subscriber for group in self.live.values() for subscriber in group] + list(self.behind)

    def make_live(self, subscriber: Subscriber) -> None:
        self.flush()
        self.behind.discard(subscriber)
        self.live.setdefault(subscriber.framing, {})[subscriber] = None

    def remove(self, subscriber: Subscriber) -> None:
        """Forget a subscriber; the last one takes the audience along."""
        self.flush()
        self.behind.discard(subscriber)
        self._leave_live(subscriber)
        if not self.live and not self.behind:
            self.hub.forget(self)

    def move(self, subscriber: Subscriber, framing: Framing) -> None:
        """Tell a live subscriber events in another way."""
        self.flush()
        was_live = self._leave_live(subscriber)
        subscriber.framing = framing
        if was_live:
            self.make_live(subscriber)

    def _leave_live(self, subscriber: Subscriber) -> bool:
        """Whether it was there."""
        group = self.live.get(subscriber.framing)
        if group is None or subscriber not in group:
            return False
        del group[subscriber]
        if not group:
            del self.live[subscriber.framing]
        return True

    def close(self) -> None:
        self._held.forget()
        if self._healing is not None:
            self._healing.cancel()
        if self._flush is not None:
            self._flush.cancel()

    # --- what they are told -------------------------------------------------------------------------

    def receive(self, delivery: Delivery) -> None:
        """Hand out an event that arrived, in order: drop what is known, wait for what is missing."""
        if delivery.seq is None or self.position is None:
            self._hand_out(delivery)
        elif delivery.seq == self.position + 1:
            self._advance(delivery)
            self._release_held()
        elif delivery.seq == self.position:
            self._compare_known(delivery)
        elif delivery.seq > self.position:
            self._held.keep(delivery.seq, delivery)
            self.expect(delivery.seq)

    def expect(self, seq: int) -> None:
        """The database is at `seq`: read what did not arrive."""
        self._target = max(self._target, seq)
        is_behind = self.position is not None and self._target > self.position
        if is_behind and self._healing is None and (self.live or self.behind):
            self._healing = background.start(self._heal())

    def compare(self, place: Position) -> None:
        """The database has this event at its seq: find out whether it is the one that was told."""
        if place.contradicts(self.place):
            self.go_back(place.seq - 1)
            self.expect(place.seq)
        elif place.seq == self.position:
            self.mark = self.mark or place.mark

    def _compare_known(self, delivery: Delivery) -> None:
        """Drop an event that was told; when it is another one at the same seq, tell it."""
        if Position(delivery.seq or 0, positions.mark_in(delivery.body)).contradicts(self.place):
            self.go_back((self.position or 0) - 1)
            self._advance(delivery)

    def go_back(self, seq: int) -> None:
        """What was told after `seq` is not in the log: a database took over without the last commits.

        What comes next has the places of what was lost, and must be told all the same. How much of what was
        told before has been lost as well, nobody knows: sockets are asked to find out what became of theirs.
        """
        logger.warning("The log of %s went back from %s to %s", self.topic, self.position, seq)
        self.flush()
        self.timeline += 1
        misled = [subscriber for group in self.live.values() for subscriber in group]
        misled += [subscriber for subscriber in self.behind if subscriber.position > seq]
        self.position = self._target = seq
        self.mark = ""
        self._held.forget()
        for subscriber in misled:
            subscriber.was_misled(Position(seq))

    async def reached(self, seq: int) -> None:
        """Wait until the live subscribers have been told everything up to `seq`, as far as the log goes."""
        self.expect(seq)
        if self._healing is not None:
            await asyncio.wait([self._healing])

    def _advance(self, delivery: Delivery) -> None:
        self.position = delivery.seq
        self._mark_before, self.mark = self.mark, positions.mark_in(delivery.body)
        self._hand_out(delivery)

    def _hand_out(self, delivery: Delivery) -> None:
        half, is_full = conf.limit_outbox_bytes // 2, False
        for framing in self.live:
            batch = self._pending.get(framing) or Batch()
            add_framed(batch, framing, delivery)
            if batch:
                self._pending[framing] = batch
            is_full = is_full or batch.size >= half
        if self._pending and self._flush is None:
            if self.position is None:
                self._pending_after = None
            elif delivery.seq is None:
                self._pending_after = self.place
            else:
                self._pending_after = Position(delivery.seq - 1, self._mark_before)
            self._flush_soon()
        reactions.react(delivery, self.live.values(), self.flush)
        if is_full:  # more would not fit into any outbox
            self.flush()

    def _flush_soon(self) -> None:
        """At once where nothing was told lately; else when the busy topic's window is over."""
        loop = asyncio.get_running_loop()
        wait = self.flushes_in()
        self._told_at = self.hub.told_at
        self._flush = loop.call_later(wait, self.flush) if wait > 0 else loop.call_soon(self.flush)

    def flushes_in(self) -> float:
        """Seconds for which an event that arrives now would wait for others."""
        return self._flushed_at + self._window - self.hub.loop.time()

    def flush(self) -> None:
        """Write what waits to everybody it is for. Whoever comes, goes or changes has this done first."""
        if not self._pending:
            return
        if self._flush is not None:
            self._flush.cancel()
            self._flush = None
        pending, self._pending = self._pending, {}
        after = self._pending_after
        loop = asyncio.get_running_loop()
        began = loop.time()
        for framing, batch in pending.items():
            # A copy: who has no room is not live any more.
            subscribers = tuple(self.live.get(framing, ()))
            refused = 0
            for subscriber in subscribers:
                try:
                    if not subscriber.socket.push_batch(batch):
                        refused += 1
                        self._let_fall_behind(subscriber, after)
                except Exception:
                    logger.exception("Events of %s could not be written to a socket", self.topic)
            metrics.DELIVERIES.value += batch.told_to(len(subscribers) - refused)
        metrics.written(self._told_at)
        self._told_at = None
        self._flushed_at = loop.time()
        # Writing takes at most a third of a busy topic's time; in the rest the next events are joined.
        self._window = min(MAX_WINDOW_SECONDS, max(MIN_WINDOW_SECONDS, 2 * (self._flushed_at - began)))

    def _let_fall_behind(self, subscriber: Subscriber, after: Position | None) -> None:
        """What it had no room for is in the log, if this topic has one."""
        if after is not None and self._leave_live(subscriber):
            self.behind.add(subscriber)
            subscriber.fall_behind(after)

    # --- reading the log ----------------------------------------------------------------------------

    async def _heal(self) -> None:
        """Read from the log until nothing is missing; tell it to the live subscribers."""
        try:
            while self.position is not None and self.position < self._target:
                target, timeline, after = self._target, self.timeline, self.place
                # When the database comes back it may be another one, which lacks what waits here.
                page = await page_after(Place(self.topic, after.seq), has_failed=self._held.forget)
                if timeline != self.timeline:
                    continue
                if after.contradicts(Position(after.seq, page.mark)):
                    self.go_back(after.seq - 1)
                    self._target = target
                    continue
                for delivery in page.deliveries:
                    if (delivery.seq or 0) > self.position:  # bells may have brought it meanwhile
                        metrics.EVENTS_BACKFILLED.value += 1
                        self._advance(delivery)
                if page.reached > self.position:
                    self.position, self.mark = page.reached, ""
                self._release_held()
                if not page.stretches and self.position < target == self._target:
                    # The log is the truth, and it ends here: what claimed more was no bell of ours.
                    self._target = self.position
                    self._held.forget()
        finally:
            self._healing = None

    def _release_held(self) -> None:
        """Hand out what waited for the event before it, and forget what was read instead."""
        while self._held and (held := self._held.pop((self.position or 0) + 1)) is not None:
            self._advance(held)
        if self._held:
            self._held.forget(up_to=self.position or 0)
