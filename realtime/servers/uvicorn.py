"""uvicorn's WebSocket protocol with our limits: `--ws realtime.servers.uvicorn:PreparedProtocol`."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

from realtime.limits import max_message_bytes
from realtime.prepared import EXTENSION
from realtime.servers import PING_INTERVAL_SECONDS, PING_TIMEOUT_SECONDS


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
