"""The chat's socket. Any name is routed, so that one which is no id is refused like an unknown id."""

from django.urls import path

from chat.consumers import ChatConsumer

websocket_urlpatterns = [path("ws/chat/<str:conversation_id>/", ChatConsumer.as_asgi())]  # type: ignore[arg-type]  # typed for views only
