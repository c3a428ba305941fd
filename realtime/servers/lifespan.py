"""The ASGI lifespan: the start and the end of a process, on servers that announce them (not Daphne)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from realtime.hub.hub import Hub

#: Seconds the hub has at the end to tell other processes what it still holds; the log has it in any case.
STOP_SECONDS = 2.0


class Lifespan:
    """ASGI application of the `lifespan` scope: calls `on_startup` on the loop, stops the hub at the end."""

    def __init__(self, on_startup: Callable[[], object]) -> None:
        self._on_startup = on_startup

    async def __call__(self, _scope: dict[str, Any], receive: Any, send: Any) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                self._on_startup()
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                # The sockets are closed by now (1012), and uvicorn has waited for their applications.
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(Hub.current().stop(), STOP_SECONDS)
                await send({"type": "lifespan.shutdown.complete"})
                return
