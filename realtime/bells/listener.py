"""The bell listener: receives the bells of other processes for a hub, and knows whether the layer works.

Redis tells nobody when it has lost a subscriber. So every process sends itself a sign of life every now and
then, through every server of the layer: where it does not come back, bells do not come either.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Literal, Protocol

from realtime.bells import bell, metrics
from realtime.bells.hosts import Host, channel_layer, host_names, host_of, layer_is_shared
from realtime.defaults import conf
from realtime.metrics.outages import Outage
from realtime.process import background

#: Seconds between two signs of life.
BEAT_SECONDS = 2.0
#: Seconds without a sign of life after which one has been missed.
MISSED_BEAT_SECONDS = 3.0
#: Seconds without a sign of life after which the layer counts as lost.
LOST_AFTER_SECONDS = 5.0
#: Seconds between two attempts to listen to the layer.
LISTEN_RETRY_SECONDS = 1.0
#: Bytes that may wait in the backlog: sixteen of the largest bells.
MAX_BACKLOG_BYTES = 8 * 1024 * 1024


class ListeningHub(Protocol):
    """The hub, as far as its bell listener knows it."""

    def topics(self) -> Collection[str]:
        """The topics that somebody in this process listens to."""

    def receive(self, events: Iterable[Sequence[Any]], *, told_at: float | None = None) -> None:
        """Hand out the events of a bell."""

    def check_soon(self, topics: Iterable[str]) -> None:
        """Compare these topics with the database: bells may have been lost."""


class Backlog(asyncio.Queue[Any]):
    """A bounded queue of messages from the layer that wait for the listener; the layer's own has no bounds.

    When it overflows, all of it is dropped: a head check finds what is stored.
    """

    def _init(self, maxsize: int) -> None:
        super()._init(maxsize)
        self._bytes = 0
        self.has_lost = False

    def _put(self, item: Any) -> None:
        self._bytes += len(item)
        if self._bytes > MAX_BACKLOG_BYTES:
            self.has_lost = True
            while not self.empty():
                self._get()
        super()._put(item)

    def _get(self) -> Any:
        item = super()._get()
        self._bytes -= len(item)
        return item


class BellListener:
    """Hears the bells of other processes for one hub."""

    def __init__(self, hub: ListeningHub, loop: asyncio.AbstractEventLoop) -> None:
        self._hub = hub
        self._loop = loop
        self._shards_changed = asyncio.Event()
        self._since = loop.time()
        #: The outage of the layer as a whole: no server was reached yet, or it does not tell them apart.
        self._layer = Outage("The channel layer", counted_as="layer")
        #: Empty until there is a channel to listen on.
        self._hosts: list[Host] = []
        self._channel = ""
        self._backlog = Backlog()

    def topics_changed(self) -> None:
        """Note that a topic got its first listener in this process, or lost its last one."""
        self._shards_changed.set()

    def status(self) -> Literal["ok", "memory", "lost"]:
        """Whether bells pass; `memory` when there is no other process to hear them."""
        if not layer_is_shared():
            return "memory"
        if not self._hosts and self._loop.time() - self._since > LOST_AFTER_SECONDS:
            return "lost"
        is_lost = self._layer.is_on or any(map(self._is_lost, self._hosts))
        return "lost" if is_lost else "ok"

    @staticmethod
    def _is_lost(host: Host) -> bool:
        return host.outage.is_on or host.is_silent(LOST_AFTER_SECONDS)

    # --- listening ----------------------------------------------------------------------------------

    async def listen(self) -> None:
        """Hear the bells of the shards whose topics somebody here listens to."""
        layer = channel_layer()
        keeper: asyncio.Task[None] | None = None
        try:
            while True:
                try:
                    if keeper is None:
                        self._channel = await layer.new_channel("relais.")
                        self._bound_backlog(layer)
                        self._hosts = [
                            Host(layer, number, self._channel, self._loop.time)
                            for number, _ in enumerate(host_names(layer))
                        ]
                        keeper = background.start(self._keep_shards(layer, self._channel))
                    message = await layer.receive(self._channel)
                except (
                    ValueError,
                    TypeError,
                ):  # of msgpack: not a message of the layer; the layer itself works
                    metrics.BELLS.add("unreadable")
                except Exception as error:  # noqa: BLE001 - the layer's clients raise what they like
                    self._layer.noticed(error)
                    await asyncio.sleep(LISTEN_RETRY_SECONDS)
                else:
                    self._hear(message)
        finally:
            if keeper is not None:
                keeper.cancel()
            for host in self._hosts:
                host.stop()

    def _bound_backlog(self, layer: Any) -> None:
        """Replace the queue that the layer over Redis keeps for our channel by one with bounds."""
        channels = getattr(layer, "channels", None)
        if isinstance(channels, dict) and type(channels.get(self._channel)) is asyncio.Queue:
            channels[self._channel] = self._backlog = Backlog()

    def _hear(self, message: Any) -> None:
        if self._backlog.has_lost:
            self._backlog.has_lost = False
            self._hub.check_soon(self._hub.topics())
        if isinstance(message, dict) and message.get("type") == "beat":
            self._hear_beat(message.get("host"))
        elif (heard := bell.heard_in(message)) is not None:
            rings = ((ring.topic, ring.seq, ring.body) for ring in heard.rings)
            self._hub.receive(rings, told_at=heard.told_at)
            if not heard.rings:
                self._hub.check_soon(self._hub.topics())

    # --- shards -------------------------------------------------------------------------------------

    async def _keep_shards(self, layer: Any, channel: str) -> None:
        """Keep the layer's subscriptions equal to the shards of the hub's topics; shard 0 always."""
        joined: set[int] = set()
        while True:
            self._shards_changed.clear()
            topics = self._hub.topics()
            wanted = {0} | ({bell.shard_of(topic) for topic in topics} if conf.bell_shards > 1 else set())
            has_failed = False
            for shard in sorted(wanted ^ joined):
                try:
                    if shard in joined:
                        joined.discard(shard)
                        await layer.group_discard(bell.group_of(shard), channel)
                    else:
                        await self._join_shard(layer, channel, shard)
                        joined.add(shard)
                except Exception as error:  # noqa: BLE001 - as above; the other shards may be elsewhere
                    has_failed = True
                    self._hosts[host_of(layer, bell.group_of(shard))].outage.noticed(error)
            if has_failed:
                await asyncio.sleep(LISTEN_RETRY_SECONDS)
            else:
                await self._shards_changed.wait()

    async def _join_shard(self, layer: Any, channel: str, shard: int) -> None:
        await layer.group_add(bell.group_of(shard), channel)
        if shard == 0:
            # An empty bell: the others look for what a process that died in our place did not ring.
            await layer.group_send(bell.group_of(0), bell.encode([]))
        self._hub.check_soon(topic for topic in self._hub.topics() if bell.shard_of(topic) == shard)

    # --- signs of life ------------------------------------------------------------------------------

    async def beat(self) -> None:
        """Prove again and again that the layer carries what this process sends back to it."""
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            for host in self._hosts:
                host.beat()
                if host.is_silent(LOST_AFTER_SECONDS):
                    host.outage.noticed(TimeoutError(f"nothing heard for {LOST_AFTER_SECONDS:g} s"))

    def _hear_beat(self, number: object) -> None:
        if not (isinstance(number, int) and 0 <= number < len(self._hosts)):
            return
        silence = self._hosts[number].heard()
        self._layer.over()
        # Where a sign of life was lost, bells may be lost too, however soon the layer works again.
        if silence > MISSED_BEAT_SECONDS:
            self._hub.check_soon(self._hub.topics())
