"""The channel layer and its hosts: the Redis servers that it is spread over, each of which may be lost.

A layer over several Redis servers gives each channel and each group to one of them. A sign of life that comes
back proves that one server works, so each server has a sign of its own.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from channels.layers import InMemoryChannelLayer, get_channel_layer

from realtime.metrics.outages import Outage
from realtime.process import background


def channel_layer() -> Any:
    """The channel layer; a system check refuses a project without one."""
    return get_channel_layer()


def layer_is_shared() -> bool:
    """Whether other processes can hear this one."""
    return not isinstance(channel_layer(), InMemoryChannelLayer)


def host_names(layer: Any) -> list[str]:
    """The names of the layer's servers, without passwords; one empty name for a layer that does not say."""
    return [_name(shard.host) for shard in getattr(layer, "_shards", ())] or [""]


def host_of(layer: Any, group: str) -> int:
    """The number of the server that carries a group."""
    if len(shards := getattr(layer, "_shards", ())) < 2:
        return 0
    return list(shards).index(layer._get_shard(layer._get_group_channel_name(group)))  # noqa: SLF001 - it tells nobody


def _name(host: Any) -> str:
    parts = urlsplit(str(host.get("address", "")) if isinstance(host, dict) else str(host))
    if parts.scheme == "unix":
        return f"unix://{parts.path}"
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname or ''}{port}{parts.path}"


def layer_outage(name: str, *, counted_as: str, about: str = "") -> Outage:
    """The outage of one server of the layer, by its name."""
    return Outage(f"The channel layer{f' at {name}' if name else ''}{about}", counted_as=counted_as)


class Host:
    """One server of the layer, and when this process last heard its own sign of life through it."""

    def __init__(self, layer: Any, number: int, channel: str, clock: Callable[[], float]) -> None:
        self.outage = layer_outage(host_names(layer)[number], counted_as="layer")
        self._layer, self._number, self._channel = layer, number, channel
        self._clock = clock
        self._last_heard = clock()
        self._is_joined = False
        self._beating: asyncio.Task[None] | None = None
        names = (f"relais.beat.{channel[-32:]}.{count}" for count in itertools.count())
        self._group = next(name for name in names if host_of(layer, name) == number)

    def is_silent(self, seconds: float) -> bool:
        """Whether no sign of life was heard for this long."""
        return self._clock() - self._last_heard > seconds

    def beat(self) -> None:
        """Send a sign of life, in a task: a server that takes none must not delay those of the others."""
        if self._beating is None or self._beating.done():
            self._beating = background.start(self._beat())

    async def _beat(self) -> None:
        try:
            if not self._is_joined:
                await self._layer.group_add(self._group, self._channel)
                self._is_joined = True
            await self._layer.group_send(self._group, {"type": "beat", "host": self._number})
        except Exception as error:  # noqa: BLE001 - the layer's clients raise what they like
            self.outage.noticed(error)

    def heard(self) -> float:
        """Note that a sign of life came back; returns the seconds for which none had."""
        silence, self._last_heard = self._clock() - self._last_heard, self._clock()
        self.outage.over()
        return silence

    def stop(self) -> None:
        if self._beating is not None:
            self._beating.cancel()
