"""Daphne with our limits and our end: `install()` changes its classes, which `daphne` and `runserver` use.

Daphne lets nobody choose its protocol or its shutdown, so its classes are changed in place, in this
file and nowhere else. A version that was not tested is left as it is, and the log says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import socket
from collections.abc import Callable
from typing import Any

import daphne
from daphne import access, http_protocol, server, ws_protocol
from twisted.internet import defer

from realtime.defaults import conf
from realtime.errors import CloseCode
from realtime.hub.hub import Hub
from realtime.process.redaction import redact
from realtime.servers import ACCEPTED_SECONDS, DRAIN_SECONDS, FINISH_SECONDS
from realtime.servers.daphne.http import BoundedChannel, BoundedRequest
from realtime.servers.daphne.protocol import PreparedWebSocketProtocol
from realtime.servers.daphne.wire import PreparedWire
from realtime.servers.port import BACKLOG
from realtime.wire.wire import EXTENSION

logger = logging.getLogger(__name__)

#: Versions whose source these changes were written against.
TESTED = ("4.2.2", "4.2.3")
#: Seconds the application has to accept a socket, once its request has arrived. With Daphne's 5, of many that
#: come at once the last are cut off without a word, and come again.
LET_IN_SECONDS = 30
#: Daphne's value for "never": the seconds after which a socket is closed for its age.
NEVER = -1
#: A close code that Autobahn does not know to be valid: "bad gateway", registered with IANA.
BAD_GATEWAY = 1014
#: Seconds after which a cancelled application that still does not end is left behind.
CANCEL_SECONDS = 1.0


#: The callback that `install()` was given; called on the loop once connections are accepted.
_on_listening: list[Callable[[], object]] = []


def install(*, on_listening: Callable[[], object] | None = None) -> None:
    """Change Daphne's classes, once per process, before its server is made."""
    _install_access_log()
    _on_listening[:] = [on_listening] if on_listening else []
    if daphne.__version__ not in TESTED:
        _say_untested(daphne.__version__)
        return
    http_protocol.HTTPFactory.protocol = BoundedChannel
    # Over TLS Twisted would offer HTTP/2 as well, which has no limits of ours.
    http_protocol.HTTPFactory.acceptableProtocols = lambda _: [b"http/1.1"]
    http_protocol.WebRequest = BoundedRequest
    ws_protocol.WebSocketFactory.protocol = PreparedWebSocketProtocol
    if BAD_GATEWAY not in PreparedWebSocketProtocol.CLOSE_STATUS_CODES_ALLOWED:
        PreparedWebSocketProtocol.CLOSE_STATUS_CODES_ALLOWED.append(BAD_GATEWAY)
    if server.Server.run is not _run:
        server.Server.create_application = _create_application
        _run.stock = server.Server.run  # type: ignore[attr-defined]  # a function may carry what it replaces
        server.Server.run = _run
        server.Server.listen_success = _listen_success
        server.Server.kill_all_applications = _stop


def serve(application: Any, listener: socket.socket, *, ready: Callable[[], None]) -> None:
    """Serve on a listening socket until SIGTERM; `ready` is called when connections are accepted."""
    from twisted.internet import reactor  # importing Daphne's server has made it asyncio's

    def listen() -> None:
        # Daphne's own way to a descriptor knows no IPv6.
        port = reactor.adoptStreamPort(listener.fileno(), listener.family, running.http_factory)
        running.listen_success(port)
        reactor.callWhenRunning(ready)

    running = server.Server(
        application,
        endpoints=["ours"],  # it refuses to be without
        ready_callable=listen,
        verbosity=0,  # requests are logged once, by our own logging, which keeps tokens out
        server_name="",
    )
    running.endpoints.clear()
    running.run()


@functools.cache
def _say_untested(version: str) -> None:
    """Warn about a Daphne that was not tested: once per process, however often `install()` is called."""
    tested = " and ".join(TESTED)
    logger.warning(
        "Daphne %s was not tested with Relais (%s were): it runs with its own pings, limits and shutdown",
        version,
        tested,
    )


def _install_access_log() -> None:
    """Take the secrets out of Daphne's access log, which goes straight to a stream, past every logger."""
    stock = access.AccessLogGenerator.write_entry
    if getattr(stock, "is_redacted", False):
        return

    def write_entry(self: Any, host: Any, date: Any, request: str, **fields: Any) -> None:
        stock(self, host, date, redact(request), **fields)

    write_entry.is_redacted = True  # type: ignore[attr-defined]  # seen by the next `install()`
    access.AccessLogGenerator.write_entry = write_entry


