"""The dialect of the socket: JSON objects with a `type`, and a `uid` that comes back in the answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from directus.errors import InvalidPayloadError, told
from realtime import (
    INLINE,
    Payload,
    RealtimeError,
    Refusal,
    Request,
    events,
    parse_json,
)

#: Characters of a `uid`: it is kept, and repeated.
MAX_UID = 255
#: Frames whose errors name them; those of all others are the `server`'s.
_TYPES = {"auth": "auth", "subscribe": "subscribe", "unsubscribe": "unsubscribe", "items": "items"}


class Asked(NamedTuple):
    """What an answer repeats: the type of the frame, and its `uid`, a text or a number; None for none."""

    type: str = "server"
    uid: str | int | float | None = None


@dataclass(frozen=True, slots=True)
class DirectusDialect:
    """The dialect of `/websocket`."""

    def subprotocol(self, offered: Sequence[str]) -> str | None:
        return None

    def read(self, payload: Payload) -> Request:
        try:
            text = payload.decode() if isinstance(payload, bytes) else payload
            fields = parse_json(text)
        except (RealtimeError, UnicodeDecodeError):
            raise InvalidPayloadError("a frame is a JSON object") from None
        name, uid = fields.get("type"), fields.get("uid")
        flaw = None
        if "uid" in fields and not _is_uid(uid):
            flaw, uid = (
                InvalidPayloadError(f"a uid is a text of up to {MAX_UID} characters, or a number"),
                None,
            )
        if not isinstance(name, str):
            flaw, name = InvalidPayloadError("a frame has a type, which is a text"), ""
        # In order: no answer overtakes the one before it. A pong has none, and must not wait.
        lane = INLINE if name == "pong" else "frames"
        return Request(name, fields, Asked(_TYPES.get(name, "server"), uid), lane, flaw)

    def error(self, error: RealtimeError, ref: Any) -> Payload | None:
        asked: Asked = ref or Asked()
        said = told(error)
        details = {"code": said.code, "message": said.message, **said.extensions}
        return frame(asked.type, asked.uid, status="error", error=details)

    def close_code(self, error: RealtimeError) -> int:
        if error.code == "restarting":
            return 1012
        if error.status == 413:
            return 1009
        if error.status in (429, 503):
            return 1013
        return 1008 if error.status < 500 else 1011

    def restarting(self, error: RealtimeError) -> Payload | None:
        return None

    def refusal(self, error: RealtimeError) -> Refusal | None:
        status = error.status if error.status in (401, 403, 429) else 503 if error.status >= 500 else 401
        return Refusal(status, (), b"")


def frame(kind: str, uid: str | float | None, **members: Any) -> str:
    """A frame of the server; a member that is None is left out, and so is a `uid` that was not given."""
    said = {"type": kind, **{name: value for name, value in members.items() if value is not None}}
    if uid is not None:
        said["uid"] = uid
    return events.encode(said)


def _is_uid(given: Any) -> bool:
    if isinstance(given, str):
        return len(given) <= MAX_UID
    return isinstance(given, int | float) and not isinstance(given, bool)
