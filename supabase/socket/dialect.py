"""The dialect of the socket, in either version."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from realtime import (
    INLINE,
    Payload,
    RateLimitedError,
    RealtimeError,
    Refusal,
    Request,
)
from supabase.errors import reason_of
from supabase.socket.frames import PHOENIX, Push, Version, text_of

#: Closed by the server: clients come back after any of these; the numbers are for people.
_CLOSE = {"restarting": 1012, "too_big": 1009, "rate_limited": 1008}


@dataclass(frozen=True, slots=True)
class SupabaseDialect:
    """The dialect of `/realtime/v1/websocket`."""

    version: Version

    def subprotocol(self, offered: Sequence[str]) -> str | None:
        return None

    def read(self, payload: Payload) -> Request:
        push = self.version.read(payload)
        return Request(push.event, push, push, INLINE if push.topic == PHOENIX else push.topic)

    def error(self, error: RealtimeError, ref: Any) -> Payload | None:
        """A reply to the push; frames that nobody can answer are passed over."""
        if not isinstance(ref, Push) or ref.ref is None:
            return None
        key = "reason" if ref.event in ("phx_join", "presence") else "error"
        return self.reply(ref, "error", text_of({key: reason_of(error)}))

    def close_code(self, error: RealtimeError) -> int:
        return _CLOSE.get(error.code, 1008 if error.status < 500 else 1011)

    def restarting(self, error: RealtimeError) -> Payload | None:
        return None

    def refusal(self, error: RealtimeError) -> Refusal | None:
        headers = [(b"content-type", b"application/json")]
        if error.retry_after_ms is not None and isinstance(error, RateLimitedError):
            headers.append((b"retry-after", str(-(-error.retry_after_ms // 1000)).encode()))
        return Refusal(error.status, headers, text_of({"error": error.message}).encode())

    def reply(self, push: Push, status: str, response: str = "{}") -> Payload:
        """The answer to a push."""
        payload = f'{{"status":"{status}","response":{response}}}'
        return self.version.write(push.topic, "phx_reply", payload, ref=push.ref, join_ref=push.join_ref)