def _create_application(self: Any, protocol: Any, scope: dict[str, Any]) -> Any:
    """`Server.create_application`: gives sockets our extension and intake, and answers their peer's pace."""
    scope["asgi"] = {"version": "3.0"}
    if isinstance(protocol, PreparedWebSocketProtocol):
        scope["extensions"] = {"websocket.http.response": {}, EXTENSION: PreparedWire(protocol)}
        queue: Any = protocol.intake
        receive = protocol.take
        send = functools.partial(self.handle_reply, protocol)
    else:
        queue = asyncio.Queue()
        receive = queue.get
        send = functools.partial(_reply, self, protocol)
    application = self.application(scope=scope, receive=receive, send=send)
    self.connections[protocol]["application_instance"] = asyncio.ensure_future(application)
    return queue


async def _reply(self: Any, request: BoundedRequest, message: dict[str, Any]) -> None:
    """`Server.handle_reply` that waits for a peer who reads slowly; Daphne keeps all of the answer for it."""
    await self.handle_reply(request, message)
    await request.taken()


def _run(self: Any) -> None:
    """`Server.run` with our ping interval and timeouts, whatever the command line says."""
    self.websocket_handshake_timeout = self.websocket_connect_timeout = LET_IN_SECONDS
    self.ping_interval = conf.limit_ping_seconds
    self.ping_timeout = conf.limit_pong_seconds + 1  # autobahn's timers round down to a second of the clock
    self.websocket_timeout = NEVER  # Daphne's own is a day, whoever is talking
    self.ports = []
    _run.stock(self)  # type: ignore[attr-defined]  # see install()


def _listen_success(self: Any, port: Any) -> None:
    """`Server.listen_success`, remembering the port so that it can be closed."""
    self.ports.append(port)
    # Twisted lets 50 connections wait. The kernel drops the others of a crowd that comes at once; they try
    # again after a second.
    port.socket.listen(BACKLOG)
    PreparedWebSocketProtocol.take_options(self.ws_factory)
    self.http_factory.timeOut = None  # our channels have their own
    host = port.getHost()
    where = f"{host.host}:{host.port}" if hasattr(host, "port") else str(host)
    if hasattr(host, "port"):
        self.listening_addresses.append((host.host, host.port))
    logger.info("Listening on %s", where)
    for call in _on_listening:
        self.ws_factory.reactor.callLater(0, call)  # the loop is not running yet


def _stop(self: Any) -> defer.Deferred[None]:
    """`Server.kill_all_applications`: ends everything gracefully between SIGTERM and the reactor's end."""
    return defer.Deferred.fromFuture(asyncio.ensure_future(_finish(self)))


async def _finish(stopping: Any) -> None:
    """Accept no more connections, close the sockets with 1012, finish the requests, cancel the rest."""
    for port in stopping.ports:
        port.stopListening()
    await asyncio.sleep(ACCEPTED_SECONDS)
    await Hub.current().drain(seconds=DRAIN_SECONDS)

    for protocol in list(stopping.connections):
        if isinstance(protocol, PreparedWebSocketProtocol):
            _tell_restarting(protocol)
    running = {
        details["application_instance"]
        for details in stopping.connections.values()
        # Absent where a request has just become a socket, or was answered and not yet swept up.
        if "application_instance" in details
    }
    if running:
        _, running = await asyncio.wait(running, timeout=FINISH_SECONDS)
    for application in running:
        application.cancel()
    if running:
        logger.warning("%d applications did not end in time and were cancelled", len(running))
        await asyncio.wait(running, timeout=CANCEL_SECONDS)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(Hub.current().stop(), CANCEL_SECONDS)


def _tell_restarting(protocol: PreparedWebSocketProtocol) -> None:
    """Send the peer a close frame and the application its `disconnect`, as uvicorn does when it stops."""
    if protocol.state != protocol.STATE_OPEN:
        return
    protocol.serverClose(CloseCode.RESTARTING)
    protocol.muted = True  # else its application would hear of the same end twice
    protocol.application_queue.put_nowait({"type": "websocket.disconnect", "code": CloseCode.RESTARTING})
