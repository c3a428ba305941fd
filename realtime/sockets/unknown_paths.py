"""Refuses a socket whose path has no route, and names the path that was probably meant."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from typing import Any

from django.urls import URLPattern

from realtime.sockets.handshakes import refuse_handshake

logger = logging.getLogger(__name__)


class UnknownPath:
    """ASGI application for the last route, which every path matches: refuses before accept, with 404.

    Without it the router raises, and every scan of the port logs a traceback. A browser shows no answer to a
    handshake, so the log says what was wrong too.
    """

    def __init__(self, routes: Sequence[URLPattern]) -> None:
        self._routes = routes

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        path = str(scope["path"])
        right = next(self._near(path), None)
        meant = f"Did you mean {right}" if right else "There are " + ", ".join(self._known())
        logger.info("A socket was refused: no such path", extra={"socket_path": path[:200], "right": meant})
        await refuse_handshake(scope, receive, send, status=404, detail=f"No such socket path. {meant}")

    def _near(self, path: str) -> Iterator[str]:
        """Known paths that differ by the last slash, by /ws, or by two slashes in the place of one."""
        plain = re.sub("/+", "/", f"/{path}/")
        for candidate in (plain, f"/ws{plain}"):
            if any(route.resolve(candidate.lstrip("/")) for route in self._routes):
                yield candidate[:200]

    def _known(self) -> list[str]:
        return ["/" + re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", str(route.pattern)) for route in self._routes]
