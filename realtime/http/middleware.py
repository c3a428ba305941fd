"""Django middleware for every request: one refuses unusable hosts and cookies, one keeps to one thread."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import ClassVar

from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse

from realtime.database.time_budget import deadline_in
from realtime.http import pages
from realtime.http.shapes import shape_of

logger = logging.getLogger(__name__)

#: Seconds that an API request may wait for the database. The admin may take longer: it deletes thousands.
API_SECONDS = 5.0


class ReadableRequests:
    """Refuses a wrong Host and drops unusable cookies; stands before everything that reads either.

    Where Django itself meets a wrong Host, it logs a traceback for each that anybody sends. A cookie may hold
    any character, escaped in quotes; U+0000 in the id of a session makes PostgreSQL raise.
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


class OneThread:
    """Keeps a request in one thread by being synchronous, and sets an API request's deadline; stands last.

    Views are synchronous. Under ASGI Django runs every middleware that can be asynchronous on the loop, and
    each of its hooks in a thread: a dozen changes of thread per request. Middleware around one that is only
    synchronous runs synchronously too, all in the same thread.
    """

    sync_capable: ClassVar[bool] = True
    async_capable: ClassVar[bool] = False

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if shape_of(request.path_info) is None:
            return self.get_response(request)
        with deadline_in(API_SECONDS):
            return self.get_response(request)
