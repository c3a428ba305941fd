"""Access and refresh tokens: how they are made, and `identify()`, the one way a token becomes a person.

Everything stands on simplejwt's token classes (type, signature, expiry); no JWT is decoded elsewhere.
"""

from __future__ import annotations

import datetime as dt
import re
import uuid
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, TypeVar

import jwt
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db.models import Subquery
from django.db.models.functions import Coalesce
from rest_framework_simplejwt import tokens as simplejwt
from rest_framework_simplejwt.backends import TokenBackend
from rest_framework_simplejwt.exceptions import (
    ExpiredTokenError,
    TokenBackendError,
    TokenBackendExpiredToken,
    TokenError,
)
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken

from accounts.events import user_topic
from accounts.models import Session, User
from realtime.errors import (
    AccountDisabledError,
    SessionRevokedError,
    TokenExpiredError,
    UnauthenticatedError,
)
from realtime.models import Topic

if not hasattr(simplejwt.RefreshToken, "blacklist"):
    # simplejwt would silently rotate without retiring anything.
    raise ImproperlyConfigured("INSTALLED_APPS needs rest_framework_simplejwt.token_blacklist")

ALGORITHM = "HS256"
MAX_TOKEN_CHARACTERS = 4096  # ours have about 330; a header line may hold more, and hashing it is work

# RFC 7515 compact form, and nothing the decoder would forgive: no padding, no white space, no fourth part.
_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
# Every other header member names a key or an extension (kid, jku, jwk, x5u, crit, b64…): we have neither.
_HEADER_MEMBERS = frozenset({"alg", "typ"})
# A claim that ties a token to another audience or issuer: we mint none, so such a token is not for us.
_FOREIGN_CLAIMS = frozenset({"aud", "iss"})
_LAST_SECOND = 253_402_300_799  # of the year 9999, where Python's calendar ends
_MAX_ID = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Identity:
    """Who is asking, by which session (None: a token minted elsewhere), and until when (Unix time)."""

    user: User
    session_id: str | None
    expires_at: float
    #: The head of the user's own topic when this was true: a revocation after it will be told there.
    as_of: int = 0


@lru_cache(maxsize=8)
def _backend(key: str) -> TokenBackend:
    return TokenBackend(ALGORITHM, signing_key=key)


class KeyRing(TokenBackend):
    """Signs with SECRET_KEY; verifies with it and, while keys rotate, with SECRET_KEY_FALLBACKS."""

    def __init__(self) -> None:
        super().__init__(ALGORITHM)

    def encode(self, payload: dict[str, Any]) -> str:
        return _backend(settings.SECRET_KEY).encode(payload)

    def decode(self, token: Any, verify: bool = True) -> dict[str, Any]:  # noqa: FBT001, FBT002 - theirs
        """The claims of a well-signed token; `verify=False` is ignored: nothing unsigned is ever read."""
        if not isinstance(token, str) or len(token) > MAX_TOKEN_CHARACTERS or not _COMPACT.fullmatch(token):
            raise TokenBackendError("Token is invalid")
        _check_header(token)
        for key in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS):
            try:
                claims = _backend(key).decode(token)  # type: ignore[arg-type]  # simplejwt types its text as a Token
            except TokenBackendExpiredToken:
                raise
            except TokenBackendError:
                continue
            _check_claims(claims)
            return claims
        raise TokenBackendError("Token is invalid")


def _check_header(token: str) -> None:
    try:
        header = jwt.get_unverified_header(token)
    except jwt.InvalidTokenError as error:
        raise TokenBackendError("Token is invalid") from error
    if not header.keys() <= _HEADER_MEMBERS or str(header.get("typ", "JWT")).upper() != "JWT":
        raise TokenBackendError("Token is invalid")


def _check_claims(claims: dict[str, Any]) -> None:
    """What PyJWT and simplejwt leave open: types they would convert or stumble over."""
    times = [claims.get("exp"), *(claims[name] for name in ("iat", "nbf") if name in claims)]
    identifier = claims.get("jti")
    if (
        not all(type(time) in (int, float) and 0 <= time <= _LAST_SECOND for time in times)
        or not isinstance(identifier, str)
        or not 0 < len(identifier) <= 255  # the width of simplejwt's column
        or not _FOREIGN_CLAIMS.isdisjoint(claims)
    ):
        raise TokenBackendError("Token is invalid")


key_ring = KeyRing()


class AccessToken(simplejwt.AccessToken):
    """What opens sockets and REST."""

    def get_token_backend(self) -> TokenBackend:
        return key_ring


