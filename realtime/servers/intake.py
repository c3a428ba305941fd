"""The intake of a socket: messages that have arrived and that its application has not taken yet.

It has as much of asyncio.Queue as the servers use, at a tenth of the memory, and knows when it is full: a
server then stops reading from the connection until the application has caught up.
"""

from __future__ import annotations

import asyncio
from typing import Any

Message = dict[str, Any]

#: Messages and bytes that may wait before the peer is read no more: little memory, and yet more than one
#: message, so that a peer who is merely ahead costs no system calls to stop and start.
MAX_MESSAGES = 64
MAX_BYTES = 256 * 1024


class Intake:
    """A queue of messages for one application, oldest first."""

    __slots__ = ("_bytes", "_messages", "_waiters")

    def __init__(self) -> None:
        self._messages: list[Message] = []
        self._bytes = 0
        self._waiters: list[asyncio.Future[None]] = []

    def put_nowait(self, message: Message) -> None:
        """Add a message for the application."""
        self._messages.append(message)
        self._bytes += _size(message)
        self._wake()

    async def get(self) -> Message:
        """Take the oldest message; wait for one if there is none."""
        while not self._messages:
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                # The waiter may have been woken in the same turn: then the next one in line must be woken
                # instead.
                if waiter.done() and not waiter.cancelled() and self._messages:
                    self._wake()
                raise
            finally:
                if waiter in self._waiters:
                    self._waiters.remove(waiter)
        message = self._messages.pop(0)  # few: see MAX_MESSAGES
        self._bytes -= _size(message)
        return message

    def empty(self) -> bool:
        """Whether the application has taken everything."""
        return not self._messages

    @property
    def is_full(self) -> bool:
        """Whether so much waits that the peer should be read no further."""
        return len(self._messages) >= MAX_MESSAGES or self._bytes >= MAX_BYTES

    def _wake(self) -> None:
        while self._waiters:
            waiter = self._waiters.pop(0)
            if not waiter.done():
                waiter.set_result(None)
                return


def _size(message: Message) -> int:
    return len(message.get("text") or message.get("bytes") or b"")
