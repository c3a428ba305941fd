"""The dialect of the native socket: JSON objects in text frames, with a `ref` and an `id` in each command."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from native.frames import NativeError
from realtime import (
    BARRIER,
    InvalidFrameError,
    InvalidJsonError,
    JsonErrors,
    Payload,
    RealtimeError,
    Ref,
    Request,
    events,
    parse_json,
    ref_of,
)

SUBPROTOCOL = "relais.v1"

#: Commands that all later ones wait for.
_IDENTIFYING = frozenset({"auth", "auth.refresh"})
#: Commands that name a subscription by its topic, where it has no id.
_SUBSCRIBING = frozenset({"subscribe", "unsubscribe"})


class Asked(NamedTuple):
    """The `ref` and `id` of a command, which come back in its answer, so that the client finds it."""

    ref: Ref = None
    #: The subscription that the command is about.
    id: Ref = None


NOBODY_ASKED = Asked()


@dataclass(frozen=True)
class NativeDialect(JsonErrors):
    """The dialect of `/ws/`."""

    def subprotocol(self, offered: Sequence[str]) -> str | None:
        return SUBPROTOCOL if SUBPROTOCOL in offered else None

    def read(self, payload: Payload) -> Request:
        if isinstance(payload, bytes):
            raise InvalidJsonError("Binary frames are not understood.")
        fields = parse_json(payload)
        said = fields.get("type")
        name = said if isinstance(said, str) else ""  # a client may send any JSON value there
        ref = id_ = flaw = None
        try:
            ref = ref_of(fields)
            id_ = _id_of(name, fields)
        except InvalidFrameError as error:
            flaw = error
        return Request(said, fields, Asked(ref, id_), _lane(name, id_, fields), flaw)

    def error(self, error: RealtimeError, ref: Any) -> Payload | None:
        asked: Asked = ref or NOBODY_ASKED
        return events.encode(NativeError(**error.as_fields(), ref=asked.ref, id=asked.id))


def _id_of(name: str, fields: dict[str, Any]) -> Ref:
    id_ = ref_of(fields, "id")
    if id_ is None and name in _SUBSCRIBING:
        return ref_of(fields, "topic")
    return id_


def _lane(name: str, id_: Ref, fields: dict[str, Any]) -> Hashable:
    """A command's lane: commands about one subscription or one conversation are obeyed in order."""
    if name in _IDENTIFYING:
        return BARRIER
    if id_ is not None:
        return "id", id_
    conversation_id = fields.get("conversation_id")
    if isinstance(conversation_id, int):
        return conversation_id
    return name
