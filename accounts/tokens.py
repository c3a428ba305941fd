"""Access and refresh tokens: how they are made, and `identify()`, the one way a token becomes a person.

Everything stands on simplejwt's token classes (type, signature, expiry); no JWT is decoded elsewhere.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import uuid
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from typing import Any, Self, TypedDict, TypeVar

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db.models import BigIntegerField, CharField, OuterRef, QuerySet, Subquery, Value
from django.db.models.functions import Cast, Coalesce, Concat
from django.utils import timezone
from rest_framework_simplejwt import tokens as simplejwt
from rest_framework_simplejwt.backends import TokenBackend
from rest_framework_simplejwt.exceptions import ExpiredTokenError, TokenError
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken

from accounts.keys import key_ring
from accounts.models import Session, User
from realtime import (
    AccountDisabledError,
    RealtimeError,
    SessionRevokedError,
    TokenExpiredError,
    Topic,
    UnauthenticatedError,
)

if not hasattr(simplejwt.RefreshToken, "blacklist"):
    # simplejwt would silently rotate without retiring anything.
    raise ImproperlyConfigured("INSTALLED_APPS needs rest_framework_simplejwt.token_blacklist")

#: The grace of a token that was traded for the next one: two tabs ask at once, or an answer is lost. Later
#: reuse is theft.
REUSE_GRACE = dt.timedelta(seconds=60)

_MAX_ID = 2**63 - 1  # of a BigAutoField


@dataclass(frozen=True, slots=True)
class Identity:
    """An identity: a user, a session (None: a token made elsewhere), and until when (Unix time)."""

    user: User
    session_id: str | None
    expires_at: float
    #: The head of the user's topic when this was checked: a later revocation is told there.
    authorized_at: int = 0


class AccessToken(simplejwt.AccessToken):
    """A token that opens sockets and REST."""

    def get_token_backend(self) -> TokenBackend:
        return key_ring


class TradedToken(simplejwt.Token):
    """Base of the tokens of a session that are traded for the next one, once."""

    def get_token_backend(self) -> TokenBackend:
        return key_ring

    def retired_at(self) -> dt.datetime | None:
        """When this token was used up, if it was."""
        retired = BlacklistedToken.objects.filter(token__jti=self["jti"])
        return retired.values_list("blacklisted_at", flat=True).first()

    def successor(self, session: Session, *, retired_at: dt.datetime) -> Self:
        """The token that this one buys: the same, to the letter, however often it is asked for.

        It follows from this token and from when it was used up, so nothing of it has to be stored.
        """
        following = self.of(session, at=retired_at)
        following["jti"] = hashlib.sha256(f"successor of {self['jti']}".encode()).hexdigest()[:32]
        return following

    @classmethod
    def of(cls, session: Session, *, at: dt.datetime) -> Self:
        """A token of a session, issued at a time."""
        token = cls()
        token.set_iat(at_time=at)
        token.set_exp(from_time=at)
        token["user_id"], token["sid"] = str(session.user_id), str(session.pk)
        return token

    def retire(self, user: User) -> dt.datetime:
        """Use this token up; returns when that was.

        Its text is not kept: simplejwt's own method would store it readable.
        """
        outstanding, _ = OutstandingToken.objects.get_or_create(
            jti=self["jti"],
            defaults={
                "user": user,
                "token": "",
                "created_at": self.current_time,
                "expires_at": dt.datetime.fromtimestamp(self["exp"], dt.UTC),
            },
        )
        retired, _ = BlacklistedToken.objects.get_or_create(token=outstanding)
        return retired.blacklisted_at


class RefreshToken(TradedToken, simplejwt.RefreshToken):  # type: ignore[misc]  # their mixin types `for_user` otherwise
    """A token that is traded for the next pair, once."""

    access_token_class = AccessToken

    def check_blacklist(self) -> None:
        """Do nothing: two uses at once would pass. `services.refresh` checks `retired_at()` under a lock."""


class SessionToken(TradedToken, AccessToken):
    """An access token that buys its own successor, for a browser that keeps nothing but one cookie.

    It opens what an access token opens, and is void everywhere once it was traded and the grace is over.
    """

    @classmethod
    def of(cls, session: Session, *, at: dt.datetime) -> Self:
        token = super().of(session, at=at)
        token.set_exp(from_time=at, lifetime=session_token_lifetime())
        token[_TRADED] = True
        return token


#: The claim of a session token that tells it from other access tokens.
_TRADED = "traded"


def session_token_lifetime() -> dt.timedelta:
    """The time for which a session token is valid; a day, unless the project says otherwise."""
    return dt.timedelta(seconds=getattr(settings, "SESSION_COOKIE_TTL", 86_400))


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


@dataclass(frozen=True, slots=True)
class Claims:
    """The claims of a credential before any lookup: its user, its session, its end."""

    user_id: int
    session_id: uuid.UUID | None
    expires_at: float
    #: The id of a session token, which may have been traded; None for other tokens.
    token_id: str | None = None


def identify(raw_token: object) -> Identity:
    """The identity of a raw access token, checked against the stored user and session in one query.

    Raises UnauthenticatedError, or for a token that was once ours TokenExpiredError,
    SessionRevokedError or AccountDisabledError. Whatever the input, it raises nothing else.
    """
    return identity_of(claims_of(raw_token))


def claims_of(raw_token: object) -> Claims:
    """The claims of a raw access token whose signature, type and expiry are good."""
    token = _read(AccessToken, raw_token)
    token_id = str(token["jti"]) if _TRADED in token else None
    return Claims(_user_id(token), _session_id(token), float(token["exp"]), token_id)


def identity_of(claims: Claims) -> Identity:
    """The identity of one credential; raises the error that refuses it."""
    identity = identities_of([claims])[claims]
    if isinstance(identity, RealtimeError):
        raise identity
    return identity


def identities_of(claims: Collection[Claims]) -> dict[Claims, Identity | RealtimeError]:
    """The last gate for all credentials: users must exist and be active, sessions must not be revoked, and a
    session token not be traded.

    The heads of the users' topics are read by the same statement, so by the same snapshot: a revocation is
    either seen here or numbered above them.
    """
    session_ids = {each.session_id for each in claims if each.session_id is not None}
    user_ids = {each.user_id for each in claims if each.session_id is None}
    sessions = _sessions().in_bulk(session_ids) if session_ids else {}
    users = _users().in_bulk(user_ids) if user_ids else {}
    void = _void({each.token_id for each in claims if each.token_id is not None})
    return {
        each: UnauthenticatedError() if each.token_id in void else _identity(each, sessions, users)
        for each in claims
    }


def _void(token_ids: Collection[str]) -> Collection[str | None]:
    """The session tokens among these that were traded, and whose grace is over."""
    if not token_ids:
        return ()
    traded = BlacklistedToken.objects.filter(
        token__jti__in=token_ids, blacklisted_at__lt=timezone.now() - REUSE_GRACE
    )
    return set(traded.values_list("token__jti", flat=True))


# Made once: building the expressions takes as long as all the rest of the query.


@cache
def _sessions() -> QuerySet[Any]:
    return Session.objects.annotate(authorized_at=head_of_topic_of("user_id")).select_related("user")


@cache
def _users() -> QuerySet[Any]:
    return User.objects.annotate(authorized_at=head_of_topic_of("pk"))


def head_of_topic_of(user_id: str) -> Coalesce:
    """The head of a user's topic, as an expression in a query of rows that name the user so."""
    topic = Topic.objects.filter(name=Concat(Value("user."), Cast(OuterRef(user_id), CharField())))
    return Coalesce(Subquery(topic.values("head")), 0, output_field=BigIntegerField())


