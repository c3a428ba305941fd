"""The hub: the part of one process that knows its sockets, hears the bells and asks the database.

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
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from django.db import connection

from realtime import background, bells, log, metrics, outages
from realtime.audience import Audience, Subscriber
from realtime.conf import conf
from realtime.events import Delivery, Logged
from realtime.expiries import Expiries
from realtime.framing import Framing
from realtime.outages import Outage
from realtime.threads import run_in_thread

if TYPE_CHECKING:
    from realtime.connections import Connection
    from realtime.sockets import JsonSocket

logger = logging.getLogger(__name__)

#: Seconds between two signs of life that the hub sends itself through the layer.
BEAT_SECONDS = 2.0
#: Seconds without one after which one has been missed.
MISSED_BEAT_SECONDS = 3.0
#: Seconds without one after which the layer counts as lost.
LOST_AFTER_SECONDS = 5.0
#: Seconds between two attempts to listen to the layer.
LISTEN_RETRY_SECONDS = 1.0
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
        self._shards_changed = asyncio.Event()
        self._last_beat = loop.time()
        self._layer = Outage("The channel layer", counted_as="layer")
        self._channel = ""

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
            works += [self._listen, self._beat]
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
        if not bells.layer_is_shared():
            return "memory"
        is_silent = self.loop.time() - self._last_beat > LOST_AFTER_SECONDS
        return "lost" if is_silent or self._layer.is_on else "ok"

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
            self._shards_changed.set()
        if audience.position is None and position is not None:
            audience.position = as_of
            # Its bells may have rung between the caller's query and now.
            self._check_soon([topic])
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
            self._shards_changed.set()
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
        self._receive(events, told_at=told_at)

    def _receive(self, events: Iterable[Sequence[Any]], *, told_at: float | None = None) -> None:
        self.told_at = told_at
        for topic, seq, body in events:
            audience = self._audiences.get(topic)
            if audience is not None:
                try:
                    audience.receive(Delivery(topic, seq, body))
                except Exception:
                    logger.exception("An event of %s could not be handed out", topic)
        self.told_at = None

    # --- hearing ------------------------------------------------------------------------------------

    async def _listen(self) -> None:
        """Hear the bells of the shards whose topics somebody here listens to."""
        layer = bells.layer()
        keeper: asyncio.Task[None] | None = None
        try:
            while True:
                try:
                    if keeper is None:
                        self._channel = await layer.new_channel("relais.")
                        keeper = background.start(self._keep_shards(layer, self._channel))
                    message = await layer.receive(self._channel)
                except Exception as error:  # noqa: BLE001 - the layer's clients raise what they like
                    self._layer.noticed(error)
                    await asyncio.sleep(LISTEN_RETRY_SECONDS)
                else:
                    self._hear(message)
        finally:
            if keeper is not None:
                keeper.cancel()

    def _hear(self, message: Any) -> None:
        if isinstance(message, dict) and message.get("type") == "beat":
            self._heard_beat()
        elif (bell := bells.decode(message)) is not None:
            rings = ((ring.topic, ring.seq, ring.body) for ring in bell.rings)
            self._receive(rings, told_at=bell.told_at)
            if not bell.rings:
                self._check_soon(self._audiences)

    async def _keep_shards(self, layer: Any, channel: str) -> None:
        """Keep the layer's subscriptions as they should be."""
        joined: set[int] = set()
        while True:
            self._shards_changed.clear()
            wanted = {0} | (
                {bells.shard_of(topic) for topic in self._audiences} if conf.bell_shards > 1 else set()
            )
            try:
                for shard in wanted - joined:
                    await layer.group_add(bells.group_of(shard), channel)
                    joined.add(shard)
                    if shard == 0:
                        await layer.group_send(bells.group_of(0), bells.message([]))
                    self._check_soon(topic for topic in self._audiences if bells.shard_of(topic) == shard)
                for shard in joined - wanted:
                    joined.discard(shard)
                    await layer.group_discard(bells.group_of(shard), channel)
            except Exception as error:  # noqa: BLE001 - as above
                self._layer.noticed(error)
                await asyncio.sleep(LISTEN_RETRY_SECONDS)
            else:
                await self._shards_changed.wait()

    async def _beat(self) -> None:
        """Prove that the layer carries our own voice back to us."""
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            try:
                if self._channel:
                    await bells.layer().send(self._channel, {"type": "beat"})
            except Exception as error:  # noqa: BLE001 - as above
                self._layer.noticed(error)
            if self.layer_status() == "lost":
                self._layer.noticed(TimeoutError(f"nothing heard for {LOST_AFTER_SECONDS:g} s"))

    def _heard_beat(self) -> None:
        silence, self._last_beat = self.loop.time() - self._last_beat, self.loop.time()
        self._layer.over()
        # A beat that did not come back may have lost bells for company, however soon all is well again.
        if silence > MISSED_BEAT_SECONDS:
            self._check_soon(self._audiences)

    # --- asking -------------------------------------------------------------------------------------

    def _check_soon(self, topics: Iterable[str]) -> None:
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
        try:
            heads = await run_in_thread(log.heads, topics)
        except Exception as error:  # noqa: BLE001 - they are asked for again until they are known
            outages.DATABASE.noticed(error)
            self._check_soon(topics)
            await asyncio.sleep(CHECK_RETRY_SECONDS)
            return
        outages.DATABASE.over()
        for topic, head in heads.items():
            audience = self._audiences.get(topic)
            if audience is not None:
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
