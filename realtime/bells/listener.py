"""Hearing: the part of a hub that listens to the channel layer, and knows whether it carries anything.

Redis tells nobody when it has lost a subscriber. So the hub sends itself a sign of life every now and then,
through every server of the layer: where it does not come back, bells do not come either.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Literal, Protocol

from realtime.bells import metrics
from realtime.bells import ringer as bells
from realtime.bells.hosts import Host, host_names, host_of
from realtime.conf import conf
from realtime.metrics.outages import Outage
from realtime.process import background

#: Seconds between two signs of life that the hub sends itself through the layer.
BEAT_SECONDS = 2.0
#: Seconds without one after which one has been missed.
MISSED_BEAT_SECONDS = 3.0
#: Seconds without one after which the layer counts as lost.
LOST_AFTER_SECONDS = 5.0
#: Seconds between two attempts to listen to the layer.
LISTEN_RETRY_SECONDS = 1.0
#: Bytes that may have been heard and not yet been handed out: sixteen of the largest bells.
MAX_HEARD_BYTES = 8 * 1024 * 1024


class Listener(Protocol):
    """The hub, as far as this module knows one."""

    def topics(self) -> Collection[str]:
        """What somebody here listens to."""

    def receive(self, events: Iterable[Sequence[Any]], *, told_at: float | None = None) -> None:
        """Hand out what a bell brought."""

    def check_soon(self, topics: Iterable[str]) -> None:
        """Compare these with the database: bells may have been lost."""


class Heard(asyncio.Queue[Any]):
    """What the layer has received and the hub has not taken yet. The layer's own queue has no bounds.

    When it is too much all of it is forgotten: what is stored is found by looking.
    """

    def _init(self, maxsize: int) -> None:
        super()._init(maxsize)
        self._bytes = 0
        self.has_lost = False

    def _put(self, item: Any) -> None:
        self._bytes += len(item)
        if self._bytes > MAX_HEARD_BYTES:
            self.has_lost = True
            while not self.empty():
                self._get()
        super()._put(item)

    def _get(self) -> Any:
        item = super()._get()
        self._bytes -= len(item)
        return item


class Hearing:
    """What one hub hears of other processes."""

    def __init__(self, hub: Listener, loop: asyncio.AbstractEventLoop) -> None:
        self._hub = hub
        self._loop = loop
        self._shards_changed = asyncio.Event()
        self._since = loop.time()
        #: What cannot be said of one server: none was reached yet, or the layer does not tell them apart.
        self._layer = Outage("The channel layer", counted_as="layer")
        #: Known once there is a channel to hear by.
        self._hosts: list[Host] = []
        self._channel = ""
        self._heard = Heard()

    def topics_changed(self) -> None:
        """Somebody came to a topic where nobody was, or the last one left it."""
        self._shards_changed.set()

    def status(self) -> Literal["ok", "memory", "lost"]:
        """Whether bells pass; `memory` when there is no other process to hear them."""
        if not bells.layer_is_shared():
            return "memory"
        if not self._hosts and self._loop.time() - self._since > LOST_AFTER_SECONDS:
            return "lost"
        is_lost = self._layer.is_on or any(map(self._is_lost, self._hosts))
        return "lost" if is_lost else "ok"

    @staticmethod
    def _is_lost(host: Host) -> bool:
        return host.outage.is_on or host.is_silent(LOST_AFTER_SECONDS)

    async def listen(self) -> None:
        """Hear the bells of the shards whose topics somebody here listens to."""
        layer = bells.layer()
        keeper: asyncio.Task[None] | None = None
        try:
            while True:
                try:
                    if keeper is None:
                        self._channel = await layer.new_channel("relais.")
                        self._bound(layer)
                        self._hosts = [
                            Host(layer, number, self._channel, self._loop.time)
                            for number, _ in enumerate(host_names(layer))
                        ]
                        keeper = background.start(self._keep_shards(layer, self._channel))
                    message = await layer.receive(self._channel)
                except (ValueError, TypeError):  # of msgpack: it was no message of a layer, and all is well
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

    def _bound(self, layer: Any) -> None:
        """Bound what the layer keeps for us, where it keeps it as the one over Redis does."""
        channels = getattr(layer, "channels", None)
        if isinstance(channels, dict) and type(channels.get(self._channel)) is asyncio.Queue:
            channels[self._channel] = self._heard = Heard()

    def _hear(self, message: Any) -> None:
        if self._heard.has_lost:
            self._heard.has_lost = False
            self._hub.check_soon(self._hub.topics())
        if isinstance(message, dict) and message.get("type") == "beat":
            self._heard_beat(message.get("host"))
        elif (bell := bells.decode(message)) is not None:
            rings = ((ring.topic, ring.seq, ring.body) for ring in bell.rings)
            self._hub.receive(rings, told_at=bell.told_at)
            if not bell.rings:
                self._hub.check_soon(self._hub.topics())

    async def _keep_shards(self, layer: Any, channel: str) -> None:
        """Keep the layer's subscriptions as they should be."""
        joined: set[int] = set()
        while True:
            self._shards_changed.clear()
            topics = self._hub.topics()
            wanted = {0} | ({bells.shard_of(topic) for topic in topics} if conf.bell_shards > 1 else set())
            has_failed = False
            for shard in sorted(wanted ^ joined):
                try:
                    if shard in joined:
                        joined.discard(shard)
                        await layer.group_discard(bells.group_of(shard), channel)
                    else:
                        await self._join_shard(layer, channel, shard)
                        joined.add(shard)
                except Exception as error:  # noqa: BLE001 - as above; the other shards may be elsewhere
                    has_failed = True
                    self._hosts[host_of(layer, bells.group_of(shard))].outage.noticed(error)
            if has_failed:
                await asyncio.sleep(LISTEN_RETRY_SECONDS)
            else:
                await self._shards_changed.wait()

    async def _join_shard(self, layer: Any, channel: str, shard: int) -> None:
        await layer.group_add(bells.group_of(shard), channel)
        if shard == 0:
            await layer.group_send(bells.group_of(0), bells.message([]))
        self._hub.check_soon(topic for topic in self._hub.topics() if bells.shard_of(topic) == shard)

    async def beat(self) -> None:
        """Prove that the layer carries our own voice back to us."""
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            for host in self._hosts:
                host.beat()
                if host.is_silent(LOST_AFTER_SECONDS):
                    host.outage.noticed(TimeoutError(f"nothing heard for {LOST_AFTER_SECONDS:g} s"))

    def _heard_beat(self, number: object) -> None:
        if not (isinstance(number, int) and 0 <= number < len(self._hosts)):
            return
        silence = self._hosts[number].heard()
        self._layer.over()
        # A beat that did not come back may have lost bells for company, however soon all is well again.
        if silence > MISSED_BEAT_SECONDS:
            self._hub.check_soon(self._hub.topics())
