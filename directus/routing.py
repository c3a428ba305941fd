"""The WebSocket path of the Directus dialect."""

from django.urls import path

from directus.defaults import conf
from directus.socket.consumer import DirectusConsumer

websocket_urlpatterns = (
    [path(conf.websockets_rest_path.lstrip("/"), DirectusConsumer.as_asgi())]  # type: ignore[arg-type]  # typed for views only
    if conf.has_socket
    else []
)
