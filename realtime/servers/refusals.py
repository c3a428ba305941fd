"""Refusals: the answers of a server that ends a connection before any application is asked."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from http import HTTPStatus

from realtime import errors
from realtime.errors import RealtimeError
from realtime.http.problems import retry_after
from realtime.http.shapes import PROBLEM, Shape, shape_of
from realtime.servers.endings import Reason


@dataclass(frozen=True, eq=False)
class Refusal:
    """The reason for which a connection is ended, and the answer that its peer gets."""

    reason: Reason
    error: RealtimeError
    #: Whether the peer is still sending: it needs a moment to notice that it should read instead.
    lingers: bool = True

    def answer(self, target: bytes = b"") -> bytes:
        """The whole response, as the clients of this target read an error, and the end of the connection."""
        path = target.partition(b"?")[0].decode("latin1")
        return _answer(self, shape_of(path) or PROBLEM)


class RefusedError(Exception):
    """A request is refused; raised while a server parses it, and caught where the server got the bytes."""

    def __init__(self, refusal: Refusal) -> None:
        self.refusal = refusal
        super().__init__(refusal.reason)


@functools.cache
def _answer(refusal: Refusal, shape: Shape) -> bytes:
    error = refusal.error
    status, told = shape.told(error)
    body = json.dumps(told).encode()
    head = [
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
        f"Content-Type: {shape.media_type}",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
        "Connection: close",
    ]
    if error.retry_after_ms is not None:
        head.append(f"Retry-After: {retry_after(error.retry_after_ms)}")
    return "\r\n".join([*head, "", ""]).encode() + body


BAD_REQUEST = Refusal("bad_request", errors.BadRequestError())
HEAD_TOO_BIG = Refusal("head_too_big", errors.HeadTooBigError())
TARGET_TOO_LONG = Refusal("head_too_big", errors.TargetTooLongError())
BODY_TOO_BIG = Refusal("body_too_big", errors.TooBigError("The body is larger than this server accepts."))
UNFINISHED_HEAD = Refusal("unfinished_head", errors.TooSlowError(), lingers=False)
UNFINISHED_BODY = Refusal("unfinished_body", errors.TooSlowError(), lingers=False)
UNREAD_ANSWER = Refusal("unread_answer", errors.TooSlowError(), lingers=False)
#: All places are taken by connections that are being answered.
CONNECTIONS = Refusal("connections", errors.OverloadedError(retry_after_ms=2_000), lingers=False)
CONNECTIONS_PER_ADDRESS = Refusal(
    "connections_per_address",
    errors.RateLimitedError("Too many connections from this address.", retry_after_ms=2_000),
    lingers=False,
)
#: Too many requests before the first answer: the earlier ones are answered, this one is not.
PIPELINED = Refusal("pipelined", errors.BadRequestError())
BODIES = Refusal("bodies", errors.OverloadedError(retry_after_ms=2_000))
