"""WebSockets under Daphne with our limits, back-pressure, every close code, and prepared frames.

`realtime/servers/daphne/__init__.py` puts this class in the place of Daphne's own.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote

from autobahn.wamp.types import TransportDetails
from autobahn.websocket.protocol import TrafficStats
from autobahn.websocket.types import ConnectionDeny
from daphne import ws_protocol
from twisted.web import http

from realtime.errors import CloseCode
from realtime.servers import CLOSE_SECONDS, MAX_FRAGMENTS
from realtime.servers.daphne.handshake import Nobody, Request, forget_handshake, is_http_1_0
from realtime.servers.daphne.wire import waiting_in
from realtime.servers.endings import REASON_OF_CODE, Reason, ended
from realtime.servers.intake import Intake, Message
from realtime.servers.paced_reading import PacedReading, bound_send_buffer
from realtime.servers.unheard import SMALL_FRAGMENT_BYTES
from realtime.wire.sizes import max_message_bytes

logger = logging.getLogger(__name__)

#: The first opcode of the frames that control the connection (RFC 6455 §5.5).
CLOSE = 8
#: The code that stands for a close frame without one.
NO_CODE = 1005
#: Bytes waiting for a peer from which on only its last ping is answered: asyncio's own high water.
HIGH_WATER_BYTES = 64 * 1024
#: Seconds between two checks whether the last of those pings can be answered now.
PONG_POLL_SECONDS = 0.1


class PreparedWebSocketProtocol(PacedReading, ws_protocol.WebSocketProtocol):  # type: ignore[misc]  # Daphne has no types
    """Daphne's socket with our limits, back-pressure, and every close code of ours."""

    #: Say what is wrong (1002, 1007, 1009) instead of cutting the line without a word.
    failByDrop = False  # noqa: N815 - autobahn's name
    closeHandshakeTimeout = CLOSE_SECONDS  # noqa: N815 - autobahn's name. Its own is 1 s, which its batched timers
    # round down to anything from 0: a page that was still loading then saw 1006 instead of our code.

    # State of one connection that most never need; an attribute of the class costs a socket nothing.
    path = b"/"
    server: Any = None
    _fragments = 0
    _late_pong: bytes | None = None
    _cut: asyncio.TimerHandle | None = None
    #: The head of a refusal, until its body comes.
    _refusal: bytes | None = None

    # Autobahn makes these for every connection, and nothing under Daphne asks for them: so they are made
    # once.
    peer = "-"
    is_open = is_closed = Nobody()
    _transport_details = TransportDetails()
    _traffic = TrafficStats()  # type: ignore[no-untyped-call]  # autobahn does not type it

    # --- the handshake --------------------------------------------------------------------------------

    def __init__(self) -> None:
        """Set no attributes: autobahn's own makes futures for each connection, which nothing here awaits."""

    @classmethod
    def take_options(cls, factory: Any) -> None:
        """The options of all connections become attributes of the class.

        Autobahn copies each of them to every connection (1.5 KB of 20), and formats them all for a line of
        its debug log that nobody sees.
        """
        for name in ws_protocol.WebSocketProtocol.CONFIG_ATTRS:
            if name not in vars(PreparedWebSocketProtocol):
                value = getattr(factory, name)
                # A function is an option like the others here, not a method.
                setattr(cls, name, staticmethod(value) if callable(value) else value)
        cls.CONFIG_ATTRS = ()

    def connectionMade(self) -> None:  # noqa: N802 - Twisted's name
        """Start the handshake; autobahn's own method describes the transport first, for a log nobody sees."""
        with contextlib.suppress(AttributeError, OSError):  # not every transport is TCP
            self.transport.setTcpNoDelay(True)
            bound_send_buffer(self.transport.socket)
        self._connectionMade()
        self.trafficStats = self._traffic
        self.send_queue = ()  # for writes in pieces, which are not made here

    def onOpen(self) -> None:  # noqa: N802 - autobahn's name
        """Free the handshake and start to parse frames: the socket is open."""
        super().onOpen()
        self.request: Any = Request(self.request.path)
        forget_handshake(self)
        self._is_let_in()

    def onConnect(self, request: Any) -> Any:  # noqa: N802 - autobahn's name
        """Read the handshake: its path decides how large a message may be."""
        if is_http_1_0(self):
            raise ConnectionDeny(505, "HTTP Version Not Supported")  # type: ignore[no-untyped-call]  # autobahn's
        self.maxMessagePayloadSize = self.maxFramePayloadSize = max_message_bytes(unquote(request.path))
        self.intake = Intake()
        self._wait_to_be_let_in()
        return super().onConnect(request)

    # --- reading --------------------------------------------------------------------------------------

    def dataReceived(self, data: bytes) -> None:  # noqa: N802 - Twisted's name
        """Read what the peer sent: the handshake at once, frames in slices."""
        if self.state == self.STATE_CONNECTING and not self._is_pending:
            super().dataReceived(data)  # the request
        else:
            self.feed(data)

    def _parse(self, data: bytes) -> None:
        super().dataReceived(data)

    def _pause(self) -> None:
        self.transport.pauseProducing()

    def _resume(self) -> None:
        self.transport.resumeProducing()

    def _is_inside_message(self) -> bool:
        is_inside = self.inside_message or self.current_frame is not None or bool(self.data)
        return is_inside and self.state == self.STATE_OPEN

    def _fail_with(self, code: CloseCode) -> None:
        self._fail_connection(code)

    def onMessageBegin(self, isBinary: bool) -> None:  # noqa: FBT001, N802, N803 - autobahn's signature
        """Note the first frame of a message."""
        self._fragments = 0
        super().onMessageBegin(isBinary)

    def onMessageFrameBegin(self, length: int) -> None:  # noqa: N802 - autobahn's name
        """Count one more frame of a message."""
        self._fragments += 1
        super().onMessageFrameBegin(length)
        if self._fragments > MAX_FRAGMENTS and not self.failedByMe:
            self._fail_connection(CloseCode.TOO_BIG, "too many fragments")

    def onFrameEnd(self) -> Any:  # noqa: N802 - autobahn's name
        """Count a complete frame."""
        frame = self.current_frame
        if frame.opcode >= CLOSE:
            self._control_frames += 1
        elif frame.length < SMALL_FRAGMENT_BYTES and not (frame.fin and frame.opcode):
            self._small_fragments += 1
        result = super().onFrameEnd()
        if not self.inside_message:
            self._completed += 1
        return result

    def onMessageEnd(self) -> None:  # noqa: N802 - autobahn's name
        """Hand on the finished message; autobahn's own method also tells listeners, which nobody adds."""
        if not self.failedByMe:
            self.onMessage(b"".join(self.message_data), self.message_is_binary)
        self.message_data: Any = None

    def onMessage(self, payload: bytes, isBinary: bool) -> None:  # noqa: FBT001, N802, N803 - autobahn's signature
        """Give a complete message to the application, unless our close frame was sent."""
        if self.state != self.STATE_OPEN:
            return
        super().onMessage(payload, isBinary)
        if self.intake.is_full:
            self._hold()

    def onPing(self, payload: bytes) -> None:  # noqa: N802 - autobahn's name
        """Answer a ping; a peer that reads too slowly gets an answer to its last ping only (§5.5.3)."""
        if waiting_in(self.transport) < HIGH_WATER_BYTES:
            super().onPing(payload)
            return
        if self._late_pong is None:
            asyncio.get_event_loop().call_later(PONG_POLL_SECONDS, self._pong_late)
        self._late_pong = payload

    def _pong_late(self) -> None:
        payload, self._late_pong = self._late_pong, None
        if payload is not None and self.state == self.STATE_OPEN:
            self.onPing(payload)

    # --- writing --------------------------------------------------------------------------------------

    def handle_reply(self, message: Message) -> None:
        """Send what the application says, refusals and empty messages too, which Daphne leaves out."""
        kind = message.get("type")
        if kind == "websocket.http.response.start":
            self._refusal = _head(message["status"], message.get("headers", ()))
            return
        if kind == "websocket.http.response.body":
            self._refuse(message.get("body", b""), is_last=not message.get("more_body", False))
            return
        if kind == "websocket.send" and self.state == self.STATE_OPEN:
            binary, text = message.get("bytes"), message.get("text")
            if (binary == b"" and text is None) or (text == "" and binary is None):
                self.serverSend(text if binary is None else binary, binary is not None)
                return
        super().handle_reply(message)

    def serverSend(self, content: Any, binary: bool = False) -> None:  # noqa: FBT001, FBT002, N802 - Daphne's signature
        """Send a message of any size; autobahn holds sent messages to the limit of received ones."""
        if self.state == self.STATE_CONNECTING:
            self.serverAccept()
        if self.state == self.STATE_OPEN:
            payload = content if binary else content.encode()
            self.sendFrame(opcode=2 if binary else 1, payload=payload)

    def _refuse(self, body: bytes, *, is_last: bool) -> None:
        """Refuse the handshake with the answer of the application, an extension of ASGI that Daphne lacks."""
        if self._refusal is None or self.state != self.STATE_CONNECTING:
            return
        self.sendData(self._refusal + body)
        self._refusal = b""
        if is_last:
            del self.handshake_deferred  # nobody else answers it
            self.server.protocol_disconnected(self)
            details = {
                "path": self.request.path,
                "client": ":".join(map(str, self.client_addr or ())) or None,
            }
            self.server.log_action("websocket", "rejected", details)
            self.dropConnection()

    # --- the end --------------------------------------------------------------------------------------

    def serverClose(self, code: int | None = None) -> None:  # noqa: N802 - Daphne's name
        """Close with any code: autobahn's own `sendClose` refuses 1012, which says "restarting"."""
        if self.state == self.STATE_OPEN:
            self.sendCloseFrame(code=1000 if code is None else int(code), isReply=False)
            self._let_go()  # for the answer
            self.feed(b"")

    def _fail_connection(self, code: int = 1001, reason: str = "going away") -> None:
        """Send the close code and wait for the peer to go: closing at once would reset the connection."""
        was_open = self.state == self.STATE_OPEN
        # Autobahn's reasons quote nothing of the peer's, but nobody needs them.
        super()._fail_connection(code, "")
        if was_open:
            why: Reason = (
                "too_many_fragments"
                if self._fragments > MAX_FRAGMENTS
                else REASON_OF_CODE.get(code, "protocol_error")
            )
            self._ended(why, int(code))
            self._fail()
            if hasattr(self.transport, "loseWriteConnection"):
                self.transport.loseWriteConnection()

    def onClose(self, wasClean: bool, code: int | None, reason: Any) -> None:  # noqa: FBT001, N802, N803 - autobahn's signature
        """Tell the application of the close; RFC 6455 §7.1.5 has a code for a close frame without one."""
        if self.server is not None:  # else it was refused before Daphne knew of it
            super().onClose(wasClean, NO_CODE if code is None else code, reason)

    def onCloseHandshakeTimeout(self) -> None:  # noqa: N802 - autobahn's name
        """Count a peer that did not answer our close frame in time."""
        if not self.failedByMe:  # else its reason was counted already
            self._ended("unanswered_close", self.localCloseCode)
        super().onCloseHandshakeTimeout()

    def connectionLost(self, *reason: Any) -> None:  # noqa: N802 - Twisted's name
        """Let everything go: the connection is lost."""
        self._stop_watching()
        if self._cut is not None:
            self._cut.cancel()
            self._cut = None
        super().connectionLost(*reason)
        forget_handshake(self)  # where it was refused

    def check_timeouts(self) -> None:
        """Check pings and timeouts; never raises, as Daphne would then check no connection any more."""
        try:
            super().check_timeouts()
        except Exception:
            logger.exception("A connection whose timeouts cannot be checked is cut")
            with contextlib.suppress(Exception):  # what is left of it may be anything
                self.transport.abortConnection()

    def onAutoPingTimeout(self) -> None:  # noqa: N802 - autobahn's name
        """End a peer that did not answer a ping in time, unless we do not read it."""
        self.autoPingTimeoutCall = None
        if self._is_held:  # or it was, and we have not read it
            return
        self._ended("no_pong", None)
        super().onAutoPingTimeout()

    def dropConnection(self, abort: bool = False) -> None:  # noqa: FBT001, FBT002, N802 - autobahn's signature
        """Abort the connection, but gently after both close frames: after a reset `wasClean` is false."""
        transport = self.transport
        super().dropConnection(abort=abort and not self.wasClean)
        # A closing transport waits for its peer to read what is left: for ever, if nobody cuts it.
        if waiting_in(transport) and self._cut is None:
            self._cut = asyncio.get_event_loop().call_later(CLOSE_SECONDS, transport.abortConnection)

    def _ended(self, reason: Reason, code: int | None) -> None:
        client = self.client_addr[0] if self.client_addr else None
        ended(reason, client=client, path=unquote(self.path.decode("ascii")), close_code=code)


def _head(status: int, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The head of an answer after which the connection ends."""
    reason = http.RESPONSES.get(status, b"")
    lines = [b"HTTP/1.1 %d %s" % (status, reason), *(b"%s: %s" % header for header in headers)]
    return b"\r\n".join([*lines, b"connection: close", b"", b""])
