"""A wire takes the finished frames of one socket to its server. There are two kinds:

* A server with an adapter of ours (`realtime/servers/`) puts a wire of its own into
  `scope["extensions"]["relais.prepared_frames"]`, an optional ASGI extension. It takes finished bytes, many
  frames joined, in one call. A frame is made once for everybody who receives it; that is where the speed is.
* `AsgiWire` serves on any other ASGI server: it sends the payloads of the same frames one by one, by
  `websocket.send`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from realtime.defaults import conf
from realtime.process import background
from realtime.wire.frames import payloads_in

logger = logging.getLogger(__name__)

EXTENSION = "relais.prepared_frames"

Send = Callable[[dict[str, object]], Awaitable[None]]

#: Seconds until a peer has taken the close frame, and answered it where no server waits for that; then it is
#: cut off.
ABORT_SECONDS = 5.0


def nothing() -> None:
    """Replaces a callback of a socket that has ended, so that nothing refers back to the socket."""


class Wire(Protocol):
    """The lower side of an outbox: one connection of a server."""

    def write(self, data: bytes) -> None:
        """Send finished frames after everything sent before; does nothing when the connection is not open."""

    def waiting(self) -> int:
        """Bytes that were written and not yet taken: by the kernel, or by a server without a wire of ours."""

    def heard_at(self) -> float:
        """When the peer sent something last, pings and pongs too, in seconds of the monotonic clock.

        0 on a server without a wire of ours, which does not say.
        """

    def abort(self) -> None:
        """Cut the connection without waiting for what is left."""

    def abandon(self) -> None:
        """Forget a socket that has ended, and its unsent bytes. A server takes care of its own buffer."""


def wire_of(scope: dict[str, Any]) -> Wire | None:
    """The wire that a server put into the scope of a socket, if it did."""
    wire: Wire | None = scope.get("extensions", {}).get(EXTENSION)
    return wire


class AsgiWire:
    """The wire of a socket on any ASGI server; a task writes the waiting frames, and ends with them."""

    __slots__ = (
        "_chunks",
        "_cut",
        "_end",
        "_is_abandoned",
        "_is_over",
        "_on_slow",
        "_send",
        "_waiting",
        "_writer",
        "on_written",
    )

    def __init__(self, send: Send, on_slow: Callable[[], None], end: Callable[[], object]) -> None:
        """`on_slow` is called once, when the peer does not read; `end` ends the application."""
        self._send = send
        self._on_slow = on_slow
        self._end = end
        #: Called each time that no frame waits any more.
        self.on_written: Callable[[], None] = nothing
        self._chunks: list[bytes] = []
        self._waiting = 0
        self._writer: asyncio.Task[None] | None = None
        self._cut: asyncio.TimerHandle | None = None
        #: Whether no frame but the close is sent any more, because the peer does not read or is gone.
        self._is_over = False
        self._is_abandoned = False

    def write(self, data: bytes) -> None:
        if self._is_over:
            return
        self._chunks.append(data)
        self._waiting += len(data)
        if self._writer is None:
            self._writer = background.start(self._write_all())

    def waiting(self) -> int:
        return self._waiting

    def heard_at(self) -> float:
        return 0.0

    async def close(self, message: dict[str, object]) -> None:
        """Send the close after all frames; a peer that does not close then is cut off.

        These servers would let the application wait for ever for a peer that does not read the close.
        """
        if self._writer is not None:
            await asyncio.wait([self._writer])
        if self._is_abandoned:
            return
        self._cut = asyncio.get_running_loop().call_later(ABORT_SECONDS, self.abort)
        try:
            await self._send(message)
        except Exception as error:  # noqa: BLE001 - each server has its own way to say that the peer is gone
            logger.debug("A socket could not be closed: %r", error)

    def abort(self) -> None:
        """End the application, and with it the connection."""
        end = self._end
        self.abandon()
        end()

    def give_up(self) -> None:
        """Drop all waiting frames but the one being sent: a peer that comes back reads them in the log."""
        self._drop()
        on_slow, self._on_slow = self._on_slow, nothing
        on_slow()

    def abandon(self) -> None:
        self._is_abandoned = True
        self._drop()
        self._on_slow = self._end = self.on_written = nothing
        if self._writer is not None:
            self._writer.cancel()
        if self._cut is not None:
            self._cut.cancel()

    async def _write_all(self) -> None:
        try:
            while self._chunks:
                chunks, self._chunks = self._chunks, []
                for chunk in chunks:
                    async with asyncio.timeout(conf.write_timeout_seconds):
                        for payload, size in payloads_in(chunk):
                            what = "text" if isinstance(payload, str) else "bytes"
                            await self._send({"type": "websocket.send", what: payload})
                            if self._is_over:
                                return
                            self._waiting -= size
        except TimeoutError:
            self.give_up()
        except Exception as error:  # noqa: BLE001 - each server has its own way to say that the peer is gone
            logger.debug("A socket could not be written to: %r", error)
            self._drop()
        finally:
            self._writer = None
            self.on_written()

    def _drop(self) -> None:
        self._is_over = True
        self._chunks, self._waiting = [], 0