def _identity(
    claims: Claims, sessions: dict[uuid.UUID, Any], users: dict[int, Any]
) -> Identity | RealtimeError:
    session = sessions.get(claims.session_id) if claims.session_id else None
    if claims.session_id is not None and session is None:
        return SessionRevokedError()
    user = users.get(claims.user_id) if session is None else session.user
    if user is None or user.pk != claims.user_id:
        return UnauthenticatedError()
    try:
        refuse_unless_live(user, session)
    except RealtimeError as error:
        return error
    session_id = None if session is None else str(session.pk)
    return Identity(user, session_id, claims.expires_at, (user if session is None else session).authorized_at)


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


def read_session(raw_token: object) -> tuple[SessionToken, int, uuid.UUID]:
    """A session token whose signature, type and expiry are good, with its user and session."""
    token = _read(SessionToken, raw_token)
    user_id, session_id = _user_id(token), _session_id(token)
    if session_id is None or _TRADED not in token:
        raise UnauthenticatedError
    return token, user_id, session_id


class Pair(TypedDict):
    """An access token, and the refresh token that buys the next pair."""

    access: str
    refresh: str


def pair(session: Session) -> Pair:
    """A fresh access and refresh token of a session."""
    return with_access(RefreshToken.of(session, at=timezone.now()))


def session_token(session: Session) -> SessionToken:
    """A fresh session token of a session."""
    return SessionToken.of(session, at=timezone.now())


def with_access(refresh: RefreshToken) -> Pair:
    """This refresh token, and an access token of its session whose time begins now."""
    access, now = refresh.access_token, timezone.now()
    access.set_iat(at_time=now)
    access.set_exp(from_time=now)
    return {"access": str(access), "refresh": str(refresh)}


def open_session(user: User, *, user_agent: str = "", address: str = "") -> Session:
    """Open a session for a user whose credentials were checked."""
    return Session.objects.create(
        user=user,
        user_agent=_printable(user_agent, Session.user_agent),
        address=_printable(address, Session.address),
    )


def issue(user: User, *, user_agent: str = "", address: str = "") -> Pair:
    """Open a session for a user whose credentials were checked, and hand out its tokens."""
    return pair(open_session(user, user_agent=user_agent, address=address))


def _printable(text: str, column: Any) -> str:
    """Clean a text that a client sends about itself, so that it can be stored and shown."""
    return "".join(filter(str.isprintable, text))[: column.field.max_length]


def access_token(user: User) -> str:
    """An access token with a session of its own, for the command line and for tests."""
    return issue(user, user_agent="manage.py token")["access"]
