"""Paced reading of a socket, on every server: slice by slice, and no further than its application keeps up.

A message must end within LIMIT_UNFINISHED_SECONDS of its beginning. Frames that the application never sees
are limited here, since nothing else sees them. `PacedReading` is a mixin of the two protocols, which say how
to parse, pause, resume and fail in their server's words.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time

from realtime.defaults import conf
from realtime.errors import CloseCode
from realtime.servers import SEND_BUFFER_BYTES, SLICE_BYTES
from realtime.servers.intake import Intake
from realtime.servers.unheard import Unheard


def bound_send_buffer(connection: socket.socket | None) -> None:
    """Bound the bytes that the kernel holds for a peer (SEND_BUFFER_BYTES)."""
    if connection is not None:
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)


class PacedReading:
    """A mixin that parses what arrives in slices, and reads nothing while the application is behind."""

    # Most connections never need their own: an attribute of the class costs a socket nothing.
    _unread = b""
    _is_held = False
    #: Whether the handshake is not answered yet: nothing is parsed until then.
    _is_pending = False
    _will_read_on = False
    _has_failed = False
    _watch: asyncio.TimerHandle | None = None
    #: When the peer sent something last, in seconds of the monotonic clock.
    _heard_at = 0.0
    #: Messages, and control frames outside of one, that have been read to their end.
    _completed = 0
    #: Frames of the slice being parsed that the application is never told of: pings and pongs, and fragments
    #: below SMALL_FRAGMENT_BYTES.
    _control_frames = 0
    _small_fragments = 0
    _unheard: Unheard | None = None

    intake: Intake

    def _parse(self, data: bytes) -> None:
        raise NotImplementedError

    def _pause(self) -> None:
        raise NotImplementedError

    def _resume(self) -> None:
        raise NotImplementedError

    def _is_inside_message(self) -> bool:
        """Whether a message, or any frame, has begun and not ended."""
        raise NotImplementedError

    def _fail_with(self, code: CloseCode) -> None:
        """Close the connection with this code, and look at nothing that comes after."""
        raise NotImplementedError

    def feed(self, data: bytes) -> None:
        """Take what the peer sent. Each turn of the loop parses one slice: nobody waits for a flood."""
        if self._has_failed:  # RFC 6455 §7.1.7: what comes after a violation is not looked at
            return
        if data:
            self._heard_at = time.monotonic()
        if self._unread:
            data, self._unread = self._unread + data, b""
        if self._is_held or self._is_pending:
            self._unread = data
            if self._is_held or len(data) > SLICE_BYTES:
                self._is_held = True
                self._pause()  # again, maybe: Daphne resumes what it has made a socket of
            return
        self._parse(data[:SLICE_BYTES])
        if (self._control_frames or self._small_fragments) and not self._has_failed:
            self._limit_unheard()
        if len(data) > SLICE_BYTES and not self._has_failed:
            self._unread = data[SLICE_BYTES:]
            if not self._is_held:
                self._hold()
                self._read_on_soon()
        if self._watch is None and self._is_inside_message():
            self._watch_from_here()

    @property
    def heard_at(self) -> float:
        """When the peer sent something last, pings and pongs too; now, while nobody reads what it sends."""
        return time.monotonic() if self._is_held else self._heard_at

    async def take(self) -> dict[str, object]:
        """Await the next message for the application."""
        message = await self.intake.get()
        if self._is_held and self.intake.empty():
            # In the next turn: an application that need not wait would otherwise get one slice after another.
            self._read_on_soon()
        return message

    def _wait_to_be_let_in(self) -> None:
        """Parse nothing until the handshake is answered, and read no more than one slice.

        An honest peer sends nothing meanwhile; reading that slice shows when it leaves.
        """
        self._is_pending = True

    def _is_let_in(self) -> None:
        """Start to parse: the handshake was answered."""
        self._is_pending = False
        if self._unread:
            self._hold()
            self._read_on_soon()

    def _hold(self) -> None:
        """Stop reading until the application has caught up."""
        if not self._is_held:
            self._is_held = True
            self._pause()

    def _read_on_soon(self) -> None:
        """Schedule `_read_on` for the loop's next turn, once."""
        if not self._will_read_on:
            self._will_read_on = True
            asyncio.get_running_loop().call_soon(self._read_on)

    def _read_on(self) -> None:
        self._will_read_on = False
        # If the intake is full, whatever empties it comes here again; the connection may be gone meanwhile.
        if self._is_held and not self._is_pending and not self._has_failed and not self.intake.is_full:
            self._let_go()
            self.feed(b"")

    def _let_go(self) -> None:
        """Read again, even if the application is behind."""
        if self._is_held:
            self._is_held = False
            self._resume()

    def _fail(self) -> None:
        """Read and discard whatever else the peer sends: it broke a rule."""
        self._has_failed = True
        self._unread = b""
        self._let_go()

    def _watch_from_here(self) -> None:
        """Start the time in which the message or frame that has begun must end."""
        loop = asyncio.get_running_loop()
        self._watch = loop.call_later(conf.limit_unfinished_seconds, self._look_again, self._completed)

    def _look_again(self, completed: int) -> None:
        self._watch = None
        if self._has_failed or not self._is_inside_message():
            return
        if self._completed > completed or self._is_held:  # a peer that we do not read cannot end anything
            self._watch_from_here()
        else:
            self._fail_with(CloseCode.TOO_SLOW)

    def _limit_unheard(self) -> None:
        control, self._control_frames = self._control_frames, 0
        fragments, self._small_fragments = self._small_fragments, 0
        self._unheard = self._unheard or Unheard()
        if self._unheard.is_flood(control=control, fragments=fragments):
            self._fail_with(CloseCode.TOO_MANY)

    def _stop_watching(self) -> None:
        """Stop the timer: the connection is gone."""
        self._has_failed = True
        self._unread = b""
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
