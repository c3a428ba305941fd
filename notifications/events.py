"""The events of notifications on `user.<id>`, and the rendering of each kind of client.

The field names are the wire's, and frozen: `docs/protocols/guide.md`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

import msgspec

from notifications import kinds
from notifications.models import Notification
from realtime import Delivery, Event, Frame


class Notified(Event, frozen=True):
    """A notification: the guide's frame, whose type is the kind, with our fields after it."""

    is_notification: ClassVar[bool] = True

    title: str
    message: str
    data: dict[str, Any]
    id: int
    created_at: dt.datetime
    count: int = 1
    seq: int = 0

    @classmethod
    def of(cls, notification: Notification) -> Notified:
        return _event_of(notification.kind)(
            title=notification.title,
            message=notification.message,
            data=notification.data,
            id=notification.pk,
            created_at=notification.created_at,
            count=notification.count,
        )


@cache  # as many as there are kinds
def _event_of(kind: str) -> type[Notified]:
    return msgspec.defstruct("NotifiedOfKind", [], bases=(Notified,), tag=kind, frozen=True, kw_only=True)  # type: ignore[return-value]  # typed as any Struct


class NotificationsRead(Event, tag="notifications_read", frozen=True):
    """Entries were read on one device, which the others show too; `ids` is None when all were read."""

    ids: list[int] | None
    unread_count: int
    seq: int = 0


@dataclass(frozen=True, slots=True)
class NotificationsRendering:
    """Renders notifications; what was read only for a client that opted in: the guide's page shows all."""

    tells_what_was_read: bool

    def render(self, write: Sequence[Delivery]) -> Iterable[Frame]:
        return [Frame(event.body) for event in write if self._tells(event.type)]

    def _tells(self, event_type: str) -> bool:
        if event_type == "notifications_read":
            return self.tells_what_was_read
        return kinds.is_registered(event_type)


GUIDE_RENDERING = NotificationsRendering(tells_what_was_read=False)
V1_RENDERING = NotificationsRendering(tells_what_was_read=True)
