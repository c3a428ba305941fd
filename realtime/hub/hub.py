"""The hub of a process knows its sockets, and hands them events from this process, from bells and from the
log.

Subscribing is local and never waits for Redis. Bells bring the events of other processes; head checks find
those that a lost bell should have brought.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import heapq
import logging
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, ClassVar, Literal

from realtime.bells import local_hubs
from realtime.bells.hosts import layer_is_shared
from realtime.bells.listener import BellListener
from realtime.bells.ringer import Ringer
from realtime.events import Delivery, Logged
from realtime.hub import metrics
from realtime.hub.audience import Audience
from realtime.hub.expiries import Expiries
from realtime.hub.head_checks import HeadChecks
from realtime.hub.held import MAX_HELD_BYTES_IN_ALL, Budget
from realtime.hub.subscription import Socket, Subscription
from realtime.log.positions import Position
from realtime.process import background
from realtime.wire.outbox import Outbox

logger = logging.getLogger(__name__)

#: Seconds over which a stopping server closes its sockets, so that not all come back at once...
DRAIN_SPREAD_SECONDS = 4.4
#: ...and seconds between two lots. With few sockets each is a lot, and they are soon closed.
DRAIN_STEP_SECONDS = 0.05
#: Seconds by which a topic may be written early, together with one that is due.
EARLY_SECONDS = 0.001


class Hub:
    """The hub of one event loop; `Hub.current()` starts it."""

    _hubs: ClassVar[dict[asyncio.AbstractEventLoop, Hub]] = {}

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.sockets: set[Socket] = set()
        self.is_draining = False
        self._draining: asyncio.Task[None] | None = None
        self.expiries = Expiries(loop)
        #: The audiences with pending events, by when these are due; one that was written meanwhile stays
        #: until then.
        self._due: list[tuple[float, int, Audience]] = []
        self._writing: asyncio.Handle | None = None
        self._writes_at = 0.0
        self._audiences: dict[str, Audience] = {}
        #: What the server itself does with events of ephemeral topics, without any socket.
        self._listeners: dict[str, Callable[[Delivery], None]] = {}
        #: The shared budget for held events of all topics.
        self.held = Budget(MAX_HELD_BYTES_IN_ALL)
        self._ringer = Ringer()
        self._tasks: list[asyncio.Task[None]] = []
        self._hearing = BellListener(self, loop)
        self._head_checks = HeadChecks(self._audiences, loop.time)

    # --- life ---------------------------------------------------------------------------------------

    @classmethod
    def current(cls) -> Hub:
        """The hub of the running loop, started when this is the first call."""
        loop = asyncio.get_running_loop()
        hub = cls._hubs.get(loop)
        if hub is None:
            for closed in [other for other in list(cls._hubs) if other.is_closed()]:
                local_hubs.unregister(cls._hubs.pop(closed))
            hub = cls._hubs[loop] = cls(loop)
            local_hubs.register(hub)
            hub._start()
        return hub

    def _start(self) -> None:
        works = [
            self._head_checks.requested,
            self._head_checks.sweep,
            self.expiries.run,
            *background.registered(),
        ]
        if layer_is_shared():
            works += [self._hearing.listen, self._hearing.beat]
        self._tasks = [background.start(background.keep_running(work)) for work in works]

    async def stop(self) -> None:
        """Stop the hub; `drain` closes the sockets."""
        await background.finish()
        # More than once: redis-py swallows a cancellation while it connects.
        while waiting := [task for task in self._tasks if not task.done()]:
            for task in waiting:
                task.cancel()
            await asyncio.wait(waiting, timeout=0.1)
        for audience in list(self._audiences.values()):
            audience.close()
        await self._ringer.drained()
        Hub._hubs.pop(self.loop, None)
        local_hubs.unregister(self)

    async def drain(self, *, seconds: float) -> None:
        """Close every socket with 1012, a few at a time, and wait until they are gone, or the seconds are
        over.

        A second call waits for the first.
        """
        if self._draining is None:
            self.is_draining = True
            self._draining = background.start(self._drain(seconds))
        await asyncio.shield(self._draining)

    async def _drain(self, seconds: float) -> None:
        deadline = self.loop.time() + seconds
        sockets = list(self.sockets)
        count = len(sockets)
        steps = min(count, int(min(DRAIN_SPREAD_SECONDS, seconds * 3 / 4) / DRAIN_STEP_SECONDS))
        for step in range(steps):
            for socket in sockets[count * step // steps : count * (step + 1) // steps]:
                socket.restart()
            await asyncio.sleep(DRAIN_STEP_SECONDS)
        while self.sockets and self.loop.time() < deadline:  # noqa: ASYNC110 - a set has no event, and this is the end
            await asyncio.sleep(DRAIN_STEP_SECONDS)

    def layer_status(self) -> Literal["ok", "memory", "lost"]:
        """Whether bells pass; `memory` if there is no other process."""
        return self._hearing.status()

    # --- subscribing --------------------------------------------------------------------------------

    def subscribe(self, subscription: Subscription, topic: str, *, authorized_at: Position | None) -> None:
        """Add a subscription to a topic: a durable one as of `authorized_at`, an ephemeral one as of None.

        It is live at once if it has the audience's position. Otherwise it is behind, and has to catch up.
        """
        if authorized_at is not None and (there := self._audiences.get(topic)) is not None:
            there.compare(authorized_at)  # this may end the audience
        audience = self._audiences.get(topic)
        if audience is None:
            audience = self._audiences[topic] = Audience(self, topic)
            self._hearing.topics_changed()
        if audience.position is None and authorized_at is not None:
            audience.position, audience.mark = authorized_at
            self._head_checks.watch(topic)
        subscription.audience = audience
        if authorized_at is None:  # ephemeral topics have no past, even for a suspended access
            subscription.position, subscription.mark = audience.place
            is_live = True
        else:
            is_live = Position(subscription.position, subscription.mark).is_at(audience.place)
        audience.add(subscription, is_live=is_live and not subscription.is_suspended)

    def listen(self, topic: str, function: Callable[[Delivery], None]) -> None:
        """Have a function called with every event of an ephemeral topic, from whatever process it comes."""
        self._listeners[topic] = function
        self._hearing.topics_changed()

    def stop_listening(self, topic: str) -> None:
        """Call nothing with the events of a topic any more."""
        self._listeners.pop(topic, None)
        self._hearing.topics_changed()

    def audience(self, topic: str) -> Audience | None:
        """The audience of a topic in this process, if there is one."""
        return self._audiences.get(topic)

    def forget(self, audience: Audience) -> None:
        """Forget an audience, which has no subscription left."""
        if self._audiences.get(audience.topic) is audience:
            del self._audiences[audience.topic]
            self._head_checks.forget(audience.topic)
            self._hearing.topics_changed()
        audience.close()

    # --- telling ------------------------------------------------------------------------------------

    def deliver(self, events: Sequence[Logged], *, also_others: bool) -> None:
        """Hand events to local sockets, and ring for the other processes; from any thread."""
        told_at = time.time()
        try:
            running: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        except RuntimeError:
            running = None
        if running is self.loop:
            self._deliver(events, also_others, told_at)
        else:
            with contextlib.suppress(RuntimeError):  # its loop has just been closed
                # In an empty context, so that log lines carry no ids of whoever caused the event.
                context = contextvars.Context()
                self.loop.call_soon_threadsafe(self._deliver, events, also_others, told_at, context=context)

    def _deliver(self, events: Sequence[Logged], also_others: bool, told_at: float) -> None:  # noqa: FBT001 - call_soon takes no names
        if also_others and layer_is_shared():
            self._ringer.ring(events, told_at=told_at)
        self.receive(events, told_at=told_at)

    def receive(self, events: Iterable[Sequence[Any]], *, told_at: float | None = None) -> None:
        """Hand out events, from this process or from a bell."""
        for topic, seq, body in events:
            listener = self._listeners.get(topic)
            if listener is not None:
                self._tell_listener(listener, Delivery(topic, seq, body, told_at))
            audience = self._audiences.get(topic)
            if audience is not None:
                try:
                    audience.receive(Delivery(topic, seq, body, told_at))
                except Exception:
                    logger.exception("An event of %s could not be handed out", topic)

    @staticmethod
    def _tell_listener(listener: Callable[[Delivery], None], delivery: Delivery) -> None:
        try:
            listener(delivery)
        except Exception:
            logger.exception("An event of %s could not be used", delivery.topic)

    def write_soon(self, audience: Audience, now: float) -> None:
        """Have the pending events of an audience written when they are due."""
        due = audience.writes_at
        assert due is not None
        heapq.heappush(self._due, (due, id(audience), audience))
        if self._writing is not None:
            if self._writes_at <= due:
                return
            self._writing.cancel()
        self._write_at(due, now)

    def _write_at(self, due: float, now: float) -> None:
        self._writes_at = due
        if due <= now:
            self._writing = self.loop.call_soon(self._write_due)
        else:
            self._writing = self.loop.call_at(due, self._write_due)

    def _write_due(self) -> None:
        """Write every topic that is due now, or nearly.

        A socket that listens to several of these topics is written to once, at the end; any other directly.
        """
        self._writing = None
        due = self._take_due(self.loop.time() + EARLY_SECONDS)
        shared = _shared_outboxes(due) if len(due) > 1 else ()
        for outbox in shared:
            outbox.begin_joining()
        try:
            for audience in due:
                audience.write_pending()
        finally:
            for outbox in shared:
                try:
                    outbox.end_joining()
                except Exception:
                    logger.exception("Joined frames could not be written to a socket")
        if self._due and self._writing is None:
            self._write_at(self._due[0][0], self.loop.time())

    def _take_due(self, until: float) -> list[Audience]:
        due = []
        while self._due and self._due[0][0] <= until:
            moment, _, audience = heapq.heappop(self._due)
            if audience.writes_at == moment:  # else written before: a subscription came or went
                due.append(audience)
        return due

    # --- asking -------------------------------------------------------------------------------------

    def topics(self) -> Collection[str]:
        """The topics that somebody in this process listens to."""
        return self._audiences.keys() | self._listeners.keys()

    def check_soon(self, topics: Iterable[str]) -> None:
        """Compare these topics with the database in the next turns of the loop."""
        self._head_checks.request(topics)


def _shared_outboxes(audiences: Iterable[Audience]) -> Collection[Outbox]:
    """The outboxes of sockets that listen to more than one of these topics."""
    seen: set[Outbox] = set()
    shared: dict[Outbox, None] = {}
    for audience in audiences:
        for group in audience.live.values():
            for subscription in group:
                outbox = subscription.socket.outbox
                if outbox in seen:
                    shared[outbox] = None
                else:
                    seen.add(outbox)
    return shared


def _of_all(read: Callable[[Hub], int]) -> Callable[[], int]:
    """The sum of a value over the hubs of this process: one in a server, several in some tests."""
    return lambda: sum(read(hub) for hub in list(Hub._hubs.values()))  # noqa: SLF001 - this module's own


metrics.TOPICS.reads(_of_all(lambda hub: len(hub._audiences)))  # noqa: SLF001 - as above
metrics.RINGER_WAITING.reads(_of_all(lambda hub: hub._ringer.waiting))  # noqa: SLF001 - as above
metrics.LAYERS_LOST.reads(_of_all(lambda hub: hub.layer_status() == "lost"))
