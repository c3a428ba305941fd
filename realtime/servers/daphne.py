"""What stock Daphne lacks, put into its classes by `install()`: both `daphne` and `runserver` use them.

Daphne lets nobody choose its protocol or its shutdown, so its classes are changed in place, in this
file and nowhere else. A version that was not tested is left as it is, and the log says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import daphne
from daphne import access, server, ws_protocol
from twisted.internet import defer, tcp

from realtime.errors import CloseCode
from realtime.hub import Hub
from realtime.limits import max_message_bytes
from realtime.prepared import EXTENSION
from realtime.servers import (
    ACCEPTED_SECONDS,
    DRAIN_SECONDS,
    FINISH_SECONDS,
    PING_INTERVAL_SECONDS,
    PING_TIMEOUT_SECONDS,
)

logger = logging.getLogger(__name__)

#: Versions whose source these changes were written against.
TESTED = ("4.2.2", "4.2.3")
#: Seconds the application has to let a socket in, once its request is there. With Daphne's 5, of many that
#: come at once the last are cut off without a word, and come again.
LET_IN_SECONDS = 30
#: Seconds a peer has to answer our close frame. Autobahn gives it 1, which its batched timers round down to
#: anything from 0: a page that was still loading then saw 1006 instead of our code.
CLOSE_SECONDS = 5.0
#: Seconds after which a cancelled application that still does not end is left behind.
CANCEL_SECONDS = 1.0


def install(*, redact: Callable[[str], str]) -> None:
    """Change Daphne's classes, once per process, before its server is made.

    `redact` takes the secrets out of a line; Daphne writes its access log straight to a stream,
    past every logger.
    """
    _install_access_log(redact)
    if daphne.__version__ not in TESTED:
        logger.warning(
            "Daphne %s was not tested with Relais (%s were): it runs with its own pings, limits and shutdown",
            daphne.__version__,
            " and ".join(TESTED),
        )
        return
    ws_protocol.WebSocketFactory.protocol = PreparedWebSocketProtocol
    if server.Server.run is not _run:
        _create_application.stock = server.Server.create_application  # type: ignore[attr-defined]  # as below
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


def _install_access_log(redact: Callable[[str], str]) -> None:
    stock = access.AccessLogGenerator.write_entry
    if getattr(stock, "is_redacted", False):
        return

    def write_entry(self: Any, host: Any, date: Any, request: str, **fields: Any) -> None:
        stock(self, host, date, redact(request), **fields)

    write_entry.is_redacted = True  # type: ignore[attr-defined]  # seen by the next `install()`
    access.AccessLogGenerator.write_entry = write_entry


class PreparedWire:
    """The connection below a socket (`realtime.prepared.Wire`)."""

    __slots__ = ("_protocol", "_socket")

    def __init__(self, protocol: PreparedWebSocketProtocol) -> None:
        self._protocol = protocol
        # Plain TCP only: a transport that encrypts would hand out the socket below its encryption.
        transport = protocol.transport
        self._socket = transport.socket if type(transport) is tcp.Server and not transport.TLS else None

    def write(self, data: bytes) -> None:
        protocol = self._protocol
        if protocol.state != protocol.STATE_OPEN or protocol.muted:
            return
        transport = protocol.transport
        # Twisted would wait for the reactor to say that the kernel has room, at the price of three system
        # calls. When nothing waits there is no need to ask.
        if self._socket is not None and _waiting_in(transport) == 0:
            try:
                sent = self._socket.send(data)
            except OSError:  # full, or broken: Twisted knows what to do
                sent = 0
            if sent == len(data):
                return
            data = data[sent:]
        transport.write(data)

    def waiting(self) -> int:
        return _waiting_in(self._protocol.transport)

    def abort(self) -> None:
        self._protocol.transport.abortConnection()


def _waiting_in(transport: Any) -> int:
    """What Twisted holds back; 0 for a transport that does not say (TLS, which we leave to proxies)."""
    buffer = getattr(transport, "dataBuffer", None)
    return 0 if buffer is None else len(buffer) - transport.offset + transport._tempDataLen  # noqa: SLF001 - there is no other way to see it


class PreparedWebSocketProtocol(ws_protocol.WebSocketProtocol):  # type: ignore[misc]  # Daphne has no types
    """Daphne's socket with a size limit per path and every close code of ours."""

    #: Say 1009 to what is too big, instead of cutting the line without a word.
    failByDrop = False  # noqa: N815 - autobahn's name

    def onConnect(self, request: Any) -> Any:  # noqa: N802 - autobahn's name
        """The handshake: from here on the path is known, and with it the size of a message."""
        self.maxMessagePayloadSize = self.maxFramePayloadSize = max_message_bytes(unquote(request.path))
        self.closeHandshakeTimeout = CLOSE_SECONDS
        return super().onConnect(request)

    def dropConnection(self, abort: bool = False) -> None:  # noqa: FBT001, FBT002, N802 - autobahn's signature
        """Cut the line, but gently once both sides said goodbye: after a reset `wasClean` is false."""
        super().dropConnection(abort=abort and not self.wasClean)

    def serverSend(self, content: Any, binary: bool = False) -> None:  # noqa: FBT001, FBT002, N802 - Daphne's signature
        """Send a message of any size: autobahn holds what we send to the limit of what we accept."""
        if self.state == self.STATE_CONNECTING:
            self.serverAccept()
        if self.state == self.STATE_OPEN:
            payload = content if binary else content.encode()
            self.sendFrame(opcode=2 if binary else 1, payload=payload)

    def serverClose(self, code: int | None = None) -> None:  # noqa: N802 - Daphne's name
        """Close with any code: autobahn's own `sendClose` refuses 1012, which says "restarting"."""
        if self.state == self.STATE_OPEN:
            self.sendCloseFrame(code=1000 if code is None else int(code), isReply=False)


