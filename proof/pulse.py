"""Measures from outside, twenty times a second, how long a worker's event loop keeps others waiting."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

from tests.processes import Process

EVERY_SECONDS = 0.05
#: A missing answer is given up, and counted, after this time.
LONGEST_SECONDS = 10.0
_REQUEST = b"GET /health/live HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"


@contextlib.asynccontextmanager
async def pulse(workers: Sequence[Process]) -> AsyncIterator[list[float]]:
    """The seconds that each answer to /health/live takes while the block runs.

    The event loop answers it itself, before Django. So the time is an upper bound of the loop's lag: it
    includes a connection, and the lag of this process.
    """
    took: list[float] = []
    tasks = [asyncio.create_task(_feel(worker, took)) for worker in workers]
    try:
        yield took
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def _feel(worker: Process, took: list[float]) -> None:
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(EVERY_SECONDS)
        if not worker.is_running:
            continue
        started = loop.time()
        with contextlib.suppress(OSError):
            try:
                async with asyncio.timeout(LONGEST_SECONDS):
                    await _ask(worker.port)
            finally:
                took.append(loop.time() - started)


async def _ask(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(_REQUEST)
        await reader.readline()
    finally:
        writer.close()
