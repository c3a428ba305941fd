"""The hub: the part of one process that knows its sockets, hands out what it hears, and asks the database.

Joining is local and never waits for Redis. What a bell failed to bring is found by comparing heads:
soon after a topic gets its first listener, when the layer comes back, and in turn every few seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from django.db import connection

from realtime import background, bells, log, metrics, outages
from realtime.audience import Audience, Subscriber
from realtime.conf import conf
from realtime.events import Delivery, Logged
from realtime.expiries import Expiries
from realtime.framing import Framing
from realtime.hearing import Hearing
from realtime.threads import run_in_thread

if TYPE_CHECKING:
    from realtime.connections import Connection
    from realtime.sockets import JsonSocket

logger = logging.getLogger(__name__)

#: Seconds before heads that could not be read are asked for again.
CHECK_RETRY_SECONDS = 1.0
#: Seconds over which many sockets are closed when the server stops: they do not all come back at once...
DRAIN_SPREAD_SECONDS = 4.0
#: ...and seconds between one lot and the next. Of few sockets each is a lot, and they are soon closed.
DRAIN_STEP_SECONDS = 0.05
#: Seconds between two looks at the database when no bell can come from other processes.
POLL_SECONDS = 0.5


class Hub:
    """One per event loop; `Hub.current()` starts it."""

    _hubs: ClassVar[dict[asyncio.AbstractEventLoop, Hub]] = {}

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.sockets: set[Connection] = set()
        self.is_draining = False
        self._draining: asyncio.Task[None] | None = None
        self.expiries = Expiries(loop)
        #: When the events that are being handed out were told; None for those read from the log.
        self.told_at: float | None = None
        self._audiences: dict[str, Audience] = {}
        self._ringer = bells.Ringer()
        self._tasks: list[asyncio.Task[None]] = []
        #: Topics to compare with the database at once: new ones, or all after a silence.
        self._unchecked: set[str] = set()
        self._something_unchecked = asyncio.Event()
        self._hearing = Hearing(self, loop)

    # --- life ---------------------------------------------------------------------------------------

    @classmethod
    def current(cls) -> Hub:
        """The hub of the running loop, started when this is the first call."""
        loop = asyncio.get_running_loop()
        hub = cls._hubs.get(loop)
        if hub is None:
            for closed in [other for other in list(cls._hubs) if other.is_closed()]:
                gone = cls._hubs.pop(closed)
                bells.hearers[:] = [hearer for hearer in bells.hearers if hearer is not gone]
            hub = cls._hubs[loop] = cls(loop)
            bells.hearers.append(hub)
            hub._start()
        return hub

    def _start(self) -> None:
        works = [self._check_new, self._check_in_turn, self.expiries.run, *background.registered()]
        if bells.layer_is_shared():
            works += [self._hearing.listen, self._hearing.beat]
        self._tasks = [background.start(background.keep_running(work)) for work in works]

    async def stop(self) -> None:
        """Stop hearing; sockets are closed by `drain`."""
        # More than once: redis-py swallows a cancellation that meets it while it connects.
        while waiting := [task for task in self._tasks if not task.done()]:
            for task in waiting:
                task.cancel()
            await asyncio.wait(waiting, timeout=0.1)
        for audience in list(self._audiences.values()):
            audience.close()
        await self._ringer.drained()
        Hub._hubs.pop(self.loop, None)
        if self in bells.hearers:
            bells.hearers.remove(self)

    async def drain(self, *, seconds: float) -> None:
        """Close every socket with 1012, a few at a time, and wait for them to go, at most so long.

        Whoever asks again waits for the same.
        """
        if self._draining is None:
            self.is_draining = True
            self._draining = background.start(self._drain(seconds))
        await asyncio.shield(self._draining)

    async def _drain(self, seconds: float) -> None:
        deadline = self.loop.time() + seconds
        sockets = list(self.sockets)
        count = len(sockets)
        steps = min(count, int(min(DRAIN_SPREAD_SECONDS, seconds * 2 / 3) / DRAIN_STEP_SECONDS))
        for step in range(steps):
            for socket in sockets[count * step // steps : count * (step + 1) // steps]:
                socket.restart()
            await asyncio.sleep(DRAIN_STEP_SECONDS)
        while self.sockets and self.loop.time() < deadline:  # noqa: ASYNC110 - a set has no event, and this is the end
            await asyncio.sleep(DRAIN_STEP_SECONDS)

    def layer_status(self) -> Literal["ok", "memory", "lost"]:
        """Whether bells pass; `memory` when there is no other process to hear them."""
        return self._hearing.status()

    # --- joining ------------------------------------------------------------------------------------

    def join(
        self, socket: JsonSocket, topic: str, framing: Framing, *, position: int | None, as_of: int
    ) -> Subscriber:
        """Let a socket listen to a topic, from `position` on (None: an ephemeral topic).

        A durable topic whose audience is elsewhere leaves the subscriber behind: the caller then
        awaits `audience.catch_up`.
        """
        audience = self._audiences.get(topic)
        if audience is None:
            audience = self._audiences[topic] = Audience(self, topic, None)
            self._hearing.topics_changed()
        if audience.position is None and position is not None:
            audience.position = as_of
            # Its bells may have rung between the caller's query and now.
            self.check_soon([topic])
        subscriber = Subscriber(socket, audience, framing, position or 0, as_of)
        if position is None or position == audience.position:
            audience.make_live(subscriber)
        else:
            audience.behind.add(subscriber)
        return subscriber

    def audience(self, topic: str) -> Audience | None:
        """Who listens to a topic in this process, if anybody."""
        return self._audiences.get(topic)

    def forget(self, audience: Audience) -> None:
        """Nobody listens any more."""
        if self._audiences.get(audience.topic) is audience:
            del self._audiences[audience.topic]
            self._hearing.topics_changed()
        audience.close()

    # --- telling ------------------------------------------------------------------------------------

    def tell(self, events: Sequence[Logged], *, also_others: bool) -> None:
        """Hand events to local sockets, and ring for the other processes; from any thread."""
        told_at = time.time()
        try:
            running: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        except RuntimeError:
            running = None
        if running is self.loop:
            self._tell(events, also_others, told_at)
        else:
            with contextlib.suppress(RuntimeError):  # its loop has just been closed
                # In nobody's name: what is caused by the event is not done by its sender.
                context = contextvars.Context()
                self.loop.call_soon_threadsafe(self._tell, events, also_others, told_at, context=context)

    def _tell(self, events: Sequence[Logged], also_others: bool, told_at: float) -> None:  # noqa: FBT001 - call_soon takes no names
        if also_others and bells.layer_is_shared():
            self._ringer.ring(events, told_at=told_at)
        self.receive(events, told_at=told_at)

    def receive(self, events: Iterable[Sequence[Any]], *, told_at: float | None = None) -> None:
        """Hand out what was told, here or by a bell."""
        self.told_at = told_at
        for topic, seq, body in events:
            audience = self._audiences.get(topic)
            if audience is not None:
                try:
                    audience.receive(Delivery(topic, seq, body))
                except Exception:
                    logger.exception("An event of %s could not be handed out", topic)
        self.told_at = None

    # --- asking -------------------------------------------------------------------------------------

    def topics(self) -> Collection[str]:
        """What somebody here listens to."""
        return self._audiences.keys()

    def check_soon(self, topics: Iterable[str]) -> None:
        """Compare these with the database, in the next turns."""
        self._unchecked.update(topics)
        if self._unchecked:
            self._something_unchecked.set()

    async def _check_new(self) -> None:
        """Compare topics with the database soon after somebody asked for it, many in one query."""
        while True:
            await self._something_unchecked.wait()
            self._something_unchecked.clear()
            topics, self._unchecked = list(self._unchecked), set()
            for start in range(0, len(topics), conf.head_check_batch):
                await self._check(topics[start : start + conf.head_check_batch])

    async def _check_in_turn(self) -> None:
        """Compare all durable topics with the database, spread over the interval."""
        while True:
            if not bells.layer_is_shared():
                await asyncio.sleep(POLL_SECONDS)
                if not await self._database_may_have_changed():
                    continue
            topics = [name for name, audience in self._audiences.items() if audience.position is not None]
            batches = [
                topics[i : i + conf.head_check_batch] for i in range(0, len(topics), conf.head_check_batch)
            ]
            for batch in batches:
                await self._check(batch)
                if bells.layer_is_shared():
                    await asyncio.sleep(conf.head_check_seconds / len(batches))
            if not batches:
                await asyncio.sleep(POLL_SECONDS)

    async def _database_may_have_changed(self) -> bool:
        try:
            return await run_in_thread(_database_changed)
        except Exception as error:  # noqa: BLE001 - whatever it is, the next look will tell
            outages.DATABASE.noticed(error)
            return False

    async def _check(self, topics: list[str]) -> None:
        known = {topic: audience.position for topic in topics if (audience := self._audiences.get(topic))}
        try:
            heads = await run_in_thread(log.heads, topics)
        except Exception as error:  # noqa: BLE001 - they are asked for again until they are known
            outages.DATABASE.noticed(error)
            self.check_soon(topics)
            await asyncio.sleep(CHECK_RETRY_SECONDS)
            return
        outages.DATABASE.over()
        for topic, head in heads.items():
            audience = self._audiences.get(topic)
            if audience is not None:
                if head < (known.get(topic) or 0):
                    audience.go_back(head)
                audience.expect(head)


def _of_all(read: Callable[[Hub], int]) -> Callable[[], int]:
    """The sum over the hubs of this process: one in a server, several in some tests."""
    return lambda: sum(read(hub) for hub in list(Hub._hubs.values()))  # noqa: SLF001 - this module's own


metrics.TOPICS.reads(_of_all(lambda hub: len(hub._audiences)))  # noqa: SLF001 - as above
metrics.RINGER_WAITING.reads(_of_all(lambda hub: hub._ringer.waiting))  # noqa: SLF001 - as above
metrics.LAYERS_LOST.reads(_of_all(lambda hub: hub.layer_status() == "lost"))

_versions = threading.local()


def _database_changed() -> bool:
    """Whether anybody wrote since this thread last asked; always true where a database cannot tell."""
    if connection.vendor != "sqlite":
        return True
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA data_version")  # meaningful only within one connection, and so one thread
        seen = (connection.connection, cursor.fetchone()[0])
    changed = seen != getattr(_versions, "seen", None)
    _versions.seen = seen
    return changed
