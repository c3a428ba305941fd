"""A client of the Supabase dialect, as its own is on the wire."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from realtime.hub.hub import Hub
from realtime.testing import TestSocket, open_socket
from supabase.keys import anon_key

PATH = "/realtime/v1/websocket"


class Phoenix:
    """One socket of version 2.0.0."""

    def __init__(self, socket: TestSocket) -> None:
        self.socket = socket
        self._refs = 5

    async def push(self, topic: str, event: str, payload: Any = None, *, join_ref: str | None = None) -> str:
        """Push, and return the ref."""
        self._refs += 1
        ref = str(self._refs)
        joined = ref if event == "phx_join" else join_ref
        await self.socket.send([joined, ref, topic, event, {} if payload is None else payload])
        return ref

    async def receive(self) -> list[Any]:
        """The next frame, which is a text."""
        return list(json.loads(await self.socket.receive_text()))

    async def ask(
        self, topic: str, event: str, payload: Any = None, *, join_ref: str | None = None
    ) -> dict[str, Any]:
        """Push, and return the payload of the reply, which must come next."""
        ref = await self.push(topic, event, payload, join_ref=join_ref)
        frame = await self.receive()
        assert frame[1:4] == [ref, topic, "phx_reply"], f"expected the reply to {event}, got {frame}"
        return dict(frame[4])

    async def join(self, topic: str, *, token: str | None = None, **config: Any) -> str:
        """Join a channel, and return its join_ref."""
        payload = {"config": config} | ({} if token is None else {"access_token": token})
        ref = await self.push(topic, "phx_join", payload)
        frame = await self.receive()
        assert frame[:4] == [ref, ref, topic, "phx_reply"], frame
        assert frame[4]["status"] == "ok", frame
        return ref

    async def is_silent(self) -> bool:
        """Whether nothing more came: the answer to a heartbeat is next."""
        await self.push("phoenix", "heartbeat")
        return (await self.receive())[2:4] == ["phoenix", "phx_reply"]


@pytest.fixture
def phoenix(hub: Hub, token_of: Callable[[Any], str]) -> Callable[..., Any]:
    """`async with phoenix() as client`: a socket that the anon key opens, or the token of a user."""

    @asynccontextmanager
    async def opened(user: Any = None, path: str = f"{PATH}?vsn=2.0.0") -> AsyncIterator[Phoenix]:
        key = anon_key() if user is None else await sync_to_async(token_of)(user)
        async with open_socket(f"{path}&apikey={key}") as socket:
            yield Phoenix(socket)

    return opened
