"""Connections below every library: bytes out, bytes in, for requests that no well-behaved client sends."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bench.wire import handshake, status_of

ANSWER_SECONDS = 15.0


class Line:
    """One TCP connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def write(self, data: bytes) -> None:
        self.writer.write(data)

    async def everything(self, *, seconds: float = ANSWER_SECONDS) -> bytes:
        """Everything that comes until the other side closes, or is silent for so long."""
        heard = b""
        with contextlib.suppress(TimeoutError, ConnectionError):
            while data := await asyncio.wait_for(self.reader.read(65536), seconds):
                heard += data
        return heard

    async def shake_hands(self, path: str, *, host: str, headers: dict[str, str] | None = None) -> int:
        """Ask for a socket; the status of the answer, 0 when there is none."""
        self.write(handshake(path, host=host, headers=headers))
        try:
            answer = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), ANSWER_SECONDS)
        except (asyncio.IncompleteReadError, ConnectionError):
            return 0
        return status_of(answer)

    def pause(self) -> None:
        """Stop reading: bytes that come stay in the kernel."""
        self.writer.transport.pause_reading()  # type: ignore[attr-defined]  # the transport of a socket

    async def close_code(self) -> int:
        """Read frames until a close frame, and return its code; 1006 when the connection ends without one."""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                first, payload = await self._frame()
                if first == 0x88:
                    return int.from_bytes(payload[:2])
        return 1006

    async def next_payload(self) -> bytes:
        """The payload of the next frame."""
        return (await self._frame())[1]

    async def _frame(self) -> tuple[int, bytes]:
        first, length = await self.reader.readexactly(2)
        if length >= 126:
            length = int.from_bytes(await self.reader.readexactly(2 if length == 126 else 8))
        return first, await self.reader.readexactly(length)


@asynccontextmanager
async def line_to(port: int, *, source: str | None = None) -> AsyncIterator[Line]:
    """Connect, from the given address of this machine if there is one."""
    local = (source, 0) if source else None
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=local)
    try:
        yield Line(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError, TimeoutError):
            await asyncio.wait_for(writer.wait_closed(), 2)
