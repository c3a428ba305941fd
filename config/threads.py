"""Keeping a request in one thread."""

from collections.abc import Callable
from typing import ClassVar

from django.http import HttpRequest, HttpResponse


class OneThread:
    """The innermost middleware: does nothing, and so keeps the ones around it in one thread.

    Our views are synchronous. Under ASGI Django runs every middleware that can be asynchronous on the
    loop, and each of its hooks in a thread: a dozen changes of thread per request. Middleware around
    one that is only synchronous runs synchronously too, all in the same thread.
    """

    sync_capable: ClassVar[bool] = True
    async_capable: ClassVar[bool] = False

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)
