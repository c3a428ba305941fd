"""The product's application with Tally's route beside its own, as `config/` would add a new dialect."""

from __future__ import annotations

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

from config.asgi import application, sockets  # first, because it sets Django up
from realtime.wire import sizes
from tests.foreign.routing import websocket_urlpatterns

__all__ = ["application"]

sizes.declare(websocket_urlpatterns, sizes.foreign)
sockets.routes[:0] = websocket_urlpatterns  # type: ignore[assignment]  # as `path()` makes them
