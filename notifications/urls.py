"""The paths of notifications, below /api/."""

from __future__ import annotations

from django.urls import path, register_converter

from notifications import api
from realtime import IdConverter

register_converter(IdConverter, "notification_id")

urlpatterns = [
    path("notifications/", api.InboxView.as_view(), name="notifications"),
    path("notifications/read-all/", api.ReadAllView.as_view(), name="notifications-read-all"),
    path("notifications/unread-count/", api.UnreadCountView.as_view(), name="notifications-unread-count"),
    path(
        "notifications/<notification_id:notification_id>/read/",
        api.ReadView.as_view(),
        name="notification-read",
    ),
]
