"""HTTP under Daphne with our limits: the connection, and a request on it.

These classes replace Twisted's and Daphne's own (`realtime/servers/daphne/__init__.py`), which put
bodies of any size on the disk, and give each byte of a head as much time as the first.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
from typing import Any

from daphne import http_protocol
from twisted.protocols.basic import LineReceiver
from twisted.web import http

from realtime.defaults import conf
from realtime.http.problems import PROBLEM_JSON, problem
from realtime.servers.allowance import Allowance, Doing
from realtime.servers.daphne.wire import waiting_in
from realtime.servers.endings import ended
from realtime.servers.heads import MAX_HEADERS
from realtime.servers.paced_reading import bound_send_buffer
from realtime.servers.refusals import BAD_REQUEST, HEAD_TOO_BIG, UNREAD_ANSWER, Refusal, RefusedError

#: For limits of Twisted that must not act: ours act first, and answer.
_NEVER = 1 << 30
_CODES = {400: "bad_request", 500: "internal_error", 503: "overloaded"}


_Channel: Any = http.HTTPChannel  # it is typed here and there
#: The base's parsing, without the channel's own, which would restart its timer.
_parse: Any = LineReceiver.dataReceived


class BoundedChannel(_Channel):  # type: ignore[misc]  # see above
    """One HTTP connection, held to its allowance."""

    MAX_LENGTH = maxHeaders = totalHeadersSize = _NEVER  # noqa: N815 - Twisted's names
    timeOut = None  # noqa: N815 - Twisted's name; its timer begins anew with each byte

    #: Whether what is read asks to become a socket.
    is_handshake = False
    _is_ending = False
    #: Bytes that came after the refusal was sent, and lines of the head that is being read.
    _thrown_away = _lines = 0
    #: Set while the peer keeps up with what is written.
    _taken: asyncio.Event | None = None
    _dataBuffer: list[bytes]  # noqa: N815 - Twisted's name

    def connectionMade(self) -> None:  # noqa: N802 - Twisted's name
        """Take a place for the new connection, or refuse it."""
        self.allowance = Allowance(waiting=lambda: waiting_in(self.transport), end=self.end)
        refusal = self.allowance.enter(getattr(self.transport.getPeer(), "host", None))
        if refusal is not None:
            self._is_ending = True
            self._tell(refusal)
            self.transport.write(refusal.answer())
            self.transport.loseConnection()
            return
        super().connectionMade()
        with contextlib.suppress(AttributeError):  # not every transport is TCP
            bound_send_buffer(self.transport.socket)

    def connectionLost(self, reason: Any) -> None:  # noqa: N802 - Twisted's name
        """Give the place back: the connection is lost."""
        self.allowance.gone()
        self._is_taken()
        super().connectionLost(reason)

    # --- reading --------------------------------------------------------------------------------------

    def dataReceived(self, data: bytes) -> None:  # noqa: N802 - Twisted's name
        """Parse what the peer sent, and what it had sent before its turn came."""
        if self._is_ending:
            self._throw_away(data)
            return
        try:
            self.allowance.received(len(data))
            _parse(self, data)
            self.allowance.parsed()
        except RefusedError as refused:
            self.end(refused.refusal)

    def lineReceived(self, line: bytes) -> None:  # noqa: N802 - Twisted's name
        """Take a line of the head, the request line and the empty last line included."""
        self._lines += 1
        if self._lines > MAX_HEADERS + 3:  # an empty one before the first is forgiven
            raise RefusedError(HEAD_TOO_BIG)
        super().lineReceived(line)

    def rawDataReceived(self, data: bytes) -> None:  # noqa: N802 - Twisted's name
        """Take a piece of a body, or of what waits until a request is answered."""
        super().rawDataReceived(data)
        if len(self._dataBuffer) > 1:  # it adds them up with each piece, of which there may be 16,384
            self._dataBuffer = [b"".join(self._dataBuffer)]

    def allHeadersReceived(self) -> None:  # noqa: N802 - Twisted's name
        """Check the complete head before its request is made."""
        self._lines = 0
        headers = [
            (name.lower(), value)
            for name, values in self.requests[-1].requestHeaders.getAllRawHeaders()
            for value in values
        ]
        self.is_handshake = any(
            name == b"upgrade" and value.lower() == b"websocket" for name, value in headers
        )
        self.allowance.head(self._command, self._path, self._version.removeprefix(b"HTTP/"), headers)
        super().allHeadersReceived()

    def allContentReceived(self) -> None:  # noqa: N802 - Twisted's name
        """Note that a request has arrived whole; refuse a handshake with bytes behind it."""
        if self.is_handshake and self._buffer:  # what stands behind it would be lost
            raise RefusedError(BAD_REQUEST)
        self.allowance.whole()
        super().allContentReceived()

    def requestDone(self, request: Any) -> None:  # noqa: N802 - Twisted's name
        """Go on to the next request: this one is answered."""
        self.allowance.answered()
        super().requestDone(request)

    # --- writing --------------------------------------------------------------------------------------

    def pauseProducing(self) -> None:  # noqa: N802 - Twisted's name
        """Start the time that the peer has to read: it reads more slowly than we write."""
        super().pauseProducing()
        self._taken = self._taken or asyncio.Event()
        self.allowance.unread()

    def resumeProducing(self) -> None:  # noqa: N802 - Twisted's name
        """Let writers go on: the peer has read."""
        super().resumeProducing()
        self._is_taken()
        self.allowance.is_read()

    async def taken(self) -> None:
        """Wait until the peer has read most of what it was told."""
        if self._taken is not None:
            await self._taken.wait()

    def _is_taken(self) -> None:
        if self._taken is not None:
            self._taken.set()
            self._taken = None

    # --- the end --------------------------------------------------------------------------------------

    def end(self, refusal: Refusal | None) -> None:
        """Send the refusal, unless an answer is due, and close the connection; None sends nothing."""
        if self._is_ending:
            self.transport.abortConnection()
            return
        self._is_ending = True
        if refusal is not None:
            self._tell(refusal)
        if refusal is UNREAD_ANSWER or self._handlingRequest:
            self.transport.abortConnection()
        elif refusal is None or self.allowance.doing is Doing.WAITING:
            self.loseConnection()
        else:
            self.transport.write(refusal.answer(self.allowance.target))
            if refusal.lingers and hasattr(self.transport, "loseWriteConnection"):
                self._networkProducer.unregisterProducer()
                self.transport.loseWriteConnection()
                self.allowance.lingers()
            else:
                self.loseConnection()

    def loseConnection(self) -> None:  # noqa: N802 - Twisted's name
        """Close once the peer has taken what is left."""
        super().loseConnection()
        self.allowance.closes()

    def _respondToBadRequestAndDisconnect(self) -> None:  # noqa: N802 - Twisted's name
        raise RefusedError(BAD_REQUEST)

    def _throw_away(self, data: bytes) -> None:
        # A little is read, so that the peer gets as far as reading the refusal.
        self._thrown_away += len(data)
        if self._thrown_away > conf.limit_body_bytes:
            self.transport.pauseProducing()

    def _tell(self, refusal: Refusal) -> None:
        ended(refusal.reason, client=getattr(self.transport.getPeer(), "host", None), path="")


class BoundedRequest(http_protocol.WebRequest):  # type: ignore[misc]  # Daphne has no types
    """A request whose body, being small, stays in memory, and which believes no client's `root_path`."""

    uri: bytes

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # Twisted reads forms, for nobody: Django does so again.
        super().__init__(*args, parsePOSTFormSubmission=False, **kwargs)

    def gotLength(self, length: int | None) -> None:  # noqa: N802 - Twisted's name
        """Keep the body in memory; Twisted's own method opens a file for a large one."""
        self.content = io.BytesIO()

    def handleContentChunk(self, data: bytes) -> None:  # noqa: N802 - Twisted's name
        """Count and keep a piece of the body."""
        self.channel.allowance.body(len(data))
        super().handleContentChunk(data)

    def process(self) -> Any:
        """Hand the complete request to the application, or make it a socket."""
        # Daphne believes this header from everybody; `--root-path` says where the application is mounted.
        self.requestHeaders.removeHeader(b"Daphne-Root-Path")
        if self.channel.is_handshake:  # autobahn would take what stands behind two slashes for a host
            self.uri = b"/" + self.uri.lstrip(b"/")
        channel = self.channel
        result = super().process()
        if self.transport is None:  # it became a socket, which others count
            channel.allowance.gone()
        elif getattr(self, "content", None) is not None:
            self.content = io.BytesIO()  # the application has it
        return result

    async def taken(self) -> None:
        """Wait until the peer has read most of what it was told."""
        channel = getattr(self, "channel", None)  # Twisted takes it away with the last word
        if channel is not None:
            await channel.taken()

    def basic_error(self, status: int, status_text: bytes, body: str) -> None:
        """Answer Daphne's own errors as problem documents, like all others."""
        content = json.dumps(problem(status, _CODES.get(status, "internal_error"), body)).encode()
        headers = [
            (b"Content-Type", PROBLEM_JSON.encode()),
            (b"Content-Length", str(len(content)).encode()),
        ]
        self.handle_reply({"type": "http.response.start", "status": status, "headers": headers})
        self.handle_reply({"type": "http.response.body", "body": content})
