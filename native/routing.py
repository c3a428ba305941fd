"""The route of the native socket."""

from django.urls import path

from native.consumer import NativeConsumer

websocket_urlpatterns = [path("ws/", NativeConsumer.as_asgi())]  # type: ignore[arg-type]  # typed for views only
