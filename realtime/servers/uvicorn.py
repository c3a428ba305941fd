"""uvicorn with our limits and our end.

`--ws realtime.servers.uvicorn:PreparedProtocol --http realtime.servers.uvicorn:PromptProtocol` gives them
to its own command; `serve` is what our workers run.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import uvicorn

from realtime.servers import ACCEPTED_SECONDS, DRAIN_SECONDS, FINISH_SECONDS
from realtime.servers.port import BACKLOG
from realtime.servers.uvicorn_http import PromptProtocol
from realtime.servers.uvicorn_protocol import PreparedProtocol

__all__ = ["PreparedProtocol", "PromptProtocol", "Server", "serve"]


class Server(uvicorn.Server):
    """uvicorn's server, that says when it accepts, and hears out whom it has just accepted."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to listen."""
        await super().startup(sockets)
        self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop to listen, and then, gently, everything."""
        for listening in self.servers:
            listening.close()
        await asyncio.sleep(ACCEPTED_SECONDS)
        await super().shutdown(sockets)


def serve(application: Any, listener: socket.socket, *, ready: Callable[[], None]) -> None:
    """Serve on a listening socket until SIGTERM; `ready` is called when connections are accepted."""
    config = uvicorn.Config(
        application,
        ws=PreparedProtocol,
        loop="uvloop",
        http=PromptProtocol,
        backlog=BACKLOG,  # it listens once more, with its own number
        # Without it, one peer that does not read keeps the process from ending.
        timeout_graceful_shutdown=round(DRAIN_SECONDS + FINISH_SECONDS),
        server_header=False,
        access_log=False,  # requests are logged once, by our own logging, which keeps tokens out
        proxy_headers=False,  # ForwardedHeaders reads them, on every server alike
        log_config=None,
    )
    Server(config, ready).run(sockets=[listener])
