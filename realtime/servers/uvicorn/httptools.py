"""uvicorn's HTTP protocol on httptools, with our limits."""

from __future__ import annotations

from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from realtime.servers.allowance import Doing
from realtime.servers.heads import MAX_HEADERS
from realtime.servers.refusals import BAD_REQUEST, HEAD_TOO_BIG, PIPELINED, RefusedError
from realtime.servers.uvicorn.http import Bounded

#: Requests that may wait behind the one that is being answered, at 3 KB each. No browser sends any.
MAX_PIPELINED = 8


class PromptProtocol(Bounded, HttpToolsProtocol):
    """The HTTP protocol on httptools; the parser's callbacks raise RefusedError for what is too much."""

    #: The request that is being answered; uvicorn's `cycle` is the last of the requests behind it.
    _answering: Any = None

    def data_received(self, data: bytes) -> None:
        """Parse what the peer sent; uvicorn's own method forgets what follows a handshake."""
        if self._is_ending:
            self.throw_away(data)
            return
        self._unset_keepalive_if_required()
        try:
            self.allowance.received(len(data))
            self.parser.feed_data(data)
            self.allowance.parsed()
        except RefusedError as refused:
            self.end(refused.refusal)
        except httptools.HttpParserUpgrade as upgrade:
            self._upgrade(is_last=upgrade.args[0] == len(data))
        except httptools.HttpParserCallbackError as failed:
            if not isinstance(failed.__context__, RefusedError):
                self.logger.exception("A request could not be taken")
            self.end(
                failed.__context__.refusal if isinstance(failed.__context__, RefusedError) else BAD_REQUEST
            )
        except httptools.HttpParserError:
            self.end(BAD_REQUEST)

    def on_message_begin(self) -> None:
        """Note the first byte of a request, or of the next one while another is being answered."""
        super().on_message_begin()
        if self.allowance.doing is not Doing.HEAD:
            self.allowance.begins()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a line of the head; uvicorn would also take trailers behind a chunked body for such lines."""
        if self.allowance.doing is not Doing.HEAD:
            return
        if len(self.headers) >= MAX_HEADERS:
            raise RefusedError(HEAD_TOO_BIG)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Check the complete head."""
        has_body = self.allowance.head(
            self.parser.get_method(), self.url, self.parser.get_http_version().encode(), self.headers
        )
        if has_body and self.parser.should_upgrade():
            # An upgrade to what we do not speak; the parser would take the body for the next request.
            raise RefusedError(BAD_REQUEST)
        if self._owes_answer() and (has_body or len(self.pipeline) >= MAX_PIPELINED):
            raise RefusedError(PIPELINED)
        if not (self.parser.should_upgrade() and self._should_upgrade()):
            self.is_request()
        super().on_headers_complete()
        if not self.pipeline:
            self._answering = self.cycle

    def on_body(self, body: bytes) -> None:
        """Count a piece of the body."""
        self.allowance.body(len(body))
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Note that the request has arrived whole."""
        self.allowance.whole()
        super().on_message_complete()
        if not self.parser.should_upgrade() and self.cycle.response_complete:
            self.allowance.answered()  # before all of it was here

    def on_response_complete(self) -> None:
        """Go on to the next request: this one is answered."""
        if self.pipeline:
            self._answering = self.pipeline[-1][0]
        super().on_response_complete()

    def answering(self) -> Any:
        """The first request that is not answered; uvicorn would tell only the last that its peer has gone."""
        return self._answering

    def _upgrade(self, *, is_last: bool) -> None:
        if self._should_upgrade():
            # Bytes behind the handshake, or answers still due before it, would be frames to one side only.
            if is_last and not self._owes_answer():
                self.handle_websocket_upgrade()
            else:
                self.end(BAD_REQUEST)
        else:
            # An upgrade to another protocol: the request is answered as if it had not asked, and is the last.
            self._is_ending = True
            self.cycle.keep_alive = False
