"""Every WebSocket path, collected from the apps that own it."""

from typing import Any

from django.urls import re_path

import chat.routing
import notifications.routing
import typing_indicator.routing
from realtime import sizes
from realtime.asgi import refuse_handshake


async def unknown_path(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Nothing is here: refused before accept, as nobody who follows the documents comes by."""
    await refuse_handshake(scope, receive, send, status=404)


_ours = [
    *chat.routing.websocket_urlpatterns,
    *notifications.routing.websocket_urlpatterns,
    *typing_indicator.routing.websocket_urlpatterns,
]
sizes.declare(_ours, sizes.native)

websocket_urlpatterns = [
    *_ours,
    # Last. Without it the router raises, and every scan of the port logs a traceback.
    re_path("", unknown_path),  # type: ignore[arg-type]  # Django knows views only
]
