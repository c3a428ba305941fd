"""An outbox holds the frames that wait for one socket: bounded, in order, given up if the peer does not read.

It passes frames on to its wire at once (`realtime/wire/wire.py`), whose backlog it watches. It holds back
only frames that are pushed before the socket is accepted, and frames that are to be joined. Pushing never
waits.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from realtime.defaults import conf
from realtime.process import background
from realtime.wire import metrics
from realtime.wire.batch import FrameBatch
from realtime.wire.frames import Payload, frame_of
from realtime.wire.wire import ABORT_SECONDS, AsgiWire, Send, Wire, nothing, wire_of

logger = logging.getLogger(__name__)

#: Bytes that may wait unwatched: no more than one turn of the loop writes.
WATCHED_BYTES = 16 * 1024
#: Seconds between two looks at the waiting bytes, first and longest, while a caller needs room: a server does
#: not report that its buffer is empty.
POLL_SECONDS, MAX_POLL_SECONDS = 0.01, 0.1
#: Shares of the outbox. Frames that the log has too may take half, since they can be read there later; the
#: rest is for frames that only this socket gets.
ALL, HALF = 1, 2


def outbox_for(
    scope: dict[str, Any], send: Send, on_slow: Callable[[], None], end: Callable[[], object]
) -> Outbox:
    """The outbox of a socket, over the best wire that its server allows.

    `on_slow` is called once, and closes the socket; `end` is called where nothing else ends a socket that
    does not take the close.
    """
    wire = wire_of(scope)
    if wire is not None:
        return Outbox(send, wire, on_slow)
    asgi = AsgiWire(send, on_slow, end)
    outbox = Outbox(asgi.close, asgi, asgi.give_up)
    asgi.on_written = outbox.wake
    return outbox


class Held:
    """Why an outbox holds frames back: the socket is not accepted yet, or frames are to be joined."""

    __slots__ = ("chunks", "is_joining", "size")

    def __init__(self, *, is_joining: bool) -> None:
        self.is_joining = is_joining
        self.chunks: list[bytes] = []
        self.size = 0


class Outbox:
    """The frames of one socket on their way to its wire."""

    __slots__ = (
        "_change",
        "_close_code",
        "_closing",
        "_held",
        "_is_gone",
        "_on_slow",
        "_send_close",
        "_watch",
        "_wire",
        "_written",
    )

    def __init__(self, send_close: Send, wire: Wire, on_slow: Callable[[], None]) -> None:
        self._send_close = send_close
        self._wire = wire
        self._on_slow = on_slow
        self._held: Held | None = Held(is_joining=False)
        #: Bytes that it has taken in all, including those still held.
        self._written = 0
        self._watch: asyncio.TimerHandle | None = None
        self._closing: asyncio.Task[None] | None = None
        self._close_code: int | None = None
        self._is_gone = False
        #: A future that is done when fewer bytes may wait, or waiting is over; None while no caller waits.
        self._change: asyncio.Future[None] | None = None

    @property
    def is_closing(self) -> bool:
        """Whether nothing more is sent but what waits already, and the close."""
        return self._close_code is not None or self._is_gone

    def open(self) -> None:
        """Write the frames pushed before the socket was accepted; from now on none are held back."""
        self._release()

    def begin_joining(self) -> None:
        """Hold the frames pushed from now on, to write them at once; not over an `await`.

        Room is decided for each push as if it had been written.
        """
        if self._held is None:
            self._held = Held(is_joining=True)

    def end_joining(self) -> None:
        """Write the frames held since `begin_joining`."""
        if self._held is not None and self._held.is_joining:
            self._release()

    def join_turn(self) -> None:
        """Write the frames pushed in this turn of the loop together, in the next turn."""
        if self._held is None:
            self.begin_joining()
            asyncio.get_running_loop().call_soon(self.end_joining)

    def push(self, payload: Payload, *, droppable_kind: str | None = None) -> None:
        """Send a frame after all earlier ones.

        A droppable one names its kind, the type of its event: it is dropped when half the room is taken.
        """
        if droppable_kind is None:
            if not self._write(frame_of(payload), ALL):
                self._too_slow()
        elif not self._write(frame_of(payload), HALF):
            metrics.EVENTS_GIVEN_WAY.add(droppable_kind)

    def push_batch(self, batch: FrameBatch) -> bool:
        """Send frames that other sockets get too; False when there is no room for them.

        Droppable frames are then lost, and counted; others are read from the log later.
        """
        if self._write(batch.joined or batch.data, HALF):
            return True
        for kind in batch.droppable_kinds if batch.is_droppable else ():
            metrics.EVENTS_GIVEN_WAY.add(kind)
        return False

    def heard_at(self) -> float:
        """When the peer sent something last, in seconds of the monotonic clock; 0 where nobody knows."""
        return self._wire.heard_at()

    async def room_for(self, size: int) -> None:
        """Wait until so many bytes fit, for a caller that sends more than the outbox holds.

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
            await self._changed(pause)
            pause = min(2 * pause, MAX_POLL_SECONDS)

    async def drained(self) -> None:
        """Wait until no byte waits, not even a close."""
        await self._wait_while(lambda: self._close_code is not None or self._waiting() > 0)

    def close(self, code: int) -> None:
        """Close the socket after all waiting frames; a peer that does not take the close is cut off."""
        if not self.is_closing:
            self._close_code = code
            if self._held is None:
                self._start_closing(code)
            self.wake()

    def abandon(self) -> None:
        """Note that the socket is gone: nothing more can be written."""
        self._is_gone = True
        self._on_slow = nothing
        self._held = None
        self._stop_watching()
        self._wire.abandon()
        self.wake()

    def wake(self) -> None:
        """Make callers that wait for room look again."""
        change, self._change = self._change, None
        if change is not None:
            change.set_result(None)

    # --- what waits ---------------------------------------------------------------------------------

    def _write(self, data: bytes, part: int) -> bool:
        """Write bytes if they fit into this share beside those that wait, or if none wait; else False."""
        if self._close_code is not None or self._is_gone:
            return True
        if self._held is not None:
            return self._hold(self._held, data, part)
        waiting = self._wire.waiting()
        if waiting:
            if waiting + len(data) > conf.limit_outbox_bytes // part:
                return False
            if waiting > WATCHED_BYTES and self._watch is None:
                self._watch_from_here(self._written)
        self._written += len(data)
        self._wire.write(data)
        return True

    def _hold(self, held: Held, data: bytes, part: int) -> bool:
        waiting = self._waiting()
        if waiting and waiting + len(data) > conf.limit_outbox_bytes // part:
            return False
        self._written += len(data)
        held.chunks.append(data)
        held.size += len(data)
        return True

    def _release(self) -> None:
        held, self._held = self._held, None
        if held is None or self._is_gone:
            return
        if held.chunks:
            if self._watch is None and self._wire.waiting() > WATCHED_BYTES:
                self._watch_from_here(self._written - held.size)
            self._wire.write(b"".join(held.chunks))
        if self._close_code is not None:
            self._start_closing(self._close_code)

    def _waiting(self) -> int:
        return self._wire.waiting() + (0 if self._held is None else self._held.size)

    async def _wait_while(self, is_busy: Callable[[], bool]) -> None:
        pause = POLL_SECONDS
        while not self._is_gone and is_busy():
            await self._changed(pause)
            pause = min(2 * pause, MAX_POLL_SECONDS)

    async def _changed(self, seconds: float) -> None:
        """Wait for a sign that fewer bytes wait, for so long at most."""
        if self._change is None:
            self._change = asyncio.get_running_loop().create_future()
        await asyncio.wait([self._change], timeout=seconds)

    # --- slow peers, and the end --------------------------------------------------------------------

    def _watch_from_here(self, written: int) -> None:
        """Give the peer up if it has not taken all that was written until now in time."""
        seconds = conf.write_timeout_seconds
        self._watch = asyncio.get_running_loop().call_later(seconds, self._look_again, written)
        metrics.slow_wires.add(self._wire)

    def _stop_watching(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
            metrics.slow_wires.discard(self._wire)

    def _look_again(self, written: int) -> None:
        self._stop_watching()
        waiting = self._waiting()
        if self._written - waiting < written:
            self._too_slow()
        elif waiting > WATCHED_BYTES:
            self._watch_from_here(self._written)

    def _too_slow(self) -> None:
        """Give the peer up, once: after coming back it reads in the log what it missed."""
        on_slow, self._on_slow = self._on_slow, nothing
        on_slow()

    def _start_closing(self, code: int) -> None:
        self._closing = background.start(self._close(code))

    async def _close(self, code: int) -> None:
        try:
            async with asyncio.timeout(ABORT_SECONDS):
                await self._send_close({"type": "websocket.close", "code": code})
                await self._wait_while(lambda: self._waiting() > 0)
        except Exception as error:  # noqa: BLE001 - each server has its own way to say that the peer is gone
            logger.debug("A socket did not take its close frame: %r", error)
            self._wire.abort()
        self._is_gone = True
        self.wake()
