"""Somebody with an open socket of any kind, who notes what comes: typing, notifications, a chat."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable
from typing import Any, Self

from proof.websocket import WebSocket


class Listener:
    """One socket that does not come back; frames with the moment they came."""

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
        """Connected and answered, whatever the answer."""
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
        """The frames of these types, with when they came."""
        return [(at, frame) for at, frame in self.frames if frame.get("type") in types]

    async def until(self, condition: Callable[[], bool], *, seconds: float) -> bool:
        """Wait for the condition, which is looked at whenever something happens; whether it came true."""
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
