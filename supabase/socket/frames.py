"""Frames of the socket: what a client pushes, and what it is told, in both versions of the protocol.

| version | text frames | binary frames |
| --- | --- | --- |
| 1.0.0 | `{"topic", "event", "payload", "ref", "join_ref"}` | none |
| 2.0.0 | `[join_ref, ref, topic, event, payload]` | broadcasts: kind 3 from the client, kind 4 to it |
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import msgspec

from realtime import InvalidFrameError, InvalidJsonError, Payload

#: What stands in front of the names of channels.
PREFIX = "realtime:"
#: The topic of heartbeats.
PHOENIX = "phoenix"

#: The kinds of binary frames.
PUSHED, BROADCAST = 3, 4
#: How the payload of one is encoded.
RAW, JSON = 0, 1
#: Bytes of the longest part of a binary frame besides its payload: its length is one byte.
MAX_PART = 255


class Broadcast(NamedTuple):
    """A message to the members of a channel: any JSON as text, or bytes."""

    event: str
    payload: msgspec.Raw | bytes
    #: A JSON object as text, if there is any.
    meta: msgspec.Raw | None = None

    @property
    def is_raw(self) -> bool:
        """Whether the payload is bytes rather than JSON."""
        return type(self.payload) is bytes


class Push(NamedTuple):
    """What a client pushes."""

    topic: str
    event: str
    #: An object; of `broadcast` in a binary frame it is None, and `message` says what was sent.
    payload: Any
    ref: str | None
    join_ref: str | None
    message: Broadcast | None = None


class Version(Protocol):
    """One version of the protocol."""

    def read(self, frame: Payload) -> Push:
        """What a frame says; an InvalidJsonError or InvalidFrameError for one that says nothing."""

    def write(
        self, topic: str, event: str, payload: str, *, ref: str | None = None, join_ref: str | None = None
    ) -> Payload:
        """A frame with a payload that is the text of a JSON object."""

    def broadcast(self, topic: str, message: Broadcast) -> Payload | None:
        """The frame of a broadcast; None where the version has none for it."""


class _Object(msgspec.Struct):
    topic: str
    event: str
    ref: str | int | None
    payload: Any = msgspec.UNSET
    join_ref: str | int | None = None


_OBJECT = msgspec.json.Decoder(_Object)
_ARRAY = msgspec.json.Decoder(tuple[str | int | None, str | int | None, str, str, Any])
_encode = msgspec.json.Encoder().encode


def text_of(value: Any) -> str:
    """A value as JSON."""
    return _encode(value).decode()


@dataclass(frozen=True, slots=True)
class FirstVersion:
    """1.0.0: objects in text frames."""

    def read(self, frame: Payload) -> Push:
        if isinstance(frame, bytes):
            raise InvalidJsonError("Version 1.0.0 has no binary frames.")
        said = _decoded(_OBJECT, frame)
        payload = {} if said.payload is msgspec.UNSET else said.payload
        return Push(said.topic, said.event, payload, _ref(said.ref), _ref(said.join_ref))

    def write(
        self, topic: str, event: str, payload: str, *, ref: str | None = None, join_ref: str | None = None
    ) -> Payload:
        said = {"topic": topic, "event": event, "payload": msgspec.Raw(payload.encode()), "ref": ref}
        return text_of(said)

    def broadcast(self, topic: str, message: Broadcast) -> Payload | None:
        return None if message.is_raw else self.write(topic, "broadcast", _as_text(message))


@dataclass(frozen=True, slots=True)
class SecondVersion:
    """2.0.0: arrays in text frames, and broadcasts in binary ones."""

    def read(self, frame: Payload) -> Push:
        if isinstance(frame, bytes):
            return _read_binary(frame)
        join_ref, ref, topic, event, payload = _decoded(_ARRAY, frame)
        return Push(topic, event, payload, _ref(ref), _ref(join_ref))

    def write(
        self, topic: str, event: str, payload: str, *, ref: str | None = None, join_ref: str | None = None
    ) -> Payload:
        return f"[{text_of(join_ref)},{text_of(ref)},{text_of(topic)},{text_of(event)},{payload}]"

    def broadcast(self, topic: str, message: Broadcast) -> Payload | None:
        if not message.is_raw:
            return self.write(topic, "broadcast", _as_text(message))
        parts = [topic.encode(), message.event.encode(), b"" if message.meta is None else bytes(message.meta)]
        if max(map(len, parts)) > MAX_PART:
            return None
        head = bytes([BROADCAST, *map(len, parts), RAW])
        return head + b"".join(parts) + bytes(message.payload)


VERSIONS: Mapping[str, Version] = {"1.0.0": FirstVersion(), "2.0.0": SecondVersion()}


def _as_text(message: Broadcast) -> str:
    said: dict[str, Any] = {"type": "broadcast", "event": message.event, "payload": message.payload}
    if message.meta is not None:
        said["meta"] = message.meta
    return text_of(said)


def _read_binary(frame: bytes) -> Push:
    """A broadcast: seven bytes of lengths and kinds, then the parts one after the other."""
    if len(frame) < 7 or frame[0] != PUSHED:
        raise InvalidFrameError("Of binary frames only broadcasts are understood: kind 3.")
    lengths, encoding, at = frame[1:6], frame[6], 7
    parts = []
    for length in lengths:
        parts.append(frame[at : at + length])
        at += length
    if at > len(frame) or encoding not in (RAW, JSON):
        raise InvalidFrameError("The binary frame is shorter than it says, or has an unknown encoding.")
    join_ref, ref, topic, event, meta = (_utf8(part) for part in parts)
    payload = frame[at:]
    message = Broadcast(
        event, _json(payload) if encoding == JSON else payload, _json(meta.encode()) if meta else None
    )
    return Push(topic, "broadcast", None, ref or None, join_ref or None, message)


def broadcast_in(payload: Any) -> Broadcast:
    """The broadcast in a text frame: `{"type": "broadcast", "event": …, "payload": …}`."""
    if not isinstance(payload, dict) or not isinstance(payload.get("event"), str):
        raise InvalidFrameError("A broadcast has an `event`, which is a text.")
    return Broadcast(payload["event"], msgspec.Raw(_encode(payload.get("payload", {}))))


def _decoded(decoder: Any, frame: str) -> Any:
    try:
        return decoder.decode(frame)
    except msgspec.ValidationError as error:
        raise InvalidFrameError(f"The frame has not the shape of a push: {error}") from None
    except (msgspec.DecodeError, RecursionError, ValueError):
        raise InvalidJsonError from None


def _ref(given: str | int | None) -> str | None:
    return None if given is None else str(given)


def _utf8(part: bytes) -> str:
    try:
        return part.decode()
    except UnicodeDecodeError:
        raise InvalidFrameError("A part of the binary frame is no UTF-8.") from None


def _json(text: bytes) -> msgspec.Raw:
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, ValueError):
        raise InvalidJsonError("The payload of the broadcast is no JSON.") from None
    return msgspec.Raw(text)


__all__ = [
    "PHOENIX",
    "PREFIX",
    "VERSIONS",
    "Broadcast",
    "Push",
    "Version",
    "broadcast_in",
    "text_of",
]
