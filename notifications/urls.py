"""The paths of notifications, to be included at the root."""

from __future__ import annotations

from django.urls import path, register_converter

from notifications import api
from realtime.converters import IdConverter

register_converter(IdConverter, "notification_id")

urlpatterns = [
    path("api/notifications/", api.InboxView.as_view(), name="notifications"),
    path("api/notifications/read-all/", api.ReadAllView.as_view(), name="notifications-read-all"),
    path("api/notifications/unread-count/", api.UnreadCountView.as_view(), name="notifications-unread-count"),
    path(
        "api/notifications/<notification_id:notification_id>/read/",
        api.ReadView.as_view(),
        name="notification-read",
    ),
]
