"""The client's end of a socket: a client with much to read leaves the others their turns."""

from __future__ import annotations

import asyncio

import pytest

from bench.wire import TEXT
from proof.websocket import READ_BYTES, WebSocket

pytestmark = pytest.mark.stack("small")

FRAME = bytes([TEXT, 100]) + b"x" * 100
FRAMES = 5_000


class Owner:
    """Counts the frames that it hears in each turn of the loop."""

    def __init__(self) -> None:
        self.turns = [0]
        self.has_ended = asyncio.Event()

    def opened(self) -> None: ...

    def heard(self, payload: bytes) -> None:
        assert payload == b"x" * 100
        self.turns[-1] += 1

    def ended(self, code: int, *, status: int, retry_after: float) -> None:
        self.has_ended.set()


async def test_flood_is_read_a_little_at_a_turn() -> None:
    owner, loop = Owner(), asyncio.get_running_loop()

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\n\r\n" + FRAME * FRAMES)
        await writer.drain()
        writer.close()

    def turn() -> None:
        owner.turns.append(0)
        if not owner.has_ended.is_set():
            loop.call_soon(turn)

    async with await asyncio.start_server(flood, "127.0.0.1", 0) as server:
        await loop.create_connection(lambda: WebSocket(owner, "/"), *server.sockets[0].getsockname())
        turn()
        await asyncio.wait_for(owner.has_ended.wait(), 10)

    assert sum(owner.turns) == FRAMES
    assert max(owner.turns) <= READ_BYTES // len(FRAME) + 1
