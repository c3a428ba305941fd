"""The dialect of the guide's sockets: JSON objects in text frames.

A page copied from the guide shows or reacts to whatever it receives, so it is sent nothing that the guide
does not know. A client opts in to the rest: by `?v=1`, by `?since=`, by the subprotocol, or by using
something that the guide does not have, such as a `ref`, which comes back in the answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from realtime import (
    InvalidFrameError,
    InvalidJsonError,
    JsonErrors,
    Payload,
    RealtimeError,
    Request,
    parse_json,
    ref_of,
)

SUBPROTOCOL = "relais.v1"


@dataclass(frozen=True)
class GuideDialect(JsonErrors):
    """The dialect of one of the guide's sockets."""

    #: The command of a frame without a `type`.
    default_command: str | None = None
    #: Whether a client that has not opted in is sent errors. The page of the notifications would show them to
    #: its user.
    tells_errors: bool = True
    #: Whether the client has opted in to frames that the guide does not know.
    is_v1: bool = False

    def opted_in(self) -> GuideDialect:
        """This dialect for a client that has opted in."""
        return GuideDialect(self.default_command, self.tells_errors, is_v1=True)

    def subprotocol(self, offered: Sequence[str]) -> str | None:
        return SUBPROTOCOL if SUBPROTOCOL in offered else None

    def read(self, payload: Payload) -> Request:
        if isinstance(payload, bytes):
            raise InvalidJsonError("Binary frames are not understood.")
        fields = parse_json(payload)
        name = fields.get("type", self.default_command)
        try:
            return Request(name, fields, ref_of(fields))
        except InvalidFrameError as flaw:
            return Request(name, fields, flaw=flaw)

    def error(self, error: RealtimeError, ref: Any) -> Payload | None:
        return super().error(error, ref) if self.is_v1 or self.tells_errors else None

    def restarting(self, error: RealtimeError) -> Payload | None:
        return super().error(error, None) if self.is_v1 else None


def opts_in(query: Mapping[str, str], subprotocols: Sequence[str]) -> bool:
    """Whether the handshake of a client opts in to frames that the guide does not know."""
    return query.get("v") == "1" or "since" in query or SUBPROTOCOL in subprotocols