class RefreshToken(simplejwt.RefreshToken):
    """What buys the next pair, once."""

    access_token_class = AccessToken

    def get_token_backend(self) -> TokenBackend:
        return key_ring

    def check_blacklist(self) -> None:
        """Not here: two uses at once would both pass. `services.refresh` asks `retired_at()` under a lock."""

    def retired_at(self) -> dt.datetime | None:
        """When this token was used up, if it was."""
        retired = BlacklistedToken.objects.filter(token__jti=self["jti"])
        return retired.values_list("blacklisted_at", flat=True).first()

    def retire(self, user: User) -> None:
        """Use this token up. Its text is not kept: simplejwt's own method would store it readable."""
        outstanding, _ = OutstandingToken.objects.get_or_create(
            jti=self["jti"],
            defaults={
                "user": user,
                "token": "",
                "created_at": self.current_time,
                "expires_at": dt.datetime.fromtimestamp(self["exp"], dt.UTC),
            },
        )
        BlacklistedToken.objects.get_or_create(token=outstanding)


T = TypeVar("T", bound=simplejwt.Token)


def _read(kind: type[T], raw: object) -> T:
    if not isinstance(raw, str):  # also None, of which simplejwt would make a new token
        raise UnauthenticatedError
    try:
        return kind(raw)  # type: ignore[arg-type]  # simplejwt types its text as a Token
    except ExpiredTokenError:
        raise TokenExpiredError from None
    except TokenError:
        raise UnauthenticatedError from None  # the cause would show the token in a traceback


def _user_id(token: simplejwt.Token) -> int:
    claim = token.get("user_id")
    if isinstance(claim, str) and claim.isascii() and claim.isdecimal() and len(claim) < 20:
        claim = int(claim)
    if type(claim) is not int or not 0 < claim <= _MAX_ID:
        raise UnauthenticatedError
    return claim


def _session_id(token: simplejwt.Token) -> uuid.UUID | None:
    if "sid" not in token:
        return None
    claim = token["sid"]
    try:
        session_id = uuid.UUID(claim) if isinstance(claim, str) else None
    except ValueError:
        session_id = None
    if session_id is None or str(session_id) != claim:
        raise UnauthenticatedError
    return session_id


def identify(raw_token: object) -> Identity:
    """Who a raw access token speaks for, checked against the stored user and session: one query.

    Raises UnauthenticatedError, or for a token that was once ours TokenExpiredError,
    SessionRevokedError or AccountDisabledError. Whatever the input, it raises nothing else.
    """
    token = _read(AccessToken, raw_token)
    return identity_of(user_id=_user_id(token), session_id=_session_id(token), expires_at=float(token["exp"]))


def identity_of(*, user_id: int, session_id: uuid.UUID | None, expires_at: float) -> Identity:
    """The last gate, whatever the credential was: the user exists and is active, the session not revoked.

    The head of the user's topic is read by the same statement, so by the same snapshot: a revocation is
    either seen here or numbered above it.
    """
    head = Topic.objects.filter(name=user_topic(user_id)).values("head")
    as_of = Coalesce(Subquery(head), 0)
    if session_id is None:
        user = User.objects.annotate(as_of=as_of).filter(pk=user_id).first()
        if user is None:
            raise UnauthenticatedError
        refuse_unless_live(user, None)
        return Identity(user, None, expires_at, user.as_of)
    session = Session.objects.annotate(as_of=as_of).select_related("user").filter(pk=session_id).first()
    if session is None:
        raise SessionRevokedError
    if session.user_id != user_id:
        raise UnauthenticatedError
    refuse_unless_live(session.user, session)
    return Identity(session.user, str(session.pk), expires_at, session.as_of)


def refuse_unless_live(user: User, session: Session | None) -> None:
    """Refuse a disabled user, and a session that was signed out."""
    if not user.is_active:
        raise AccountDisabledError
    if session is not None and session.revoked_at is not None:
        raise SessionRevokedError


def read_refresh(raw_token: object) -> tuple[RefreshToken, int, uuid.UUID]:
    """A refresh token whose signature, type and expiry are good, with its user and session."""
    token = _read(RefreshToken, raw_token)
    user_id, session_id = _user_id(token), _session_id(token)
    if session_id is None:
        raise UnauthenticatedError  # nobody could ever revoke it
    return token, user_id, session_id


Pair = dict[Literal["access", "refresh"], str]


def pair(session: Session) -> Pair:
    """A fresh access and refresh token of a session."""
    refresh = RefreshToken()
    refresh["user_id"], refresh["sid"] = str(session.user_id), str(session.pk)
    return {"access": str(refresh.access_token), "refresh": str(refresh)}


def issue(user: User, *, user_agent: str = "", address: str = "") -> Pair:
    """Open a session for a user whose credentials were checked, and hand out its tokens."""
    session = Session.objects.create(
        user=user,
        user_agent=_printable(user_agent, Session.user_agent),
        address=_printable(address, Session.address),
    )
    return pair(session)


def _printable(text: str, column: Any) -> str:
    """What a client says of itself, fit to be stored and shown."""
    return "".join(filter(str.isprintable, text))[: column.field.max_length]


def access_token(user: User) -> str:
    """An access token with a session of its own, for the command line and for tests."""
    return issue(user, user_agent="manage.py token")["access"]
