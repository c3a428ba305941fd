"""A client of the native socket that remembers everything it is told."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from contract.testing import contract
from realtime.testing import TestSocket, open_socket

PATH = "/ws/"


class Caller:
    """One socket on `/ws/`, signed in or not."""

    def __init__(self, socket: TestSocket) -> None:
        self.socket = socket
        #: The text of every frame received.
        self.heard: list[str] = []
        self._refs = itertools.count(1)

    async def receive(self) -> dict[str, Any]:
        """Receive the next frame."""
        self.heard.append(await self.socket.receive_text())
        frame: dict[str, Any] = json.loads(self.heard[-1])
        return frame

    async def ask(self, command: str, **fields: Any) -> dict[str, Any]:
        """Send a command and return its answer."""
        return await self._ask(self.socket.send, command, fields)

    async def ask_any(self, command: str, **fields: Any) -> dict[str, Any]:
        """Send a command whose fields may be anything; what the contract does not allow must be refused."""
        answer = await self._ask(self._send_any, command, fields)
        frame = json.dumps({"type": command, **fields})
        assert answer["type"] == "error" or contract().conversation(PATH).said(frame) is None, frame[:300]
        return answer

    async def _send_any(self, frame: dict[str, Any]) -> None:
        await self.socket.send_text(json.dumps(frame))

    async def _ask(
        self, send: Callable[[dict[str, Any]], Awaitable[None]], command: str, fields: dict[str, Any]
    ) -> dict[str, Any]:
        ref = f"asked {next(self._refs)}"
        await send({"type": command, "ref": ref, **fields})
        while (frame := await self.receive()).get("ref") != ref:
            pass
        return frame

    async def until(self, enough: Callable[[list[dict[str, Any]]], object]) -> list[dict[str, Any]]:
        """Wait until the condition holds of all frames that came; return them."""
        told = [json.loads(text) for text in self.heard]
        while not enough(told):
            told.append(await self.receive())
        return told

    async def hears(self, event_type: str, times: int = 1) -> list[dict[str, Any]]:
        """Wait until so many events of a type have come; return all frames that came."""
        return await self.until(lambda told: sum(f["type"] == event_type for f in told) >= times)

    async def catches_up(self) -> list[dict[str, Any]]:
        """The frames that came since the last look. An event may wait for a moment, so one is awaited."""
        begun = len(self.heard)
        await self.ask("ping")
        return [json.loads(text) for text in self.heard[begun:-1]]


@asynccontextmanager
async def calling(token: str | None, path: str = PATH) -> AsyncIterator[Caller]:
    """Open a socket for a block; wait for its `hello` where it brings a token."""
    async with open_socket(path, token=token) as socket:
        caller = Caller(socket)
        if token is not None:
            assert (await caller.receive())["type"] == "hello"
        yield caller


def outcome(answer: dict[str, Any]) -> str:
    """The code of an error, or the type of any other answer."""
    return str(answer["code"] if answer["type"] == "error" else answer["type"])
