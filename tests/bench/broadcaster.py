"""A small server that sends each message to all its sockets; it can be made to lose and to repeat some."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Self

from tests.bench.test_counting import framed

#: How often the n-th message is sent.
Copies = Callable[[int], int]


class Broadcaster:
    """Use as a context: it serves in a thread of its own."""

    def __init__(self, copies: Copies = lambda number: 1) -> None:
        self._copies = copies
        self._loop = asyncio.new_event_loop()
        self._writers: list[asyncio.StreamWriter] = []
        self._messages = 0
        self.heard: list[str] = []
        self._thread = threading.Thread(target=self._loop.run_forever)

    def __enter__(self) -> Self:
        self._thread.start()
        start = asyncio.start_server(self._serve, "127.0.0.1", 0)
        self._server = asyncio.run_coroutine_threadsafe(start, self._loop).result(5)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_exception: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    async def _stop(self) -> None:
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        if b"/refused" in request:
            writer.write(b"HTTP/1.1 403 Forbidden\r\n\r\n")
            writer.close()
            return
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\n\r\n" + framed(b"", 0x89))
        self._writers.append(writer)
        with suppress(asyncio.IncompleteReadError):
            while True:
                first, length = await reader.readexactly(2)
                length &= 0x7F
                if length == 126:
                    length = int.from_bytes(await reader.readexactly(2), "big")
                text = (await reader.readexactly(4 + length))[4:]  # the generator masks with zeros
                if first == 0x81:
                    self._tell(text)

    def _tell(self, text: bytes) -> None:
        self._messages += 1
        self.heard.append(text.decode())
        event = b'{"type":"message","content":%b,"seq":%d}' % (text, 1_000_000 + self._messages)
        for writer in self._writers:
            # This happens on one socket only: a counter that looks at a few would not see it.
            copies = self._copies(self._messages) if writer is self._writers[-1] else 1
            writer.write(framed(event) * copies)
