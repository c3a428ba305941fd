"""A WebSocket client for programs: it sends frames, and remembers every frame it receives."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.frames import witness_of

ANSWER_SECONDS = 15.0


class Client:
    """One socket, read all the time: `received` holds every frame that came."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._news = asyncio.Condition()
        self.received: list[dict[str, Any]] = []
        self.closed_with: int | None = None
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        try:
            while True:
                frame = json.loads(await self._connection.recv())
                async with self._news:
                    self.received.append(frame)
                    self._news.notify_all()
        except ConnectionClosed as closed:
            async with self._news:
                self.closed_with = closed.rcvd.code if closed.rcvd else 1006
                self._news.notify_all()

    async def send(self, **frame: Any) -> None:
        text = json.dumps(frame)
        witness_of(self._connection).said(text)
        await self._connection.send(text)

    async def until(self, condition: Callable[[], Any], *, seconds: float = ANSWER_SECONDS) -> Any:
        """Wait until a condition on what was received holds."""
        async with self._news, asyncio.timeout(seconds):
            while not (value := condition()):
                assert self.closed_with is None, f"closed with {self.closed_with} while waiting"
                await self._news.wait()
        return value

    async def until_closed(self, *, seconds: float = ANSWER_SECONDS) -> None:
        """Wait until the server has closed it."""
        async with self._news, asyncio.timeout(seconds):
            await self._news.wait_for(lambda: self.closed_with is not None)

    async def until_frames(self, count: int) -> None:
        """Wait until so many frames were received."""
        await self.until(lambda: len(self.received) >= count)

    async def until_messages(self, count: int) -> None:
        """Wait until so many messages were received, and no more."""
        await self.until(lambda: len(self.messages) == count)

    async def is_answered(self, ref: int) -> None:
        """Wait for the answer to the frame sent with this `ref`."""
        await self.until(lambda: [frame for frame in self.received if frame.get("ref") == ref])

    async def is_there(self) -> None:
        """Wait until the server has let the client in and listens to it."""
        assert await self.is_let_in(), f"closed with {self.closed_with}"

    async def is_let_in(self) -> bool:
        """Whether the server listens to the client; a refused client, too, is accepted first."""
        with suppress(ConnectionClosed):
            await self.send(type="ping", ref="there?")
        async with self._news, asyncio.timeout(ANSWER_SECONDS):
            await self._news.wait_for(
                lambda: self.closed_with is not None or any(f["type"] == "pong" for f in self.received)
            )
        return self.closed_with is None

    async def hears(self, content: str, *, seconds: float = ANSWER_SECONDS) -> dict[str, Any]:
        """Wait for a message with this content."""
        heard = await self.until(
            lambda: [frame for frame in self.received if frame.get("content") == content], seconds=seconds
        )
        return dict(heard[0])

    @property
    def messages(self) -> list[dict[str, Any]]:
        return [frame for frame in self.received if frame["type"] == "message"]

    @property
    def seqs(self) -> list[int]:
        """The numbers of the conversation's events, in the order in which they came."""
        return [
            frame["seq"]
            for frame in self.received
            if "seq" in frame and frame["type"] not in ("ack", "subscribed")
        ]

    async def close(self) -> None:
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)
        await self._connection.close()


@asynccontextmanager
async def client(url: str, **options: Any) -> AsyncIterator[Client]:
    """Open a socket for a block; it is closed when the block ends."""
    async with connect(url, max_size=None, **options) as connection:
        opened = Client(connection)
        try:
            yield opened
        finally:
            await opened.close()
