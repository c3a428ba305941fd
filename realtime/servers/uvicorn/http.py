"""The common part of uvicorn's two HTTP protocols with our limits; uvicorn's own read without bounds."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.utils import get_local_addr, get_remote_addr, is_ssl

from realtime.defaults import conf
from realtime.servers.allowance import Allowance, Doing
from realtime.servers.endings import ended
from realtime.servers.paced_reading import bound_send_buffer
from realtime.servers.refusals import UNREAD_ANSWER, Refusal

if TYPE_CHECKING:
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol as _Stock
else:
    _Stock = object


class Flow(FlowControl):
    """uvicorn's flow control; it also tells the allowance which side is behind."""

    def __init__(self, transport: asyncio.Transport, allowance: Allowance) -> None:
        super().__init__(transport)
        self._allowance = allowance

    def pause_reading(self) -> None:
        """Stop reading: our application is behind."""
        super().pause_reading()
        self._allowance.hold()

    def resume_reading(self) -> None:
        """Read again: our application has caught up."""
        super().resume_reading()
        self._allowance.go_on()

    def pause_writing(self) -> None:
        """Stop writing: the peer is behind."""
        super().pause_writing()
        self._allowance.unread()

    def resume_writing(self) -> None:
        """Write again: the peer has caught up."""
        super().resume_writing()
        self._allowance.is_read()


class Bounded(_Stock):
    """A mixin, placed before uvicorn's class, that holds an HTTP connection to its allowance."""

    cycle: Any
    allowance: Allowance
    _is_ending = False
    #: Bytes that came after the refusal was sent.
    _thrown_away = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn's signature
        """Take a place for the new connection, or refuse it."""
        self.transport = transport
        self.client = get_remote_addr(transport)
        self.allowance = Allowance(waiting=transport.get_write_buffer_size, end=self.end)
        refusal = self.allowance.enter(self.client[0] if self.client else None)
        if refusal is not None:
            self._is_ending = True
            self._tell(refusal)
            transport.write(refusal.answer())
            transport.close()
            return
        # Not by uvicorn's method, which asks the kernel for the peer's address again.
        self.connections.add(self)
        self.flow = Flow(transport, self.allowance)
        self.server = get_local_addr(transport)
        self.scheme = "https" if is_ssl(transport) else "http"

    def connection_lost(self, exc: Exception | None) -> None:
        """Give the place back: the connection is lost."""
        self.allowance.gone()
        self._part_from_application()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self, *event: Any) -> None:
        """Give the place back: the connection becomes a socket, which has its own limits."""
        self.allowance.gone()
        super().handle_websocket_upgrade(*event)

    def is_request(self) -> None:
        """Bound the kernel's buffer: this is a plain request, and a socket that is not ours sets its own."""
        bound_send_buffer(self.transport.get_extra_info("socket"))

    def on_response_complete(self) -> None:
        """Note that the application has answered."""
        if not getattr(self, "pipeline", None):
            self.allowance.answered()
        super().on_response_complete()
        if self.transport.is_closing():
            self.allowance.closes()

    def timeout_keep_alive_handler(self) -> None:
        """Close a connection that was idle for as long as uvicorn allows."""
        super().timeout_keep_alive_handler()
        self.allowance.closes()

    # --- the end --------------------------------------------------------------------------------------

    def end(self, refusal: Refusal | None) -> None:
        """Send the refusal, unless another answer is due, and close the connection; None sends nothing."""
        if self._is_ending:
            self._cut()
            return
        self._is_ending = True
        if refusal is not None:
            self._tell(refusal)
        if refusal is UNREAD_ANSWER or self.flow.write_paused:
            self._cut()
        elif self._owes_answer() and not self.cycle.more_body:
            self.cycle.keep_alive = False  # of an earlier request: uvicorn closes after its answer
            self.allowance.stops()
        elif refusal is None or not self._can_answer():
            self._part_from_application()
            self.transport.close()
            self.allowance.closes()
        else:
            self._part_from_application()
            self.transport.write(refusal.answer(self.allowance.target))
            if refusal.lingers and self.transport.can_write_eof():
                self.transport.write_eof()
                self.flow.resume_reading()
                self.allowance.lingers()
            else:
                self.transport.close()
                self.allowance.closes()

    def throw_away(self, data: bytes) -> None:
        """Discard what comes after the refusal; a little is read, so that the peer gets to the answer."""
        self._thrown_away += len(data)
        if self._thrown_away > conf.limit_body_bytes and not self.transport.is_closing():
            self.flow.pause_reading()

    def answering(self) -> Any:
        """The request that is being answered, or else the last one."""
        return self.cycle

    def _owes_answer(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _can_answer(self) -> bool:
        """Whether a request is not answered yet."""
        if self.allowance.doing is Doing.WAITING:
            return False
        is_early = self.allowance.doing is Doing.BODY and self.cycle is not None and self.cycle.more_body
        return not (is_early and self.cycle.response_started)

    def _part_from_application(self) -> None:
        """Tell the application that answers that the peer has gone and no more of a body will come."""
        cycle = self.answering()
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True
            cycle.message_event.set()

    def _cut(self) -> None:
        self._part_from_application()
        self.transport.abort()

    def _tell(self, refusal: Refusal) -> None:
        ended(refusal.reason, client=self.client[0] if self.client else None, path="")
