"""The route of the notifications socket."""

from django.urls import path

from notifications.consumers import NotificationConsumer

websocket_urlpatterns = [
    path("ws/notifications/", NotificationConsumer.as_asgi()),  # type: ignore[arg-type]  # typed for views only
]
