"""uvicorn with our limits and our end.

Its own command takes our sockets by `--ws realtime.servers.uvicorn:PreparedProtocol`; for HTTP, `install()`
puts our protocols in the place of the one that it chose, and a limit into its own sockets where those stayed.
Our workers run `serve`.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import socket
from collections.abc import Callable
from typing import Any

import uvicorn
from uvicorn import config as uvicorn_config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from realtime.servers import ACCEPTED_SECONDS, DRAIN_SECONDS, FINISH_SECONDS
from realtime.servers.port import BACKLOG
from realtime.servers.uvicorn import stock as uvicorn_stock
from realtime.servers.uvicorn.h11 import PromptH11Protocol
from realtime.servers.uvicorn.httptools import PromptProtocol
from realtime.servers.uvicorn.protocol import PreparedProtocol

__all__ = ["PreparedProtocol", "PromptProtocol", "Server", "install", "serve"]

logger = logging.getLogger(__name__)

#: Versions whose source our HTTP protocols were written against.
TESTED = ("0.54.0",)
#: uvicorn's own protocols, and ours that replace them.
OURS: dict[type[asyncio.Protocol], type[asyncio.Protocol]] = {
    HttpToolsProtocol: PromptProtocol,
    H11Protocol: PromptH11Protocol,
}


def install() -> None:
    """Change uvicorn, once per process, while it loads the application: before it listens.

    It has chosen its HTTP protocol by then, so that is exchanged when it starts.
    """
    vars(uvicorn_config)["ProxyHeadersMiddleware"] = _believe_nobody
    if uvicorn.__version__ not in TESTED:
        _say_untested(uvicorn.__version__)
    elif uvicorn.Server.startup is not _startup:
        _startup.stock = uvicorn.Server.startup  # type: ignore[attr-defined]  # a function may carry what it replaces
        uvicorn.Server.startup = _startup  # type: ignore[method-assign]  # that is what is installed
        uvicorn_stock.install()


def _believe_nobody(app: Any, trusted_hosts: object = None) -> Any:
    """Replace uvicorn's proxy middleware, which trusts 127.0.0.1 unasked; `ForwardedHeaders` does that."""
    del trusted_hosts
    return app


@functools.cache
def _say_untested(version: str) -> None:
    logger.warning(
        "uvicorn %s was not tested with Relais (%s was): HTTP runs with its own limits", version, *TESTED
    )


async def _startup(self: uvicorn.Server, sockets: list[socket.socket] | None = None) -> None:
    """`Server.startup` with our protocol in the place of uvicorn's."""
    chosen = self.config.http_protocol_class
    if chosen in OURS:
        self.config.http_protocol_class = OURS[chosen]
    elif chosen not in OURS.values():
        logger.warning("%s is not an HTTP protocol of Relais: it has its own limits", chosen.__name__)
    await _startup.stock(self, sockets)  # type: ignore[attr-defined]  # see install()


class Server(uvicorn.Server):
    """uvicorn's server; it reports when it accepts, and waits for the requests it has just accepted."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to listen and report it."""
        await super().startup(sockets)
        self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, then end all connections gracefully."""
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
        backlog=BACKLOG,  # uvicorn calls `listen` again, with its own number
        # Without it, one peer that does not read keeps the process from ending.
        timeout_graceful_shutdown=round(DRAIN_SECONDS + FINISH_SECONDS),
        server_header=False,
        access_log=False,  # requests are logged once, by our own logging, which keeps tokens out
        proxy_headers=False,  # ForwardedHeaders reads them, on every server alike
        log_config=None,
    )
    Server(config, ready).run(sockets=[listener])
