"""Events: `Event`, the base class of everything pushed to clients, and `Delivery`, one event on its way.

An event is encoded once, where it is born; from then on only its text travels. So `Delivery` holds
the text, and parses it only for the few readers that need its fields.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, NamedTuple, TypeVar

import msgspec
from django.utils import timezone

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder()

_TYPE_PREFIX = '{"type":"'
_WRITE_PREFIX = ',"write":"'


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """Base of everything pushed to a client; `type` is always the first member of its JSON.

    A subclass names its type with `tag="…"`. One that is kept in the log has a field `seq: int = 0`,
    which the log fills in.

    The docstring of a subclass is what the published contract says of it: it is written for clients.
    """

    #: JSON Schema of fields, by name, where more is known of them than their types say.
    known_fields: ClassVar[Mapping[str, Any]] = {}
    #: The serializers of fields that hold an answer of REST's, by name; None of one that is always null.
    shown_fields: ClassVar[Mapping[str, Any]] = {}

    @classmethod
    def variants(cls) -> Iterable[type[Event]]:
        """The classes that clients are sent: this one, or those of a family known when the apps are ready."""
        return (cls,)


E = TypeVar("E", bound=Event)


def declared_types() -> set[str]:
    """The types of all events whose classes are loaded."""
    kinds, found = [Event], set()
    while kinds:
        kind = kinds.pop()
        kinds += kind.__subclasses__()
        found.add(str(kind.__struct_config__.tag))
    return found


def encode(event: Event | dict[str, Any]) -> str:
    """The JSON text of an event, as every client will see it."""
    return _encoder.encode(event).decode()


def encode_text(text: str) -> str:
    """A text as a JSON string, with its quotes, as events contain it."""
    return _encoder.encode(text).decode()


def numbered(event: E, seq: int) -> E:
    """The same event at its place in the log."""
    return msgspec.structs.replace(event, seq=seq)


def is_durable(event: Event) -> bool:
    """Whether the log can keep an event: its class has a field for the number that the log gives it."""
    return "seq" in event.__struct_fields__


def require_seq(event: Event) -> None:
    """Raise TypeError for an event that the log cannot keep."""
    if not is_durable(event):
        raise TypeError(
            f"{type(event).__name__} has no seq: to log it, add the field `seq: int = 0` to its class;"
            " to tell it without keeping it, use publish_now"
        )


def now() -> dt.datetime:
    """The present time to the millisecond, which is all that JavaScript's `Date` can hold."""
    moment = timezone.now()
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


class Logged(NamedTuple):
    """An event as it travels between processes: its topic, its place (None: not kept), its text."""

    topic: str
    seq: int | None
    body: str


class Delivery:
    """One event being handed to the sockets of this process."""

    __slots__ = ("_fields", "body", "seq", "told_at", "topic")

    def __init__(self, topic: str, seq: int | None, body: str, told_at: float | None = None) -> None:
        self.topic = topic
        self.seq = seq
        self.body = body
        #: The clock when it was told; None where it was read from the log.
        self.told_at = told_at
        self._fields: dict[str, Any] | None = None

    @property
    def type(self) -> str:
        """The event's type, read without parsing: it is the first member by construction."""
        start = len(_TYPE_PREFIX)
        if not self.body.startswith(_TYPE_PREFIX):
            return ""
        return self.body[start : self.body.find('"', start)]

    @property
    def write(self) -> str:
        """The mark of the write that the event is part of; empty for an event that is a write by itself.

        An event class whose first field is `write: str` names it there, so that it is read without parsing.
        """
        start = self.body.find('"', len(_TYPE_PREFIX)) + 1
        if not self.body.startswith(_WRITE_PREFIX, start):
            return ""
        start += len(_WRITE_PREFIX)
        return self.body[start : self.body.find('"', start)]

    @property
    def fields(self) -> dict[str, Any]:
        """The parsed event; parsed at most once in this process."""
        if self._fields is None:
            self._fields = _decoder.decode(self.body)
        return self._fields