def _create_application(self: Any, protocol: Any, scope: dict[str, Any]) -> Any:
    """`Server.create_application`, with our extension in the scope of sockets."""
    if isinstance(protocol, PreparedWebSocketProtocol):
        scope.setdefault("extensions", {})[EXTENSION] = PreparedWire(protocol)
    return _create_application.stock(self, protocol, scope)  # type: ignore[attr-defined]  # see install()


def _run(self: Any) -> None:
    """`Server.run` with our pings and our patience, whatever the command line says."""
    self.websocket_handshake_timeout = self.websocket_connect_timeout = LET_IN_SECONDS
    self.ping_interval = PING_INTERVAL_SECONDS
    self.ping_timeout = PING_TIMEOUT_SECONDS
    self.ports = []
    _run.stock(self)  # type: ignore[attr-defined]  # see install()


def _listen_success(self: Any, port: Any) -> None:
    """`Server.listen_success`, remembering the port so that it can be closed."""
    self.ports.append(port)
    host = port.getHost()
    where = f"{host.host}:{host.port}" if hasattr(host, "port") else str(host)
    if hasattr(host, "port"):
        self.listening_addresses.append((host.host, host.port))
    logger.info("Listening on %s", where)


def _stop(self: Any) -> defer.Deferred[None]:
    """`Server.kill_all_applications`: what happens between SIGTERM and the end of the reactor."""
    return defer.Deferred.fromFuture(asyncio.ensure_future(_finish(self)))


async def _finish(stopping: Any) -> None:
    """Take no more connections, close the sockets with 1012, finish the requests, cancel what is left."""
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
    """What uvicorn does at its end: the peer gets a close frame, the application its `disconnect`."""
    if protocol.state != protocol.STATE_OPEN:
        return
    protocol.serverClose(CloseCode.RESTARTING)
    protocol.muted = True  # else its application would hear of the same end twice
    protocol.application_queue.put_nowait({"type": "websocket.disconnect", "code": CloseCode.RESTARTING})
