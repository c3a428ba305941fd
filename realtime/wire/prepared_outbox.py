"""The outbox of a socket whose server takes finished bytes; it watches the buffer of the connection."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from realtime.conf import conf
from realtime.process import background
from realtime.wire import metrics
from realtime.wire.prepared import Batch, Wire, text_frame

logger = logging.getLogger(__name__)

Send = Callable[[dict[str, object]], Awaitable[None]]

#: Bytes waiting before it is watched how long they wait: below it, they are what this turn of the loop wrote.
WATCHED_BYTES = 16 * 1024
#: Seconds a slow peer has for the close frame, which may never reach it, before it is cut off.
ABORT_SECONDS = 5.0
#: Seconds between two looks at a buffer that somebody waits for: at first, and at most.
POLL_SECONDS, MAX_POLL_SECONDS = 0.01, 0.1
#: Parts of the room in an outbox. What the log has as well takes half, for it can be read there later; the
#: rest is for what only this socket is told.
ALL, HALF = 1, 2


def nobody() -> None:
    """In the place of a socket that has ended: its outbox no longer refers back to it."""


class PreparedOutbox:
    """The frames of a socket whose server takes finished bytes."""

    __slots__ = (
        "_close_code",
        "_held",
        "_is_gone",
        "_is_slow",
        "_on_slow",
        "_send",
        "_task",
        "_watch",
        "_wire",
        "_written",
    )

    def __init__(self, send: Send, wire: Wire, on_slow: Callable[[], None]) -> None:
        self._send = send
        self._wire = wire
        self._on_slow = on_slow
        #: What is said before the socket is accepted; None once it is.
        self._held: list[bytes] | None = []
        self._written = 0
        self._watch: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._close_code: int | None = None
        self._is_slow = False
        self._is_gone = False

    @property
    def is_closing(self) -> bool:
        """Whether nothing more will be sent but what waits already, and the close."""
        return self._close_code is not None or self._is_gone

    def open(self) -> None:
        """The socket is accepted: what was said before goes out now."""
        held, self._held = self._held or [], None
        for data in held:
            self._wire.write(data)
        if self._close_code is not None and not self._is_gone:
            self._task = background.start(self._say_close(self._close_code))

    def push(self, frame: str, *, droppable: bool = False) -> None:
        """Send a frame after those before it; a droppable one gives way when half the room is taken."""
        data = text_frame(frame)
        if self._write(data, HALF if droppable else ALL):
            return
        if droppable:
            metrics.gave_way(data)
        else:
            self._too_slow()

    def push_batch(self, batch: Batch, user_id: int) -> bool:
        """Send frames that others are sent as well; False when there is no room, and the log has to do."""
        data = batch.data(user_id)
        if self._write(data, HALF):
            return True
        if batch.is_droppable:
            metrics.gave_way(data)
        return batch.is_droppable

    def _write(self, data: bytes, part: int) -> bool:
        """Whether it fits into that part of the room beside what waits. What is alone always does."""
        if self._close_code is not None or self._is_gone:
            return True
        if self._held is not None:
            return self._hold(data, part)
        waiting = self._wire.waiting()
        if waiting:
            if waiting + len(data) > conf.limit_outbox_bytes // part:
                return False
            if waiting > WATCHED_BYTES and self._watch is None:
                self._watch_from_here()
        self._written += len(data)
        self._wire.write(data)
        return True

    def _hold(self, data: bytes, part: int) -> bool:
        assert self._held is not None
        fits = not self._held or self._waiting() + len(data) <= conf.limit_outbox_bytes // part
        if fits:
            self._held.append(data)
        return fits

    async def room_for(self, size: int) -> None:
        """Wait until so many bytes fit beside others: for who reads a log that is longer than the outbox.

        A peer that takes nothing at all meanwhile has half of the time that a slow one has.
        """
        half = conf.limit_outbox_bytes // HALF
        loop = asyncio.get_running_loop()
        pause, taken, deadline = POLL_SECONDS, -1, 0.0
        while (waiting := self._waiting()) and waiting + size > half and not self.is_closing:
            if self._held is not None or self._written - waiting != taken:
                taken, deadline = self._written - waiting, loop.time() + conf.write_timeout_seconds / 2
            elif loop.time() > deadline:
                self._too_slow()
                return
            await asyncio.sleep(pause)
            pause = min(2 * pause, MAX_POLL_SECONDS)

    async def drained(self) -> None:
        """Wait until nothing waits."""
        pause = POLL_SECONDS
        while self._waiting() and not self._is_gone:
            await asyncio.sleep(pause)
            pause = min(2 * pause, MAX_POLL_SECONDS)

    def _waiting(self) -> int:
        return sum(map(len, self._held)) if self._held is not None else self._wire.waiting()

    def close(self, code: int) -> None:
        """Close the socket after what waits has been written; one that does not take it is cut off."""
        if not self.is_closing:
            self._close_code = code
            if self._held is None:
                self._task = background.start(self._say_close(code))

    def abandon(self) -> None:
        """The socket is gone: nothing more can be written."""
        self._is_gone = True
        self._on_slow = nobody
        metrics.slow_wires.discard(self._wire)
        if self._watch is not None:
            self._watch.cancel()

    async def _say_close(self, code: int) -> None:
        try:
            async with asyncio.timeout(ABORT_SECONDS):
                await self._send({"type": "websocket.close", "code": code})
                await self.drained()
        except Exception as error:  # noqa: BLE001 - each server has its own way to say that the peer is gone
            logger.debug("A socket did not take its close frame: %r", error)
            self._wire.abort()
        self._is_gone = True

    def _watch_from_here(self) -> None:
        """What waits now must be gone in time."""
        seconds = conf.write_timeout_seconds
        self._watch = asyncio.get_running_loop().call_later(seconds, self._look_again, self._written)
        metrics.slow_wires.add(self._wire)

    def _look_again(self, written: int) -> None:
        self._watch = None
        metrics.slow_wires.discard(self._wire)
        waiting = self._wire.waiting()
        if self._written - waiting < written:
            self._too_slow()
        elif waiting > WATCHED_BYTES:
            self._watch_from_here()

    def _too_slow(self) -> None:
        """The peer will read in the log what it missed, when it comes back."""
        if not self._is_slow:
            self._is_slow = True
            self._on_slow()
