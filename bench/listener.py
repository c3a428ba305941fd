"""Sockets of the core without server or client, for measuring the cost of the core itself.

Everything that this package knows about a consumer's subscriptions is here.
"""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import Any

from guide_dialect.dialect import GuideDialect
from realtime.hub.rendering import EVERYTHING
from realtime.log.positions import START
from realtime.sockets.connection import Connection
from realtime.wire.wire import EXTENSION


class CountingWire:
    """A wire without a connection: it takes all bytes at once, and counts them."""

    __slots__ = ("writes",)

    def __init__(self) -> None:
        self.writes = 0

    def write(self, data: bytes) -> None:
        self.writes += 1

    def waiting(self) -> int:
        return 0

    def heard_at(self) -> float:
        return 0.0

    def abort(self) -> None:
        """Nothing to do: there is no connection."""

    def abandon(self) -> None:
        """Nothing to do: there is no buffer."""


class Listener(Connection):
    """A consumer that receives all events of the topics it listens to."""

    kind = "bench"
    dialect = GuideDialect()

    async def on_open(self) -> None:
        self.access = self.admit(self.scope["identity"])

    def listen_to(self, topic: str) -> None:
        """Subscribe to a durable topic from its beginning; it has no events yet."""
        self.subscribe(topic, EVERYTHING, access=self.access, position=START, authorized_at=START)


async def open_listener(number: int, wire: CountingWire) -> Listener:
    """Open a socket for a user of its own; it stays open as long as the loop runs."""
    socket, is_open = Listener(), asyncio.Event()
    # The identity that `accounts` would find; its token outlives every run.
    identity = SimpleNamespace(
        user=SimpleNamespace(pk=number), session_id=None, expires_at=time.time() + 86_400, authorized_at=0
    )
    scope = {
        "type": "websocket",
        "path": "/ws/chat/1/",
        "query_string": b"",
        "subprotocols": [],
        "extensions": {EXTENSION: wire},
        "identity": identity,
    }
    messages: asyncio.Queue[Any] = asyncio.Queue()
    messages.put_nowait({"type": "websocket.connect"})

    async def send(message: Any) -> None:
        is_open.set()

    course = asyncio.create_task(socket(scope, messages.get, send))
    _courses.add(course)
    await is_open.wait()
    return socket


#: The tasks of all open sockets: a loop holds its tasks only weakly.
_courses: set[asyncio.Task[None]] = set()
