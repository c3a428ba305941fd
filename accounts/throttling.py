"""The limits of REST, as Django REST framework asks for them; the buckets are the core's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import BaseThrottle

from accounts.models import User
from realtime import metrics, problems
from realtime.conf import conf
from realtime.errors import RateLimitedError
from realtime.limits import counted_address
from realtime.rates import Buckets

if TYPE_CHECKING:
    from rest_framework.views import APIView  # which reads the settings, which name the classes below

MAX_NAME_CHARACTERS = 254  # of an e-mail; a longer name is refused anyway and must not fill the memory


class BucketThrottle(BaseThrottle):
    """Takes one from a bucket; an empty one answers 429 by raising RateLimitedError."""

    buckets: ClassVar[Buckets]
    #: What its refusals are counted as.
    reason: ClassVar[str]

    def key(self, request: Request) -> object:
        """Whose bucket it is."""
        raise NotImplementedError

    def allow_request(self, request: Request, view: APIView) -> bool:
        request.is_counted = True  # type: ignore[attr-defined]  # a note of ours, for `exception_handler`
        self.take(self.key(request))
        return True

    @classmethod
    def take(cls, key: object) -> None:
        """Count one for `key`, or raise RateLimitedError."""
        try:
            cls.buckets.take(key)
        except RateLimitedError:
            metrics.REQUESTS_REFUSED.add(cls.reason)
            raise


class RestThrottle(BucketThrottle):
    """LIMIT_REST: per user, per address where nobody is signed in."""

    buckets = Buckets(lambda: conf.limit_rest)
    reason = "rest"

    def key(self, request: Request) -> object:
        user = request.user
        return user.pk if isinstance(user, User) else counted_address(request)


class LoginThrottle(BucketThrottle):
    """LIMIT_LOGINS: per address and name, however the name is written."""

    buckets = Buckets(lambda: conf.limit_logins)
    reason = "logins"

    def key(self, request: Request) -> object:
        if isinstance(request.user, User):
            name = request.user.username  # who changes a password guesses the old one
        else:
            name = str(request.data.get("username", "")) if isinstance(request.data, dict) else ""
        return self.key_of(request, name)

    @staticmethod
    def key_of(request: object, name: str) -> object:
        """The bucket of somebody who says that this is their name."""
        name = User.normalize_username(name.strip()[:MAX_NAME_CHARACTERS]).casefold()
        return counted_address(request), name


class LoginsPerAddressThrottle(BucketThrottle):
    """LIMIT_LOGINS_PER_ADDRESS: whatever the names; each costs us a hash, of unknown names too."""

    buckets = Buckets(lambda: conf.limit_logins_per_address)
    reason = "logins_per_address"

    def key(self, request: Request) -> object:
        return counted_address(request)


class RegistrationThrottle(BucketThrottle):
    """LIMIT_REGISTRATIONS: per address. Who changes an e-mail asks the same: is it taken?"""

    buckets = Buckets(lambda: conf.limit_registrations)
    reason = "registrations"

    def key(self, request: Request) -> object:
        return counted_address(request)


def count_sign_in(request: object, name: str) -> None:
    """Count an attempt to sign in before anything is hashed, or raise RateLimitedError.

    The name first: who tries one again and again must not use up what everybody at their address has.
    """
    LoginThrottle.take(LoginThrottle.key_of(request, name))
    LoginsPerAddressThrottle.take(counted_address(request))


def exception_handler(exc: Exception, context: dict[str, Any]) -> Response | None:
    """Problem documents; a request refused before any throttle was asked counts for its address here.

    The framework asks who it is and what they may do before it asks the throttles: bad tokens would be free.
    """
    answer = problems.exception_handler(exc, context)
    request = context.get("request")
    if answer is None or answer.status_code not in (401, 403) or getattr(request, "is_counted", False):
        return answer
    try:
        RestThrottle.take(counted_address(request))
    except RateLimitedError as limited:
        return problems.exception_handler(limited, context)
    return answer
