"""The limits of REST, as Django REST framework asks for them; the buckets are the core's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import BaseThrottle

from accounts.handles import owner_of
from accounts.models import User
from accounts.names import key_of
from accounts.selectors import has_signed_in_from
from realtime.conf import conf
from realtime.errors import RateLimitedError
from realtime.http import metrics, problems
from realtime.http.addresses import counted_address
from realtime.rates import Buckets

if TYPE_CHECKING:
    from rest_framework.views import APIView  # which reads the settings, which name the classes below

MAX_NAME_CHARACTERS = 254  # of an e-mail; a longer name is refused anyway and must not fill the memory


class Limit:
    """A rate, a bucket for each of those it is counted for, and what its refusals are counted as."""

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


class LoginLimit(Limit):
    """LIMIT_LOGINS: guesses at one account from one address, by whichever of its names."""

    buckets = Buckets(lambda: conf.limit_logins)
    reason = "logins"


class LoginsPerAccountLimit(Limit):
    """LIMIT_LOGINS_PER_ACCOUNT: guesses at one account from all addresses that it never signed in from."""

    buckets = Buckets(lambda: conf.limit_logins_per_account)
    reason = "logins_per_account"


class LoginsPerAddressLimit(Limit):
    """LIMIT_LOGINS_PER_ADDRESS: whatever the names; each costs us a hash, of unknown names too."""

    buckets = Buckets(lambda: conf.limit_logins_per_address)
    reason = "logins_per_address"


def count_sign_in(request: object, name: str) -> None:
    """Count an attempt to sign in before anything is hashed, or raise RateLimitedError.

    The account first: who tries one again and again must not use up what everybody at their address has.
    """
    name = name[:MAX_NAME_CHARACTERS]
    user_id = owner_of(name)
    _count_guess(request, account=user_id or key_of(name), user_id=user_id)
    LoginsPerAddressLimit.take(counted_address(request))


def count_old_password(request: object, user: User) -> None:
    """Count a guess at the password of somebody who is signed in, and shall type it to change it."""
    _count_guess(request, account=user.pk, user_id=user.pk)


def _count_guess(request: object, *, account: object, user_id: int | None) -> None:
    address = counted_address(request)
    LoginLimit.take((address, account))
    # Where the owner signed in before, strangers elsewhere cannot use up what the owner has.
    if not has_signed_in_from(user_id, address):
        LoginsPerAccountLimit.take(account)


class CountingThrottle(BaseThrottle):
    """Counts a request somewhere; what is empty answers 429 by raising RateLimitedError."""

    def count(self, request: Request) -> None:
        """Count it, or raise RateLimitedError."""
        raise NotImplementedError

    def allow_request(self, request: Request, view: APIView) -> bool:
        request.is_counted = True  # type: ignore[attr-defined]  # a note of ours, for `exception_handler`
        self.count(request)
        return True


class RestThrottle(CountingThrottle, Limit):
    """LIMIT_REST: per user, per address where nobody is signed in."""

    buckets = Buckets(lambda: conf.limit_rest)
    reason = "rest"

    def count(self, request: Request) -> None:
        user = request.user
        self.take(user.pk if isinstance(user, User) else counted_address(request))


class RegistrationThrottle(CountingThrottle, Limit):
    """LIMIT_REGISTRATIONS: per address. Who changes an e-mail asks the same: is it taken?"""

    buckets = Buckets(lambda: conf.limit_registrations)
    reason = "registrations"

    def count(self, request: Request) -> None:
        self.take(counted_address(request))


class SignInThrottle(CountingThrottle):
    """All limits of signing in."""

    def count(self, request: Request) -> None:
        body = request.data
        count_sign_in(request, str(body.get("username", "")) if isinstance(body, dict) else "")


class OldPasswordThrottle(CountingThrottle):
    """Whoever changes a password guesses the old one."""

    def count(self, request: Request) -> None:
        if isinstance(request.user, User):
            count_old_password(request, request.user)


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
