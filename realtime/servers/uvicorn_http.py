"""uvicorn's HTTP protocol, less patient: its own waits for ever for a request that was begun."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from realtime.conf import conf
from realtime.servers.endings import Reason, ended


class PromptProtocol(HttpToolsProtocol):
    """The head of a request, a handshake's too, has LIMIT_HEAD_SECONDS from the connection or its first byte.

    LIMIT_BODY_SECONDS may pass between two pieces of its body, and more where it is us who read no further.
    """

    _late: asyncio.TimerHandle | None = None
    #: Whether a piece of the body came since the last look.
    _goes_on = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn's signature
        """Somebody is there."""
        super().connection_made(transport)
        self._wait(conf.limit_head_seconds, self._give_up)

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        super().on_message_begin()
        if self._late is None:
            self._wait(conf.limit_head_seconds, self._give_up)

    def on_headers_complete(self) -> None:
        """Its head is whole."""
        self._stop_waiting()
        super().on_headers_complete()
        if not self.parser.should_upgrade():
            self._goes_on = False
            self._wait(conf.limit_body_seconds, self._look_at_body)

    def on_body(self, body: bytes) -> None:
        """A piece of its body."""
        self._goes_on = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        """All of it is here."""
        self._stop_waiting()
        super().on_message_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """The line is gone."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _wait(self, seconds: float, late: Callable[[], None]) -> None:
        self._late = self.loop.call_later(seconds, late)

    def _stop_waiting(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _look_at_body(self) -> None:
        if self._goes_on or self.flow.read_paused:
            self._goes_on = False
            self._wait(conf.limit_body_seconds, self._look_at_body)
        else:
            self._give_up("unfinished_body")

    def _give_up(self, reason: Reason = "unfinished_head") -> None:
        self._late = None
        ended(reason, client=self.client[0] if self.client else None, path="")
        self.transport.abort()
