"""What notifications tell on `user.<id>`, and how each kind of client is told it.

The field names are the wire's, and frozen: `docs/protocols/native.md`.
"""

from __future__ import annotations

import datetime as dt
from functools import cache
from typing import Any, ClassVar

import msgspec

from notifications import kinds
from notifications.models import Notification
from realtime.events import Delivery, Event
from realtime.hub.rendering import Framing


class Notified(Event, frozen=True):
    """The guide's frame (its type is the kind), with what we add after it."""

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
    """Entries were read on one device; the others follow. Without ids, all of them were."""

    ids: list[int] | None
    unread_count: int
    seq: int = 0


class _GuideFraming:
    """The guide's page shows every frame it gets: so it gets notifications and nothing else."""

    def frame(self, delivery: Delivery) -> str | None:
        return delivery.body if kinds.is_registered(delivery.type) else None

    def not_for(self, delivery: Delivery) -> int | None:
        return None


class _V1Framing(_GuideFraming):
    """Also what keeps several devices of one user alike."""

    def frame(self, delivery: Delivery) -> str | None:
        return delivery.body if delivery.type == "notifications_read" else super().frame(delivery)


GUIDE_FRAMING: Framing = _GuideFraming()
V1_FRAMING: Framing = _V1Framing()
