"""What waits to be written to one socket: bounded, in order, given up when its peer does not read.

There are two. `PreparedOutbox` hands finished bytes to the server's connection, whose own buffer it
watches. `Outbox` works on any ASGI server, through `websocket.send`.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable

from realtime.conf import conf
from realtime.process import background
from realtime.wire import metrics
from realtime.wire.prepared import Batch, Wire, size_of
from realtime.wire.prepared_outbox import ALL, HALF, PreparedOutbox, Send, nobody

logger = logging.getLogger(__name__)


def outbox_for(send: Send, wire: Wire | None, on_slow: Callable[[], None]) -> Outbox | PreparedOutbox:
    """The best outbox that a socket's server allows; `on_slow` is called once, and closes."""
    return Outbox(send, on_slow) if wire is None else PreparedOutbox(send, wire, on_slow)


class Outbox:
    """The frames of a socket on any ASGI server, written by one task that lives while it is needed."""

    __slots__ = (
        "_close_code",
        "_frames",
        "_is_gone",
        "_is_open",
        "_is_slow",
        "_on_slow",
        "_room",
        "_send",
        "_task",
        "_waiting_bytes",
    )

    def __init__(self, send: Send, on_slow: Callable[[], None]) -> None:
        self._send = send
        self._on_slow = on_slow
        #: The texts, and the bytes that each will be.
        self._frames: deque[tuple[str, int]] = deque()
        self._waiting_bytes = 0
        self._task: asyncio.Task[None] | None = None
        self._room: asyncio.Event | None = None
        self._close_code: int | None = None
        self._is_open = False
        self._is_slow = False
        self._is_gone = False

    @property
    def is_closing(self) -> bool:
        """Whether nothing more will be sent but what waits already, and the close."""
        return self._close_code is not None or self._is_gone

    def open(self) -> None:
        """The socket is accepted: what was said before goes out now."""
        self._is_open = True
        if self._frames or self._close_code is not None:
            self._write_soon()

    def push(self, frame: str, *, droppable: bool = False) -> None:
        """Send a frame after those before it; a droppable one gives way when half the room is taken."""
        if self._has_room(size_of(frame), HALF if droppable else ALL):
            self._append(frame)
        elif droppable:
            metrics.gave_way(frame.encode())
        else:
            self._too_slow()

    def push_batch(self, batch: Batch, user_id: int) -> bool:
        """Send frames that others are sent as well; False when there is no room, and the log has to do."""
        if self._has_room(batch.size, HALF):
            for text in batch.texts(user_id):
                self._append(text)
            return True
        if batch.is_droppable:
            metrics.gave_way(batch.data(user_id))
        return batch.is_droppable

    async def room_for(self, size: int) -> None:
        """Wait until so many bytes fit beside others: for who reads a log that is longer than the outbox."""
        while not self._has_room(size, HALF):
            await self._wait_for_room()

    async def drained(self) -> None:
        """Wait until nothing waits."""
        while (self._task is not None or self._frames) and not self._is_gone:
            await self._wait_for_room()

    def close(self, code: int) -> None:
        """Close the socket after what waits has been written."""
        if not self.is_closing:
            self._close_code = code
            self._write_soon()
            self._tell_room()

    def abandon(self) -> None:
        """The socket is gone: nothing more can be written."""
        self._is_gone = True
        self._on_slow = nobody
        self._frames.clear()
        if self._task is not None:
            self._task.cancel()
        self._tell_room()

    def _has_room(self, size: int, part: int) -> bool:
        """Whether so much fits into that part of the room beside what waits. What is alone always does."""
        waiting = self._waiting_bytes
        return not waiting or waiting + size <= conf.limit_outbox_bytes // part or self.is_closing

    def _append(self, frame: str) -> None:
        if not self.is_closing:
            size = size_of(frame)
            self._frames.append((frame, size))
            self._waiting_bytes += size
            self._write_soon()

    def _write_soon(self) -> None:
        if self._task is None and self._is_open:
            self._task = background.start(self._write_all())

    async def _write_all(self) -> None:
        try:
            try:
                await self._write_frames()
            except TimeoutError:
                self._too_slow()
            if self._close_code is not None:
                async with asyncio.timeout(conf.write_timeout_seconds):
                    await self._send({"type": "websocket.close", "code": self._close_code})
                self._is_gone = True
        except Exception as error:  # noqa: BLE001 - each server has its own way to say that the peer is gone
            logger.debug("A socket could not be written to: %r", error)
            self._is_gone = True
        finally:
            self._task = None
            self._tell_room()

    async def _write_frames(self) -> None:
        while self._frames:
            frame, size = self._frames.popleft()
            async with asyncio.timeout(conf.write_timeout_seconds):
                await self._send({"type": "websocket.send", "text": frame})
            self._waiting_bytes -= size
            if not self._frames:
                self._tell_room()

    def _too_slow(self) -> None:
        """Give up what waits: the peer will read it in the log when it comes back."""
        self._frames.clear()
        if not self._is_slow:
            self._is_slow = True
            self._on_slow()

    async def _wait_for_room(self) -> None:
        if self._room is None:
            self._room = asyncio.Event()
        self._room.clear()
        await self._room.wait()

    def _tell_room(self) -> None:
        if self._room is not None:
            self._room.set()
