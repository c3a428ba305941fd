"""The route of the typing socket."""

from django.urls import path

from typing_indicator.consumers import TypingIndicatorConsumer

websocket_urlpatterns = [path("ws/typing/<str:conversation_id>/", TypingIndicatorConsumer.as_asgi())]  # type: ignore[arg-type]  # typed for views only
