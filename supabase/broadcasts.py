"""Broadcasts: messages to the members of a channel who are there now; nothing of them is stored."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import msgspec

from realtime import Delivery, Event, Frame, foreign_topic, publish_now
from supabase.socket.frames import Broadcast, Version


class Broadcasted(Event, tag="supabase_broadcast", frozen=True):
    """A broadcast on its way to the members of a channel."""

    #: The topic as clients write it.
    topic: str
    event: str
    #: JSON; bytes as Base64.
    payload: msgspec.Raw
    is_raw: bool = False
    meta: msgspec.Raw = msgspec.Raw(b"null")
    #: The name of the membership that sent it, where that is not to have it back.
    but: str = ""


def topic_of(name: str, *, private: bool) -> str:
    """The topic of a channel's broadcasts. A private channel and a public one of its name have nothing in
    common."""
    return foreign_topic("supabase.private" if private else "supabase.public", name)


def tell(name: str, topic: str, message: Broadcast, *, private: bool, but: str = "") -> None:
    """Tell a broadcast to the members of a channel, in all processes."""
    if isinstance(message.payload, msgspec.Raw):
        payload, is_raw = message.payload, False
    else:
        payload, is_raw = msgspec.Raw(b'"' + base64.b64encode(message.payload) + b'"'), True
    meta = msgspec.Raw(b"null") if message.meta is None else message.meta
    event = Broadcasted(topic=topic, event=message.event, payload=payload, is_raw=is_raw, meta=meta, but=but)
    publish_now(topic_of(name, private=private), event)


_TOLD = msgspec.json.Decoder(Broadcasted)
_BYTES = msgspec.json.Decoder(bytes)


@lru_cache(maxsize=16)
def _read(body: str) -> tuple[Broadcasted, Broadcast]:
    """A broadcast that was told; kept for the members who speak another version."""
    told = _TOLD.decode(body)
    payload = _BYTES.decode(told.payload) if told.is_raw else told.payload
    return told, Broadcast(told.event, payload, None if bytes(told.meta) == b"null" else told.meta)


@dataclass(frozen=True, slots=True)
class BroadcastFrames:
    """The rendering for all members who speak one version of the protocol."""

    version: Version

    def render(self, write: Sequence[Delivery]) -> Iterable[Frame]:
        for delivery in write:
            told, message = _read(delivery.body)
            payload = self.version.broadcast(told.topic, message)
            if payload is not None:
                yield Frame(payload, {told.but} if told.but else ())
