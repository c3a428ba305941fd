"""Keeping a request in one thread, and an API request from waiting there for ever."""

from collections.abc import Callable
from typing import ClassVar

from django.http import HttpRequest, HttpResponse

from realtime.database.time_budget import deadline_in

API = "/api/"
#: Seconds that an API request may wait for the database. The admin may take longer: it deletes thousands.
API_SECONDS = 5.0


class OneThread:
    """The innermost middleware: is synchronous, and so keeps the ones around it in one thread.

    Our views are synchronous. Under ASGI Django runs every middleware that can be asynchronous on the
    loop, and each of its hooks in a thread: a dozen changes of thread per request. Middleware around
    one that is only synchronous runs synchronously too, all in the same thread.
    """

    sync_capable: ClassVar[bool] = True
    async_capable: ClassVar[bool] = False

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not request.path_info.startswith(API):
            return self.get_response(request)
        with deadline_in(API_SECONDS):
            return self.get_response(request)
