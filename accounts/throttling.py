"""The limits of signing in, of registering and of changing a password."""

from __future__ import annotations

from rest_framework.request import Request

from accounts.handles import owner_of
from accounts.models import User
from accounts.names import key_of
from accounts.selectors import has_signed_in_from
from realtime import Buckets, CountingThrottle, Limit, conf, counted_address

MAX_NAME_CHARACTERS = 254  # of an e-mail; a longer name is refused in any case and must not fill the memory


class LoginLimit(Limit):
    """LIMIT_LOGINS: counts guesses at one account from one address, by whichever of its names."""

    buckets = Buckets(lambda: conf.limit_logins)
    reason = "logins"


class LoginsPerAccountLimit(Limit):
    """LIMIT_LOGINS_PER_ACCOUNT: counts guesses at one account from all addresses it never signed in from."""

    buckets = Buckets(lambda: conf.limit_logins_per_account)
    reason = "logins_per_account"


class LoginsPerAddressLimit(Limit):
    """LIMIT_LOGINS_PER_ADDRESS: counts guesses at any name; each costs a hash, for unknown names too."""

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
    """Count a guess at the old password of a signed-in user who changes it."""
    _count_guess(request, account=user.pk, user_id=user.pk)


def _count_guess(request: object, *, account: object, user_id: int | None) -> None:
    address = counted_address(request)
    LoginLimit.take((address, account))
    # Where the owner signed in before, strangers elsewhere cannot use up what the owner has.
    if not has_signed_in_from(user_id, address):
        LoginsPerAccountLimit.take(account)


class RegistrationThrottle(CountingThrottle, Limit):
    """LIMIT_REGISTRATIONS: counts per address; so does a new e-mail, which asks the same: is it taken?"""

    buckets = Buckets(lambda: conf.limit_registrations)
    reason = "registrations"

    def count(self, request: Request) -> None:
        self.take(counted_address(request))


class SignInThrottle(CountingThrottle):
    """Counts a request for all limits of signing in."""

    def count(self, request: Request) -> None:
        body = request.data
        count_sign_in(request, str(body.get("username", "")) if isinstance(body, dict) else "")


class OldPasswordThrottle(CountingThrottle):
    """Counts a change of password as a guess at the old one."""

    def count(self, request: Request) -> None:
        if isinstance(request.user, User):
            count_old_password(request, request.user)
