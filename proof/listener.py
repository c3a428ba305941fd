"""A listener: one open socket of any kind (typing, notifications, chat) that notes its frames."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable
from typing import Any, Self

from proof.websocket import WebSocket


class Listener:
    """One socket that does not reconnect; its frames, each with its time."""

    def __init__(self) -> None:
        self.frames: list[tuple[float, dict[str, Any]]] = []
        self.code = 0
        self.status = 0
        self.retry_after = 0.0
        self.opened_at = self.closed_at = math.inf
        self._changed = asyncio.Event()
        self.socket: WebSocket

    @classmethod
    async def at(cls, port: int, path: str) -> Self:
        """Connect and wait for the handshake's answer, whatever it is."""
        listener = cls()
        listener.socket = WebSocket(listener, path)
        await asyncio.get_running_loop().create_connection(lambda: listener.socket, "127.0.0.1", port)
        await listener.until(lambda: listener.opened_at < math.inf or listener.is_gone, seconds=30)
        return listener

    @property
    def is_gone(self) -> bool:
        return self.closed_at < math.inf

    def say(self, **frame: Any) -> None:
        self.socket.say(json.dumps(frame).encode())

    def of_type(self, *types: str) -> list[tuple[float, dict[str, Any]]]:
        """The frames of these types, each with its time."""
        return [(at, frame) for at, frame in self.frames if frame.get("type") in types]

    async def until(self, condition: Callable[[], bool], *, seconds: float) -> bool:
        """Wait until a condition holds, checked whenever something happens; returns whether it does."""
        try:
            async with asyncio.timeout(seconds):
                while not condition():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return False
        return True

    def opened(self) -> None:
        self.opened_at = asyncio.get_running_loop().time()
        self._changed.set()

    def heard(self, payload: bytes) -> None:
        self.frames.append((asyncio.get_running_loop().time(), json.loads(payload)))
        self._changed.set()

    def ended(self, code: int, *, status: int, retry_after: float) -> None:
        self.closed_at = asyncio.get_running_loop().time()
        self.code, self.status, self.retry_after = code, status, retry_after
        self._changed.set()
