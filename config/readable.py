"""What of a request Django would stumble over is found first, and answered in words or left out."""

import logging
from collections.abc import Callable

from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse

from config import pages

logger = logging.getLogger(__name__)


class Readable:
    """Middleware before whatever reads the Host or a cookie.

    Where Django finds a wrong Host, somewhere on the way, it logs a traceback for each that anybody sends. A
    cookie may hold any character, escaped in quotes; U+0000 in the id of a session makes PostgreSQL raise.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        try:
            request.get_host()
        except DisallowedHost:
            said = request.META.get("HTTP_HOST", "")[:200]
            logger.warning("A request was refused: its Host is not in ALLOWED_HOSTS", extra={"host": said})
            return pages.unknown_host(request)
        for name in [name for name, value in request.COOKIES.items() if "\0" in value]:
            del request.COOKIES[name]
        return self.get_response(request)
