"""Every WebSocket path, collected from the apps that own it."""

import logging
import re
from collections.abc import Iterator
from typing import Any

from django.urls import re_path

import chat.routing
import notifications.routing
import typing_indicator.routing
from realtime.sockets.handshakes import refuse_handshake
from realtime.wire import sizes

logger = logging.getLogger(__name__)


async def unknown_path(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Nothing is here: refused before accept, as nobody who follows the documents comes by.

    Daphne says 403 to whoever is refused, whatever for: the log says what was wrong.
    """
    path = str(scope["path"])
    right = next(_near(path), None)
    meant = f"Did you mean {right}" if right else "There are " + ", ".join(_known())
    logger.info("A socket was refused: no such path", extra={"socket_path": path[:200], "right": meant})
    await refuse_handshake(scope, receive, send, status=404, detail=f"No such socket path. {meant}")


def _near(path: str) -> Iterator[str]:
    """Paths of ours that somebody may have meant: with the last slash, with /ws, with one slash for two."""
    plain = re.sub("/+", "/", f"/{path}/")
    for candidate in (plain, f"/ws{plain}"):
        routes = (pattern for pattern in websocket_urlpatterns if pattern.callback is not unknown_path)
        if any(pattern.resolve(candidate.lstrip("/")) for pattern in routes):
            yield candidate[:200]


def _known() -> list[str]:
    routes = (
        str(pattern.pattern) for pattern in websocket_urlpatterns if pattern.callback is not unknown_path
    )
    return ["/" + re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", route) for route in routes]


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
