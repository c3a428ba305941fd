"""The routes of all WebSockets: those of the apps, and one that refuses every other path."""

from django.conf import settings
from django.urls import re_path

import chat.routing
import native.routing
import notifications.routing
import typing_indicator.routing
from config import extra_apps
from realtime.sockets.handshakes import open_to_all_pages
from realtime.sockets.unknown_paths import UnknownPath
from realtime.wire import sizes

_foreign = []
if settings.DIRECTUS_ENABLED:
    import directus.routing

    _foreign += directus.routing.websocket_urlpatterns
if settings.SUPABASE_ENABLED:
    import supabase.routing

    _foreign += supabase.routing.websocket_urlpatterns
    open_to_all_pages(supabase.routing.websocket_urlpatterns)

_ours = [
    *chat.routing.websocket_urlpatterns,
    *notifications.routing.websocket_urlpatterns,
    *typing_indicator.routing.websocket_urlpatterns,
    *native.routing.websocket_urlpatterns,
    *extra_apps.socket_routes(),
]
sizes.declare(_ours, sizes.native)
sizes.declare(_foreign, sizes.foreign)

unknown_path = UnknownPath([*_ours, *_foreign])

websocket_urlpatterns = [
    *_ours,
    *_foreign,
    re_path("", unknown_path),  # type: ignore[arg-type]  # Django knows views only
]
