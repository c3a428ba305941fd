"""A request for a name that is not ours is answered with what to do about it."""

import logging
from collections.abc import Callable

from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse

from config import pages

logger = logging.getLogger(__name__)


class KnownHost:
    """Middleware: asks for the Host before anything else does.

    Where Django finds a wrong one, somewhere on the way, it logs a traceback for each that anybody sends.
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
        return self.get_response(request)
