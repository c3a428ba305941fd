"""uvicorn with our limits and our end.

`--ws realtime.servers.uvicorn:PreparedProtocol` gives them to its own command; `serve` is what our
workers run.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import uvicorn
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

from realtime import background
from realtime.hub import Hub
from realtime.limits import max_message_bytes
from realtime.prepared import EXTENSION
from realtime.servers import (
    ACCEPTED_SECONDS,
    DRAIN_SECONDS,
    FINISH_SECONDS,
    PING_INTERVAL_SECONDS,
    PING_TIMEOUT_SECONDS,
)
from realtime.servers.port import BACKLOG

#: Seconds between two looks at a handshake that a stop waits for.
POLL_SECONDS = 0.05


class PreparedWire:
    """The connection below a socket (`realtime.prepared.Wire`)."""

    __slots__ = ("_protocol",)

    def __init__(self, protocol: PreparedProtocol) -> None:
        self._protocol = protocol

    def write(self, data: bytes) -> None:
        protocol = self._protocol
        if protocol.handshake_complete and not protocol.close_sent and not protocol.disconnected:
            protocol.transport.write(data)

    def waiting(self) -> int:
        return self._protocol.transport.get_write_buffer_size()

    def abort(self) -> None:
        self._protocol.transport.abort()


class PreparedProtocol(WebSocketsSansIOProtocol):
    """Prepared frames; pings, size limits and no compression, whatever the command line says."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.ping_interval = PING_INTERVAL_SECONDS
        self.ping_timeout = PING_TIMEOUT_SECONDS
        # Compression costs every socket buffers and CPU of its own, and a small frame may become a large one.
        self.conn.available_extensions = None

    def handle_connect(self, event: Request) -> None:
        """The handshake: from here on the path is known, and with it the size of a message."""
        self.conn.max_message_size = max_message_bytes(unquote(event.path.partition("?")[0]))
        super().handle_connect(event)
        if self.handshake_initiated and not self.handshake_complete:
            # The application starts in the loop's next turn, so it finds this in its scope.
            extensions: dict[str, Any] = self.scope["extensions"]
            extensions[EXTENSION] = PreparedWire(self)

    async def send(self, message: Any) -> None:
        """What the application says; a refusal before accept completes the handshake as much as accept does.

        uvicorn overlooks that, and logs an error for every foreign page that knocks.
        """
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and self.close_sent:
            self.handshake_complete = True

    def shutdown(self) -> None:
        """The server stops: the hub closes its sockets, a few at a time, and this what is left then."""
        self._goodbye = background.start(self._say_goodbye())

    async def _say_goodbye(self) -> None:
        await Hub.current().drain(seconds=DRAIN_SECONDS)
        # Who is being let in is told by the application, in a way that a page can read.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FINISH_SECONDS):
                while not self.handshake_complete:  # noqa: ASYNC110 - uvicorn has no event for it
                    await asyncio.sleep(POLL_SECONDS)
        if not self.disconnected:
            super().shutdown()


class Server(uvicorn.Server):
    """uvicorn's server, that says when it accepts, and hears out whom it has just accepted."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to listen."""
        await super().startup(sockets)
        self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop to listen, and then, gently, everything."""
        for listening in self.servers:
            listening.close()
        await asyncio.sleep(ACCEPTED_SECONDS)
        await super().shutdown(sockets)


def serve(application: Any, listener: socket.socket, *, ready: Callable[[], None]) -> None:
    """Serve on a listening socket until SIGTERM; `ready` is called when connections are accepted."""
    config = uvicorn.Config(
        application,
        ws=PreparedProtocol,
        loop="uvloop",
        http="httptools",
        backlog=BACKLOG,  # it listens once more, with its own number
        # Without it, one peer that does not read keeps the process from ending.
        timeout_graceful_shutdown=round(DRAIN_SECONDS + FINISH_SECONDS),
        server_header=False,
        access_log=False,  # requests are logged once, by our own logging, which keeps tokens out
        proxy_headers=False,  # ForwardedHeaders reads them, on every server alike
        log_config=None,
    )
    Server(config, ready).run(sockets=[listener])
