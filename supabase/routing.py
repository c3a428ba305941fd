"""The WebSocket paths of the Supabase dialect: that of its client, and that of servers that people host."""

from django.urls import path

from supabase.socket.consumer import SupabaseConsumer

websocket_urlpatterns = [
    path("realtime/v1/websocket", SupabaseConsumer.as_asgi()),  # type: ignore[arg-type]  # typed for views only
    path("socket/websocket", SupabaseConsumer.as_asgi()),  # type: ignore[arg-type]  # as above
]
