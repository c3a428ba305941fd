"""The route of the chat's socket. It takes any text: one that is no id is refused like an unknown id."""

from django.urls import path

from chat.consumers import ChatConsumer

websocket_urlpatterns = [path("ws/chat/<str:conversation_id>/", ChatConsumer.as_asgi())]  # type: ignore[arg-type]  # typed for views only
