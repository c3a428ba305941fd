"""uvicorn's WebSocket protocol with our limits, back-pressure, and prepared frames."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

from uvicorn.protocols.utils import get_client_addr, get_path_with_query_string
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame
from websockets.http11 import Request
from websockets.protocol import OPEN

from realtime.defaults import conf
from realtime.errors import CloseCode
from realtime.process import background
from realtime.servers import CLOSE_SECONDS, DRAIN_SECONDS, FINISH_SECONDS, MAX_FRAGMENTS
from realtime.servers.endings import REASON_OF_CODE, Reason, ended
from realtime.servers.intake import Intake, Message
from realtime.servers.paced_reading import PacedReading, bound_send_buffer
from realtime.servers.uvicorn.handshake import Handshake, ordinary
from realtime.servers.uvicorn.parser import Parser
from realtime.servers.uvicorn.wire import PreparedWire
from realtime.wire.sizes import max_message_bytes
from realtime.wire.wire import EXTENSION

#: Seconds between two looks at a handshake that a stop waits for.
POLL_SECONDS = 0.05


_LEFT_OVER = ("initial_response", "request", "response", "_handshake")
_SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
#: Shared by all connections whose peers read: nearly all, nearly always. One event each would take 700 bytes.
_NOT_WAITING = asyncio.Event()
_NOT_WAITING.set()


class PreparedProtocol(PacedReading, WebSocketsSansIOProtocol):
    """A WebSocket with prepared frames, our pings and limits, no compression, whatever uvicorn is told."""

    conn: Parser
    # The values of these attributes after the handshake.
    initial_response: Any = None
    request: Any = None
    response: Any = None
    _cut: asyncio.TimerHandle | None = None
    _late_pong: bytes | None = None
    _is_http_1_0 = False
    #: The handshake, if nothing about it is unusual, until it is answered.
    _handshake: Handshake | None = None
    #: Whether its application is over.
    _has_ended = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.ping_interval = conf.limit_ping_seconds
        self.ping_timeout = conf.limit_pong_seconds
        # Compression costs every socket buffers and CPU of its own, and a small frame may become a large one.
        self.conn = Parser(logger=self.logger)
        self.intake = Intake()
        self.queue = self.intake  # type: ignore[assignment]  # as much of a queue as uvicorn uses
        self.writable = _NOT_WAITING

    def connection_made(self, transport: Any) -> None:
        """Take the connection over from uvicorn's HTTP protocol, and free that one at once."""
        http = transport.get_protocol()
        self.connections.add(self)
        self.transport = transport
        # Not by uvicorn's method, which asks the kernel for both addresses again.
        self.server, self.client = http.server, http.client
        self.scheme = "wss" if http.scheme == "https" else "ws"
        bound_send_buffer(transport.get_extra_info("socket"))
        # uvicorn passes every request on as if it were HTTP/1.1.
        if http.scope["http_version"] == "1.0":
            self._is_http_1_0 = True
        elif hasattr(http, "url"):
            self._handshake = ordinary(http.scope["method"], http.url, http.headers)
        if hasattr(http, "parser"):
            http.parser = None  # it refers back to the protocol

    @property
    def is_open(self) -> bool:
        """Whether frames may be sent: none may follow a close frame, a first one or an answer (§5.5.1)."""
        # uvicorn remembers only the first; after an answer it closes the transport, which may take its time.
        return self.handshake_complete and not self.close_sent and not self.transport.is_closing()

    # --- reading --------------------------------------------------------------------------------------

    def handle_connect(self, event: Request) -> None:
        """Take up a handshake that websockets has read, if it found it valid."""
        if self._is_http_1_0:
            self._refuse(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED)
            return
        super().handle_connect(event)
        if self.handshake_initiated and not self.handshake_complete:
            self._begin()

    def data_received(self, data: bytes) -> None:
        """Read what the peer sent: its handshake, which may be known to be valid already, then frames."""
        if self._handshake is None or self.handshake_initiated:
            self.feed(data)
        else:
            self._take_up(self._handshake)

    def _take_up(self, handshake: Handshake) -> None:
        """Start the application, as `handle_connect` does."""
        self.conn.expect_frames()
        self.handshake_initiated = True
        raw_path, _, query_string = handshake.target.partition(b"?")
        self.scope = {
            "type": "websocket",
            "asgi": {"version": self.asgi_version, "spec_version": "2.4"},
            "http_version": "1.1",
            "scheme": self.scheme,
            "server": self.server,
            "client": self.client,
            "root_path": self.root_path,
            "path": self.root_path + unquote(raw_path.decode("ascii")),
            "raw_path": self.root_path.encode("ascii") + raw_path,
            "query_string": query_string,
            "headers": handshake.headers,
            "subprotocols": handshake.subprotocols,
            "state": self.app_state.copy(),
            "extensions": {"websocket.http.response": {}},
        }
        self.intake.put_nowait({"type": "websocket.connect"})
        task = self.loop.create_task(self.run_asgi())
        task.add_done_callback(self.on_task_complete)
        self.tasks.add(task)
        self._begin()

    def _begin(self) -> None:
        """Start to read frames: the path is known, and decides how large a message may be."""
        self.conn.max_message_size = max_message_bytes(self.scope["path"].removeprefix(self.root_path))
        # The application starts in the loop's next turn, so it finds this in its scope.
        extensions: dict[str, Any] = self.scope["extensions"]
        extensions[EXTENSION] = PreparedWire(self)
        self._wait_to_be_let_in()

    def _parse(self, data: bytes) -> None:
        self.conn.receive_data(data)
        self.handle_events()  # before what may be wrong after them
        if self.conn.parser_exc is not None and not self._has_failed:
            self.handle_parser_exception()
        elif self.conn.handshake_exc is not None and not self.handshake_initiated and not self._has_failed:
            self._refuse()
        self._completed = self.conn.completed
        if self.conn.control_frames or self.conn.small_fragments:
            self._control_frames, self.conn.control_frames = self.conn.control_frames, 0
            self._small_fragments, self.conn.small_fragments = self.conn.small_fragments, 0

    def _pause(self) -> None:
        self.read_paused = True
        self.transport.pause_reading()

    def _resume(self) -> None:
        self.read_paused = False
        if not self.transport.is_closing():
            self.transport.resume_reading()

    def _is_inside_message(self) -> bool:
        return self.conn.is_inside_message and not self.disconnected

    def _fail_with(self, code: CloseCode) -> None:
        if self.close_sent:  # it was told to go already, and has CLOSE_SECONDS for that
            self._fail()
            return
        self.conn.fail(code)
        self.handle_parser_exception()

    def handle_text(self, event: Frame) -> None:
        """Give a complete text message to the application."""
        self._tell({"type": "websocket.receive", "text": event.data})

    def handle_bytes(self, event: Frame) -> None:
        """Give a complete binary message to the application."""
        self._tell({"type": "websocket.receive", "bytes": event.data})

    def _tell(self, message: Message) -> None:
        if self.close_sent:  # the application has said goodbye
            return
        self.intake.put_nowait(message)
        if self.intake.is_full:
            self._hold()

    async def receive(self) -> Any:
        """Await the next message for the application."""
        return await self.take()

    def handle_ping(self) -> None:
        """Answer a ping; a peer that reads too slowly gets an answer to its last ping only (§5.5.3)."""
        if self.writable.is_set() or self.conn.close_sent is not None:
            super().handle_ping()
        else:
            for pong in self.conn.data_to_send():
                self._late_pong = pong

    def pause_writing(self) -> None:
        """Make writers wait: the peer does not read."""
        self.writable = asyncio.Event()

    def resume_writing(self) -> None:
        """Let writers go on: the peer has read."""
        super().resume_writing()
        self.writable = _NOT_WAITING
        pong, self._late_pong = self._late_pong, None
        if pong is not None and self.is_open:
            self.transport.write(pong)

    # --- the end --------------------------------------------------------------------------------------

    def handle_parser_exception(self) -> None:
        """Send the close code and wait for the peer to go: closing at once would reset the connection."""
        if self.conn.close_sent is None:  # before the handshake was answered there can be no close frame
            self._ended("protocol_error", None)
            self._fail()
            self.transport.abort()
            return
        code = int(self.conn.close_sent.code)
        reason = REASON_OF_CODE.get(code, "protocol_error")
        self._ended("too_many_fragments" if self.conn.fragments > MAX_FRAGMENTS else reason, code)
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": ""})
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self.stop_keepalive()
        self._fail()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        # While it is set, uvicorn leaves the end to it.
        self.close_timer = self.loop.call_later(CLOSE_SECONDS, self.transport.abort)

    def _refuse(self, status: HTTPStatus = HTTPStatus.BAD_REQUEST) -> None:
        """Answer a handshake that websockets rejects, though uvicorn's HTTP parser accepted it.

        There is no event for it: uvicorn would leave its peer waiting for ever.
        """
        self._ended("protocol_error", None)
        # websockets answers lines that are too long or too many; anything else, such as a body, it just ends.
        refusal = self.conn.reject(status, "")
        self.transport.write(b"".join(self.conn.data_to_send()) or refusal.serialize())
        self.handshake_complete = self.close_sent = True
        self._fail()
        self.transport.close()
        self._cut_if_stuck()

    def eof_received(self) -> None:
        """Read what is left: the peer sends no more, and the transport closes itself after this."""
        super().eof_received()
        self.loop.call_soon(self._cut_if_stuck)

    def handle_close(self, event: Frame) -> None:
        """Handle the peer's close frame, whether it is the first or the answer to ours."""
        super().handle_close(event)
        self._cut_if_stuck()

    async def send(self, message: Any) -> None:
        """Send what the application says; a refusal before accept completes the handshake as accept does.

        uvicorn overlooks that, and logs an error for every page of a foreign origin that tries to connect.
        """
        is_accept = message["type"] == "websocket.accept"
        is_first = not self.handshake_complete and self.initial_response is None
        if is_accept and is_first and self._handshake is not None:
            self._accept(message, self._handshake)
        else:
            await super().send(message)
        if is_accept:
            self._forget_handshake()
        elif message["type"] == "websocket.http.response.body" and self.close_sent:
            self.handshake_complete = True
        elif message["type"] == "websocket.close" and self.close_timer is not None:
            self.close_timer.cancel()
            self.close_timer = self.loop.call_later(CLOSE_SECONDS, self._give_up)
            self._is_held = False  # uvicorn reads on, for the answer
            self.feed(b"")

    def _accept(self, message: Any, handshake: Handshake) -> None:
        """Accept the socket with the bytes and the log lines that uvicorn and websockets would write."""
        if self.logger.isEnabledFor(logging.INFO):
            address, target = get_client_addr(self.scope), get_path_with_query_string(self.scope)
            self.logger.info('%s - "WebSocket %s" [accepted]', address, target)
        if self.transport.is_closing():
            return
        lines = [f"Sec-WebSocket-Accept: {handshake.accept}"]
        for name, value in (*self.default_headers, *message.get("headers", ())):
            lines.append(f"{name.decode('latin-1').lower()}: {value.decode('latin-1')}")
        if message.get("subprotocol"):
            lines.append(f"Sec-WebSocket-Protocol: {message['subprotocol']}")
        self.handshake_complete = True
        self.conn.state = OPEN
        self.logger.info("connection open")
        self.transport.write(_SWITCHING + "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n")
        self.start_keepalive()

    def _forget_handshake(self) -> None:
        """Free what nothing reads after the handshake; a `__dict__` with few names takes half the memory."""
        self._is_let_in()
        if self.request is not None:
            self.request.headers.clear()  # kept by the parser; the application's are another list
        self.__dict__ = {name: value for name, value in vars(self).items() if name not in _LEFT_OVER}

    def keepalive_timeout(self) -> None:
        """End a peer that did not answer a ping in time, unless we do not read it."""
        if self._is_held:  # or it was, and we have not read it
            self.pong_timer = self.pending_ping_payload = None
            self.schedule_ping()
            return
        self._ended("no_pong", 1011)
        super().keepalive_timeout()
        self._cut_if_stuck()

    def on_task_complete(self, task: asyncio.Task[None]) -> None:
        """Note the end of the application; uvicorn then closes, unless our close frame is to be answered."""
        super().on_task_complete(task)
        if self.disconnected:
            self._fall_apart()
        else:
            self._has_ended = True
            self._cut_if_stuck()

    def shutdown(self) -> None:
        """End this socket when the server stops; the hub closes its own, a few at a time, before that."""
        self._goodbye = background.start(self._say_goodbye())

    async def _say_goodbye(self) -> None:
        from realtime.hub.hub import Hub  # uvicorn's own workers load this module before Django is set up

        await Hub.current().drain(seconds=DRAIN_SECONDS)
        # The application refuses a socket that is being accepted, in a way that a page can read.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FINISH_SECONDS):
                while not self.handshake_complete:  # noqa: ASYNC110 - uvicorn has no event for it
                    await asyncio.sleep(POLL_SECONDS)
        if not self.disconnected:
            super().shutdown()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let everything go: the connection is lost."""
        super().connection_lost(exc)
        self._stop_watching()
        if self._cut is not None:
            self._cut.cancel()
            self._cut = None
        if self._has_ended:
            self._fall_apart()

    def _fall_apart(self) -> None:
        """Break the reference cycles once connection and application are over, to free the memory at once."""
        self.scope["extensions"].pop(EXTENSION, None)
        self.conn.parser.close()

    def _give_up(self) -> None:
        self._ended("unanswered_close", None)
        self.transport.abort()

    def _cut_if_stuck(self) -> None:
        """Abort a closing transport that waits for its peer to read what is left: it would wait for ever."""
        if self.transport.is_closing() and not self.disconnected and self._cut is None:
            self._cut = self.loop.call_later(CLOSE_SECONDS, self._give_up)

    def _ended(self, reason: Reason, code: int | None) -> None:
        client = self.client[0] if self.client else None
        path = self.scope["path"] if self.handshake_initiated else ""
        ended(reason, client=client, path=path, close_code=code)
