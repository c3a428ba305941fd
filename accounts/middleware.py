"""Django middleware of accounts: measures CPU time, and counts password hashes for the request's address."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import ClassVar

from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse

from accounts import hashing
from accounts.strangers import CPU_SECONDS
from realtime import OverloadedError, RateLimitedError, retry_after


class CountsCpu:
    """Measures the CPU time of an answer; the first middleware, in whose thread all others run."""

    # With the views in one thread: see `OneThread` in `realtime/http/middleware.py`.
    sync_capable: ClassVar[bool] = True
    async_capable: ClassVar[bool] = False

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        began = time.thread_time()
        try:
            return self.get_response(request)
        finally:
            if isinstance(request, ASGIRequest):
                request.scope[CPU_SECONDS] = time.thread_time() - began  # type: ignore[index]  # a dict, says ASGI


class PasswordTurns:
    """Counts password hashes for the request's address; a page that gets no turn is answered 503, one that
    guesses too often 429.

    REST answers by itself, as a problem document.
    """

    # With the views in one thread: see `OneThread` in `realtime/http/middleware.py`.
    sync_capable: ClassVar[bool] = True
    async_capable: ClassVar[bool] = False

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        with hashing.on_behalf_of(request):
            return self.get_response(request)

    def process_exception(self, _request: HttpRequest, error: Exception) -> HttpResponse | None:
        if not isinstance(error, (OverloadedError, RateLimitedError)):
            return None
        answer = HttpResponse(error.message, status=error.status, content_type="text/plain; charset=utf-8")
        answer["Cache-Control"] = "no-store"
        if error.retry_after_ms is not None:
            answer["Retry-After"] = retry_after(error.retry_after_ms)
        return answer
