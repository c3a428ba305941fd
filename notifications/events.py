"""The events of notifications on `user.<id>`, and the renderings of sockets.

The field names are the wire's, and frozen: `docs/protocols/guide.md`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, ClassVar, TypeVar

import msgspec
from msgspec import Meta

from notifications import kinds
from notifications.models import Notification
from notifications.texts import MAX_MESSAGE_CHARACTERS, MAX_TITLE_CHARACTERS
from realtime import Count, Delivery, Event, Frame, Id, Moment, Seq

Title = Annotated[str, Meta(max_length=MAX_TITLE_CHARACTERS)]
Message = Annotated[str, Meta(max_length=MAX_MESSAGE_CHARACTERS)]
Data = Annotated[dict[str, Any], Meta(description="What it is about; the kind says what is in it.")]


class Notified(Event, frozen=True):
    """A notification, stored in the inbox as entry `id`. Its type is its kind; its words are for people."""

    is_notification: ClassVar[bool] = True

    title: Title
    message: Message
    data: Data
    id: Id
    created_at: Moment
    count: Annotated[Count, Meta(description="How often it happened since it was read.", examples=[1])] = 1
    seq: Seq = 0

    @classmethod
    def variants(cls) -> Iterable[type[Event]]:
        return [of_kind(kind.name, cls) for kind in kinds.registered()] if cls is Notified else (cls,)

    @classmethod
    def of(cls, notification: Notification) -> Notified:
        return of_kind(notification.kind, cls)(
            title=notification.title,
            message=notification.message,
            data=notification.data,
            id=notification.pk,
            created_at=notification.created_at,
            count=notification.count,
        )


class Noticed(Event, frozen=True):
    """A notification that is shown and not stored: it has no id in the inbox, and no seq."""

    is_notification: ClassVar[bool] = True

    title: Title
    message: Message
    data: Data

    @classmethod
    def variants(cls) -> Iterable[type[Event]]:
        return [of_kind(kind.name, cls) for kind in kinds.registered()] if cls is Noticed else (cls,)


N = TypeVar("N", Notified, Noticed)


@cache  # as many as there are kinds, twice
def of_kind(kind: str, base: type[N]) -> type[N]:
    """The event class of a kind, stored or only shown."""
    known = kinds.get(kind).known_fields if kinds.is_registered(kind) else {}
    return msgspec.defstruct(  # type: ignore[return-value]  # typed as any Struct
        f"{base.__name__}_{kind}",
        [],
        bases=(base,),
        tag=kind,
        frozen=True,
        kw_only=True,
        module=__name__,
        namespace={"known_fields": known, "__doc__": base.__doc__},
    )


class NotificationsRead(Event, tag="notifications_read", frozen=True):
    """Entries were read, on this or another device. `ids` is null when all were."""

    ids: list[Id] | None
    unread_count: Count
    seq: Seq = 0


@dataclass(frozen=True, slots=True)
class NotificationsRendering:
    """Renders notifications; `notifications_read` only for clients that opted in, not the guide's page."""

    tells_what_was_read: bool

    def render(self, write: Sequence[Delivery]) -> Iterable[Frame]:
        return [Frame(event.body) for event in write if self._tells(event.type)]

    def _tells(self, event_type: str) -> bool:
        if event_type == "notifications_read":
            return self.tells_what_was_read
        return kinds.is_registered(event_type)


GUIDE_RENDERING = NotificationsRendering(tells_what_was_read=False)
V1_RENDERING = NotificationsRendering(tells_what_was_read=True)
