"""The registry of kinds of notifications: their names, data and words.

An app adds a kind in its `notification_kinds.py`, which is found like `admin.py`:

    register(Kind("invoice_due", title=_("Invoice"), message=_("Invoice %(id)s is due"), data={"id": int}))
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from notifications.errors import InvalidDataError, UnknownKindError
from notifications.payload import clean_data
from notifications.texts import Text, render
from realtime import Event

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise

#: Names that no kind may have: as types on the socket they have another meaning.
RESERVED = frozenset({"ack", "auth.refreshed", "error", "hello", "pong", "resync", "subscribed"})

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}\Z")
_kinds: dict[str, Kind] = {}
_JSON_TYPES = {
    int: "integer",
    float: "number",
    str: "string",
    bool: "boolean",
    list: "array",
    dict: "object",
}


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of notification; its words are lazy translations with `%(named)s` placeholders."""

    name: str
    title: StrOrPromise
    message: StrOrPromise
    #: The members that the data must have, with the JSON types of their values; other members are welcome.
    data: Mapping[str, type] = field(default_factory=dict)
    #: The text in place of a placeholder without a value.
    neutral: Mapping[str, StrOrPromise] = field(default_factory=dict)

    @property
    def known_fields(self) -> dict[str, Any]:
        """The JSON Schema of the fields of its notifications, as far as the kind knows them."""
        words = self.text({}, language=settings.LANGUAGE_CODE)
        return {
            "title": {"examples": [words.title]},
            "message": {"examples": [words.message]},
            "data": {
                "type": "object",
                "properties": {name: {"type": _JSON_TYPES[kind]} for name, kind in self.data.items()},
                "required": list(self.data),
            },
        }

    def text(self, values: Mapping[str, object], *, language: str) -> Text:
        """The title and message in a language, with the placeholders filled from `values`."""
        return render(self.title, self.message, values=values, neutral=self.neutral, language=language)

    def clean(self, data: object) -> dict[str, Any]:
        """The data as it may be stored; raises InvalidDataError if it lacks what this kind requires."""
        cleaned = clean_data(data)
        for name, expected in self.data.items():
            if name not in cleaned:
                raise InvalidDataError(f"data.{name} is missing.")
            if not _fits(cleaned[name], expected):
                raise InvalidDataError(f"data.{name} must be of type {expected.__name__}.")
        return cleaned


def register(kind: Kind) -> Kind:
    """Register a kind; no other kind and no event type may have its name."""
    if not _NAME.match(kind.name):
        raise ImproperlyConfigured(
            f"{kind.name!r} is no name for a kind: expected lower case like 'invoice_due'"
        )
    if _kinds.get(kind.name, kind) != kind:
        raise ImproperlyConfigured(f"The kind {kind.name!r} is registered twice")
    if kind.name in RESERVED or kind.name in event_types():
        raise ImproperlyConfigured(f"{kind.name!r} is the type of another event and cannot be a kind")
    _kinds[kind.name] = kind
    return kind


def get(name: str) -> Kind:
    """The kind of a name; raises UnknownKindError."""
    try:
        return _kinds[name]
    except KeyError:
        raise UnknownKindError from None


def is_registered(name: str) -> bool:
    return name in _kinds


def registered() -> Iterator[Kind]:
    """All kinds, in the order of their registration."""
    yield from _kinds.values()


def event_types() -> set[str]:
    """The types of all events declared so far, except those of notifications."""
    found, waiting = set(), [Event]
    while waiting:
        for event in waiting.pop().__subclasses__():
            if event.__struct_config__.tag is not None and not getattr(event, "is_notification", False):
                found.add(str(event.__struct_config__.tag))
                waiting.append(event)
    return found


def _fits(value: object, expected: type) -> bool:
    if isinstance(value, bool):
        return expected is bool
    return isinstance(value, (int, float) if expected is float else expected)
