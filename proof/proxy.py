"""A TCP proxy that misbehaves on request: it cuts, freezes, delays, throttles and drops.

It stands between two programs that believe they are connected directly, and runs in the caller's event loop.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Callable
from typing import Self

#: Filters may change the bytes of one direction; each connection has its own.
Filter = Callable[[bytes], bytes]
#: Bytes that may wait in one direction before the source is no longer read.
MAX_WAITING = 256 * 1024


def reset(transport: asyncio.BaseTransport) -> None:
    """End a connection as a crash does: with RST, without another byte."""
    peer = transport.get_extra_info("socket")
    if peer is not None:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()  # type: ignore[attr-defined]  # every transport of a socket has it


class Proxy:
    """A proxy before one address; it listens on `port`."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        #: Seconds by which everything is delayed.
        self.delay = 0.0
        #: Bytes a second in each direction of each connection; None for no limit.
        self.rate: float | None = None
        #: Make the filters of a new connection: for bytes from the target, and for bytes to it.
        self.filter_down: Callable[[], Filter] | None = None
        #: Makes an extra delay for each piece that goes to the target.
        self.hesitates: Callable[[bytes], float] | None = None
        self.is_frozen = False
        self._links: set[Link] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Link(self), "127.0.0.1", self.port, backlog=4096)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_exception: object) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()

    def cut(self) -> None:
        """Reset every connection; new ones are let through."""
        for link in list(self._links):
            link.cut()

    def freeze(self) -> None:
        """Become a black hole: connections stay, new ones are accepted, and nothing passes."""
        self.is_frozen = True
        for link in list(self._links):
            link.freeze()

    def thaw(self) -> None:
        """Let everything that waited pass."""
        self.is_frozen = False
        for link in list(self._links):
            link.thaw()

    def joined(self, link: Link) -> None:
        self._links.add(link)

    def left(self, link: Link) -> None:
        self._links.discard(link)


class _Pipe:
    """One direction of a connection: the bytes read from one side and not yet written to the other."""

    def __init__(self, proxy: Proxy, source: asyncio.Transport, sink: asyncio.Transport) -> None:
        self.proxy, self.source, self.sink = proxy, source, sink
        self.filter: Filter | None = None
        self._waiting: deque[tuple[float, bytes]] = deque()
        self._size = 0
        self._free_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def pass_on(self, data: bytes, *, late: float = 0.0) -> None:
        if self.filter is not None:
            data = self.filter(data)
        if not data:
            return
        proxy = self.proxy
        late += proxy.delay
        if not (late or proxy.rate or self._waiting or proxy.is_frozen):
            self.sink.write(data)
            return
        now = asyncio.get_running_loop().time()
        self._free_at = max(self._free_at, now + late)  # never before an earlier piece
        if proxy.rate:
            self._free_at += len(data) / proxy.rate
        self._waiting.append((self._free_at, data))
        self._size += len(data)
        if self._size > MAX_WAITING:
            self.source.pause_reading()
        self.go_on()

    def go_on(self) -> None:
        """Write the pieces that are due."""
        loop = asyncio.get_running_loop()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.proxy.is_frozen or self.sink.is_closing():
            return
        while self._waiting and self._waiting[0][0] <= loop.time():
            _, data = self._waiting.popleft()
            self._size -= len(data)
            self.sink.write(data)
        if self._waiting:
            self._timer = loop.call_at(self._waiting[0][0], self.go_on)
        if self._size <= MAX_WAITING and not self.source.is_closing():
            self.source.resume_reading()

    def end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()


class Link(asyncio.Protocol):
    """One connection through the proxy; this is its near side, and `_Far` the side of the target."""

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy
        self.near: asyncio.Transport | None = None
        self.far: asyncio.Transport | None = None
        self.up: _Pipe | None = None
        self.down: _Pipe | None = None
        self._opening: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.near = transport
        transport.pause_reading()  # until the target is connected
        self.proxy.joined(self)
        self._opening = asyncio.get_running_loop().create_task(self._reach())

    def data_received(self, data: bytes) -> None:
        assert self.up is not None
        late = self.proxy.hesitates(data) if self.proxy.hesitates is not None else 0.0
        self.up.pass_on(data, late=late)

    def connection_lost(self, exc: Exception | None) -> None:
        self.proxy.left(self)
        for pipe in (self.up, self.down):
            if pipe is not None:
                pipe.end()
        if self.far is not None:
            self.far.close()

    def far_lost(self) -> None:
        if self.near is not None:
            self.near.close()

    async def _reach(self) -> None:
        assert self.near is not None
        try:
            far, _ = await asyncio.get_running_loop().create_connection(
                lambda: _Far(self), "127.0.0.1", self.proxy.target
            )
        except OSError:
            reset(self.near)
            return
        if self.near.is_closing():
            far.close()
            return
        self.far = far
        self.up, self.down = _Pipe(self.proxy, self.near, far), _Pipe(self.proxy, far, self.near)
        if self.proxy.filter_down is not None:
            self.down.filter = self.proxy.filter_down()
        if self.proxy.is_frozen:
            self.freeze()
        else:
            self.near.resume_reading()

    def cut(self) -> None:
        for transport in (self.near, self.far):
            if transport is not None:
                reset(transport)

    def freeze(self) -> None:
        for transport in (self.near, self.far):
            if transport is not None and not transport.is_closing():
                transport.pause_reading()

    def thaw(self) -> None:
        for pipe in (self.up, self.down):
            if pipe is not None and not pipe.source.is_closing():
                pipe.source.resume_reading()
                pipe.go_on()


class _Far(asyncio.Protocol):
    def __init__(self, link: Link) -> None:
        self.link = link

    def data_received(self, data: bytes) -> None:
        if self.link.down is not None:
            self.link.down.pass_on(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.link.far_lost()
