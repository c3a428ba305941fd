"""Sockets of the core without a server or a client: for measuring what the core itself costs.

All that this bench knows about how a consumer listens to a topic is here.
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
    """In the place of a server's connection: takes everything at once, and keeps count of it."""

    __slots__ = ("writes",)

    def __init__(self) -> None:
        self.writes = 0

    def write(self, data: bytes) -> None:
        self.writes += 1

    def waiting(self) -> int:
        return 0

    def abort(self) -> None:
        """Nobody is there."""

    def abandon(self) -> None:
        """The server sees to its own buffer, and has none."""


class Listener(Connection):
    """A socket that hears everything of the topics it is told to listen to."""

    kind = "bench"
    dialect = GuideDialect()

    async def on_open(self) -> None:
        self.access = self.admit(self.scope["identity"])

    def listen_to(self, topic: str) -> None:
        """Listen to a durable topic from its beginning on; nothing has been told there."""
        self.subscribe(topic, EVERYTHING, access=self.access, position=START, authorized_at=START)


async def open_listener(number: int, wire: CountingWire) -> Listener:
    """A socket of a user of its own, open for as long as the loop runs."""
    socket, is_open = Listener(), asyncio.Event()
    # As `accounts` would say who it is; the token outlives every run.
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


#: Of all open sockets: a loop holds its tasks weakly.
_courses: set[asyncio.Task[None]] = set()
