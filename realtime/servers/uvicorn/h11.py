"""uvicorn's HTTP protocol on h11, with our limits; it runs where httptools is not installed."""

from __future__ import annotations

from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from realtime.defaults import conf
from realtime.servers.allowance import Allowance
from realtime.servers.refusals import BAD_REQUEST, RefusedError
from realtime.servers.uvicorn.http import Bounded


class _Connection(h11.Connection):
    """h11's state of one connection; each event that it parses is reported to the allowance."""

    allowance: Allowance

    def next_event(self) -> Any:
        event = super().next_event()
        if isinstance(event, h11.Request):
            self.allowance.head(event.method, event.target, event.http_version, list(event.headers))
        elif isinstance(event, h11.Data):
            self.allowance.body(len(event.data))
        elif isinstance(event, h11.EndOfMessage):
            self.allowance.whole()
            if self.our_state is h11.DONE:  # it was answered before all of it was here
                self.allowance.answered()
        return event


class PromptH11Protocol(Bounded, H11Protocol):
    """The HTTP protocol on h11; its connection raises RefusedError where a request is too much."""

    conn: _Connection

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.conn = _Connection(h11.SERVER, conf.limit_head_bytes)

    def connection_made(self, transport: Any) -> None:
        """Give the new connection a parser that keeps to the allowance."""
        super().connection_made(transport)
        self.conn.allowance = self.allowance

    def data_received(self, data: bytes) -> None:
        """Parse what the peer sent."""
        if self._is_ending:
            self.throw_away(data)
            return
        try:
            self.allowance.received(len(data))
            super().data_received(data)
            self.allowance.parsed()
        except RefusedError as refused:
            self.end(refused.refusal)

    def handle_events(self) -> None:
        """Handle parsed events; uvicorn also calls this after an answer, if another request waits."""
        try:
            super().handle_events()
        except RefusedError as refused:
            self.end(refused.refusal)

    def _should_upgrade(self) -> bool:
        is_handshake = super()._should_upgrade()
        if not is_handshake:
            self.is_request()
        return is_handshake

    def handle_websocket_upgrade(self, *event: h11.Request) -> None:
        """Make the connection a socket; refuse bytes behind the handshake, which would be lost."""
        if self.conn.trailing_data[0]:
            raise RefusedError(BAD_REQUEST)
        super().handle_websocket_upgrade(*event)

    def send_400_response(self, msg: str) -> None:
        """Refuse, in our own form, a request that h11 could not parse or that is too large for it."""
        self.allowance.parsed()
        raise RefusedError(BAD_REQUEST)
