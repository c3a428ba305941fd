"""A dialect is one protocol over WebSockets: how frames become requests, and errors become frames.

It is a value: it awaits nothing, reads no clock and knows no database. What a request does is in the table of
commands of the consumer; what a subscriber is told is a rendering.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Annotated, Any, Final, NamedTuple, Protocol

from msgspec import Meta

from realtime import events
from realtime.errors import RealtimeError
from realtime.events import Event
from realtime.fields import Count, Ref
from realtime.wire.frames import Payload

#: The lane of a request that is answered at once, whatever else is under way: a heartbeat.
INLINE: Final = object()
#: The lane of a request that all later ones wait for: authentication.
BARRIER: Final = object()


class Request(NamedTuple):
    """One frame of a client, as its dialect understands it."""

    #: The command it asks for; a client may write anything there.
    name: object
    #: What comes with it; the command says what it must be.
    fields: Any
    #: What the client called it, for the answer.
    ref: Any = None
    #: Requests of a lane are obeyed one after the other, and lanes beside each other.
    lane: Hashable = ""
    #: What is wrong with it, although it could be read: the answer, in the place of what it asks for.
    flaw: RealtimeError | None = None


class Refusal(NamedTuple):
    """The answer to a handshake that is refused before accept."""

    status: int
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes


async def deny(scope: dict[str, Any], send: Callable[[Any], Awaitable[None]], refusal: Refusal) -> None:
    """Refuse a handshake before accept: in full where the server can say it, else with its plain 403."""
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close"})
        return
    headers = [*refusal.headers, (b"content-length", str(len(refusal.body)).encode())]
    await send({"type": "websocket.http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": refusal.body})


class Dialect(Protocol):
    """What a connection asks of a protocol."""

    def subprotocol(self, offered: Sequence[str]) -> str | None:
        """The subprotocol that the handshake accepts, of those that the client offers."""

    def read(self, payload: Payload) -> Request:
        """The request in a frame; a RealtimeError says why there is none."""

    def error(self, error: RealtimeError, ref: Any) -> Payload | None:
        """The frame that answers a request, or comes before a close; None where the client knows none."""

    def close_code(self, error: RealtimeError) -> int:
        """The code with which an error closes the socket."""

    def restarting(self, error: RealtimeError) -> Payload | None:
        """The frame before the close of a server that stops."""

    def refusal(self, error: RealtimeError) -> Refusal | None:
        """How a socket is refused before accept; None where it is accepted, told why, and closed."""


#: One of the codes of `docs/errors.md`; the contract lists those that there are.
ErrorCode = Annotated[str, Meta(extra_json_schema={"x-closed-list": "error codes"})]


class ErrorTold(Event, tag="error", frozen=True):
    """What was asked for was refused, or the socket is about to be closed: `code` says why."""

    code: ErrorCode
    #: For people; it may change.
    message: Annotated[str, Meta(description="For people; it may change.", examples=["Unknown type 'sned'."])]
    retryable: Annotated[bool, Meta(description="Whether the same may work later.")]
    retry_after_ms: Annotated[Count | None, Meta(description="When that is.", examples=[None])]
    ref: Ref


class JsonErrors:
    """Base of a dialect whose errors are our own JSON, and whose sockets are refused after accept.

    After, because a browser sees nothing of a handshake that fails but the code 1006.
    """

    __slots__ = ()

    def subprotocol(self, offered: Sequence[str]) -> str | None:
        return None

    def error(self, error: RealtimeError, ref: Any) -> Payload | None:
        return events.encode(ErrorTold(**error.as_fields(), ref=ref))

    def close_code(self, error: RealtimeError) -> int:
        return error.close_with

    def restarting(self, error: RealtimeError) -> Payload | None:
        return self.error(error, None)

    def refusal(self, error: RealtimeError) -> Refusal | None:
        return None
