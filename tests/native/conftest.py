"""Fixtures for the native socket: the people and conversations of the chat's tests, and a client."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from notifications.services import notify
from realtime.testing import TestSocket
from tests.chat.conftest import _full_buckets, api, conversation, dora, group, patient, relais, unlimited

__all__ = ["_full_buckets", "api", "conversation", "dora", "group", "patient", "relais", "unlimited"]


class Page:
    """A client that has received `hello`."""

    def __init__(self, socket: TestSocket, hello: dict[str, Any]) -> None:
        self.socket = socket
        self.hello = hello
        self._refs = 0

    async def ask(self, command: str, **fields: Any) -> dict[str, Any]:
        """Send a command, and return the next frame, which must be its answer."""
        ref = await self.send(command, **fields)
        answer = await self.socket.receive()
        assert answer.get("ref") == ref, f"expected the answer to {command}, got {answer}"
        return answer

    async def ask_wrong(self, command: str, **fields: Any) -> dict[str, Any]:
        """The same with a frame that no client should send."""
        self._refs += 1
        await self.socket.send_wrong({"type": command, "ref": self._refs, **fields})
        return await self.socket.receive()

    async def ask_any(self, command: str, **fields: Any) -> dict[str, Any]:
        """The answer to a command with fields that may be right or wrong; other frames are skipped."""
        self._refs += 1
        ref = f"any {self._refs}"
        await self.socket.send_text(json.dumps({"type": command, "ref": ref, **fields}))
        while (frame := await self.socket.receive()).get("ref") != ref:
            pass
        return frame

    async def find(self, command: str, **fields: Any) -> dict[str, Any]:
        """Send a command, and return its answer; other frames are skipped."""
        ref = await self.send(command, **fields)
        while (frame := await self.socket.receive()).get("ref") != ref:
            pass
        return frame

    async def send(self, command: str, **fields: Any) -> int:
        """Send a command, and return its `ref`."""
        self._refs += 1
        await self.socket.send({"type": command, "ref": self._refs, **fields})
        return self._refs

    async def receive(self) -> dict[str, Any]:
        """Receive the next frame."""
        return await self.socket.receive()

    async def receive_until(self, event_type: str) -> dict[str, Any]:
        """Receive frames until one of this type; the others are skipped."""
        return await self.socket.receive_until(event_type)

    async def is_silent(self) -> bool:
        """Whether nothing more comes. It does not wait: it sends a command and looks whether the answer is
        next."""
        answer = await self.ask("ping")
        return bool(answer["type"] == "pong")


@pytest.fixture
def page_of(connect: Callable[..., Any]) -> Callable[..., Any]:
    """`async with page_of(ana) as page`: a client on `/ws/`, signed in by its handshake."""

    @asynccontextmanager
    async def open_page(user: Any, path: str = "/ws/") -> AsyncIterator[Page]:
        async with connect(user, path) as socket:
            hello = await socket.receive()
            assert hello["type"] == "hello"
            yield Page(socket, hello)

    return open_page


@pytest.fixture
def tell_inbox(db: None) -> Callable[..., Any]:
    """`await tell_inbox(ana, 7)` stores a notification."""

    def tell(user: Any, payment_id: int) -> Any:
        return notify(user=user, kind="payment_completed", data={"payment_id": payment_id})

    return sync_to_async(tell)
