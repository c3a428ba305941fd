"""A dialect is one protocol over WebSockets: it turns frames into requests, and errors into frames.

It is a value: it awaits nothing, reads no clock and knows no database. The consumer's table of commands says
what a request does; renderings make the frames of events.
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
    """A client's frame, as its dialect understands it."""

    #: The name of the command; a client may send any JSON value as the name.
    name: object
    #: The fields of the request; the command says what they must be.
    fields: Any
    #: The client's own name for the request, which comes back in the answer.
    ref: Any = None
    #: Requests of one lane are obeyed one after the other; lanes run beside each other.
    lane: Hashable = ""
    #: The fault of a frame that could be read; it is the answer, and the command is not obeyed.
    flaw: RealtimeError | None = None


class Refusal(NamedTuple):
    """The answer to a handshake that is refused before accept."""

    status: int
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes


async def deny(scope: dict[str, Any], send: Callable[[Any], Awaitable[None]], refusal: Refusal) -> None:
    """Refuse a handshake before accept: in full where the server can say it, else with its plain 403.

    Daphne and uvicorn can; Daphne by its adapter.
    """
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close"})
        return
    headers = [*refusal.headers, (b"content-length", str(len(refusal.body)).encode())]
    await send({"type": "websocket.http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": refusal.body})


class Dialect(Protocol):
    """The interface of a protocol, as a connection uses it."""

    def subprotocol(self, offered: Sequence[str]) -> str | None:
        """The subprotocol that the handshake accepts, of those that the client offers."""

    def read(self, payload: Payload) -> Request:
        """The request in a frame; raises RealtimeError where there is none."""

    def error(self, error: RealtimeError, ref: Any) -> Payload | None:
        """The frame of an error, as an answer or before a close; None where the protocol has none."""

    def close_code(self, error: RealtimeError) -> int:
        """The code with which an error closes the socket."""

    def restarting(self, error: RealtimeError) -> Payload | None:
        """The frame before the close of a server that stops."""

    def refusal(self, error: RealtimeError) -> Refusal | None:
        """The refusal of a socket before accept; None to accept it, send the error, and close it."""


#: One of the codes of `docs/errors.md`; the contract lists them all.
ErrorCode = Annotated[str, Meta(extra_json_schema={"x-closed-list": "error codes"})]


class ErrorTold(Event, tag="error", frozen=True):
    """A request was refused, or the socket is about to be closed: `code` says why."""

    code: ErrorCode
    #: For people; it may change.
    message: Annotated[str, Meta(description="For people; it may change.", examples=["Unknown type 'sned'."])]
    retryable: Annotated[bool, Meta(description="Whether the same may work later.")]
    retry_after_ms: Annotated[Count | None, Meta(description="When that is.", examples=[None])]
    ref: Ref


class JsonErrors:
    """Base of dialects with JSON errors, whose sockets are refused after accept.

    After accept, because of a failed handshake a browser shows only the code 1006.
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
