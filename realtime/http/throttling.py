"""The limits of REST: rates that requests are counted for, and the throttle that every view has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import BaseThrottle

from realtime.defaults import conf
from realtime.errors import RateLimitedError
from realtime.http import metrics, rest_errors
from realtime.http.addresses import counted_address
from realtime.rates import Buckets

if TYPE_CHECKING:
    from rest_framework.views import APIView  # which reads the settings, which name the classes below


class Limit:
    """A rate with a bucket for each key (a user, an address); metrics count its refusals by `reason`."""

    buckets: ClassVar[Buckets]
    reason: ClassVar[str]

    @classmethod
    def take(cls, key: object) -> None:
        """Count one for `key`, or raise RateLimitedError."""
        try:
            cls.buckets.take(key)
        except RateLimitedError:
            metrics.REQUESTS_REFUSED.add(cls.reason)
            raise


class CountingThrottle(BaseThrottle):
    """Base of throttles; a subclass raises RateLimitedError when a request is one too many."""

    def count(self, request: Request) -> None:
        """Count a request, or raise RateLimitedError."""
        raise NotImplementedError

    def allow_request(self, request: Request, view: APIView) -> bool:
        request.is_counted = True  # type: ignore[attr-defined]  # a note of ours, for `exception_handler`
        self.count(request)
        return True


class RestThrottle(CountingThrottle, Limit):
    """LIMIT_REST: counts per user, or per address where nobody is signed in."""

    buckets = Buckets(lambda: conf.limit_rest)
    reason = "rest"

    def count(self, request: Request) -> None:
        self.take(getattr(request.user, "pk", None) or counted_address(request))


def exception_handler(exc: Exception, context: dict[str, Any]) -> Response | None:
    """Answers with problem documents, and counts a request that was refused before any throttle was asked.

    The framework authenticates a request before it asks the throttles: without this, bad tokens would be
    free. Such a request counts for its address.
    """
    answer = rest_errors.exception_handler(exc, context)
    request = context.get("request")
    if answer is None or answer.status_code not in (401, 403) or getattr(request, "is_counted", False):
        return answer
    try:
        RestThrottle.take(counted_address(request))
    except RateLimitedError as limited:
        return rest_errors.exception_handler(limited, context)
    return answer
