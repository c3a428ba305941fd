"""Services of accounts: registration, sessions, profiles. Open sockets are told on `user.<id>`."""

from __future__ import annotations

import uuid
from typing import Any, TypeVar

from django.contrib.auth import authenticate
from django.contrib.auth.backends import AllowAllUsersModelBackend
from django.contrib.auth.hashers import make_password
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone
from rest_framework_simplejwt.settings import api_settings

from accounts import names, selectors, tokens
from accounts.errors import (
    EmailTakenError,
    MixedScriptsError,
    UsernameTakenError,
    WeakPasswordError,
    WrongCredentialsError,
    WrongPasswordError,
)
from accounts.events import AccountDisabled, SessionRevoked, SharingChanged, UserRenamed, user_topic
from accounts.models import Session, User
from accounts.tokens import REUSE_GRACE, Pair, SessionToken, TradedToken
from realtime import (
    AccountDisabledError,
    NotFoundError,
    RealtimeError,
    SessionRevokedError,
    UnauthenticatedError,
    announcing,
    publish_on_commit,
)

Traded = TypeVar("Traded", bound=TradedToken)

#: The switches by which a user keeps things from others; the names are the model's fields and the event's.
SWITCHES = ("shares_receipts", "shares_typing")


def register(*, username: str, password: str, email: str = "") -> User:
    """Create an account. Its username and e-mail must be nobody else's, nor look like somebody else's."""
    if names.mixes_scripts(username):
        raise MixedScriptsError
    if selectors.is_taken(username):
        raise UsernameTakenError
    if email and selectors.is_taken(email):
        raise EmailTakenError
    user = User(username=User.normalize_username(username), email=User.objects.normalize_email(email))
    _check_strength(password, user)
    user.set_password(password)
    try:
        with transaction.atomic():
            user.save()
    except IntegrityError:
        # Someone registered the same name in the meantime.
        raise (EmailTakenError if email and selectors.is_taken(email) else UsernameTakenError) from None
    return user


def update_profile(*, user: User, **changes: Any) -> User:
    """Change what a user says about themselves (language, first_name, last_name, email), and the switches."""
    email = changes.get("email")
    if email and selectors.is_taken(email, by_other_than=user):
        raise EmailTakenError
    if email:
        changes["email"] = User.objects.normalize_email(email)
    for name, value in changes.items():
        setattr(user, name, value)
    try:
        with announcing():
            user.save(update_fields=list(changes))
            if not changes.keys().isdisjoint(SWITCHES):
                sharing_was_changed(user_id=user.pk)
    except IntegrityError:
        raise EmailTakenError from None
    return user


@announcing()
def sharing_was_changed(*, user_id: int) -> None:
    """Follow a saved user whose switches changed: the open sockets, which know the old ones, obey."""
    # Read from the database: of two writers who change one switch each, neither has seen the other's change.
    stored = User.objects.filter(pk=user_id).values(*SWITCHES).get()
    publish_on_commit(user_topic(user_id), SharingChanged(**stored))


def sign_in(*, username: str, password: str, user_agent: str = "", address: str = "") -> Pair:
    """Open a session for whoever has this username or e-mail, and this password."""
    try:
        session = open_session(username=username, password=password, user_agent=user_agent, address=address)
    except AccountDisabledError:
        raise WrongCredentialsError from None
    return tokens.pair(session)


def open_session(*, username: str, password: str, user_agent: str = "", address: str = "") -> Session:
    """Open a session, as `sign_in` does; whoever has the password of a disabled account is told so."""
    for _ in range(2):  # again where the hash was replaced meanwhile: perhaps by a renewed one of the same
        user = _user_with(username, password)
        if user is None:
            break
        if not user.is_active:
            raise AccountDisabledError
        with transaction.atomic():
            if _is_as_checked(user):
                _forget_ended_sessions(user)
                return tokens.open_session(user, user_agent=user_agent, address=address)
    raise WrongCredentialsError


def _user_with(username: str, password: str) -> User | None:
    """The user, active or not, who has this name and password."""
    known = selectors.user_named(username)
    # One hash and the same queries whoever it is: also for an unknown name, of which the backend then hashes
    # the password anyway.
    if known is not None and not known.is_active:
        found = AllowAllUsersModelBackend().authenticate(None, username=known.username, password=password)
    else:
        found = authenticate(username=known.username if known else username, password=password)
    return found if isinstance(found, User) else None


def _is_as_checked(user: User) -> bool:
    """Whether the password that was checked is still the stored one; from here on it waits to be changed."""
    # A hash takes long, so it was made before the transaction, and the password may have been changed since.
    stored = User.objects.select_for_update(no_key=True).filter(pk=user.pk, is_active=True)
    return stored.values_list("password", flat=True).first() == user.password


def refresh(*, token: str) -> Pair:
    """Trade a refresh token for the next pair, whose refresh token is the same however often it is asked for.

    Whoever asks again after the grace, or when the next one is used up as well, ends the session: two hold
    the token, one is a thief, and nobody can tell which (RFC 9700 §4.14.2).
    """
    return tokens.with_access(_traded(*tokens.read_refresh(token)))


def renew(*, token: str) -> SessionToken:
    """Trade a session token for the next one, by the rules of `refresh`."""
    return _traded(*tokens.read_session(token))


def _traded(old: Traded, user_id: int, session_id: uuid.UUID) -> Traded:
    """The token that a token of this session buys."""
    with announcing():
        found = Session.objects.select_for_update(of=("self",)).select_related("user")
        session = found.filter(pk=session_id, user_id=user_id).first()
        if session is None:
            raise SessionRevokedError
        tokens.refuse_unless_live(session.user, session)
        retired_at = old.retired_at()
        if retired_at is None:
            session.last_used_at = timezone.now()
            session.save(update_fields=["last_used_at"])
            return old.successor(session, retired_at=old.retire(session.user))
        following = old.successor(session, retired_at=retired_at)
        if timezone.now() - retired_at <= REUSE_GRACE and following.retired_at() is None:
            return following
        revoke_session(user=session.user, session_id=session_id)
    raise UnauthenticatedError  # outside: the revocation stays


def sign_out(*, access_token: str | None = None, refresh_token: str | None = None) -> None:
    """End the session of an access token, of a refresh token, or of both; one that is valid is enough.

    An access token without session has nothing to end: it was minted elsewhere and lasts until it expires.
    """
    offered = [(_session_of_access, access_token), (_session_of_refresh, refresh_token)]
    ended, refusals = [], []
    for read, token in offered:
        if token is not None:
            try:
                ended.append(read(token))
            except RealtimeError as refusal:
                refusals.append(refusal)
    if not ended:
        raise next(iter(refusals), UnauthenticatedError())
    with announcing():
        for user_id, session_id in ended:
            if session_id is not None:
                _revoke(user_id, Session.objects.filter(user_id=user_id, pk=session_id))


def _session_of_access(token: str) -> tuple[int, uuid.UUID | str | None]:
    identity = tokens.identify(token)
    return identity.user.pk, identity.session_id


def _session_of_refresh(token: str) -> tuple[int, uuid.UUID | str | None]:
    _, user_id, session_id = tokens.read_refresh(token)
    return user_id, session_id


def revoke_session(*, user: User, session_id: uuid.UUID | str) -> None:
    """End one session of this user, and its sockets."""
    session = Session.objects.filter(user=user, pk=session_id)
    if not session.exists():
        raise NotFoundError
    _revoke(user.pk, session)


def revoke_all(*, user: User) -> None:
    """End every session of this user, and every socket, also those of tokens without a session."""
    access_was_withdrawn(user=user, disabled=False)


def change_password(*, user: User, old_password: str, new_password: str, keep: str | None = None) -> None:
    """Set a new password and end every session but `keep`, the one that asks."""
    if not user.check_password(old_password):
        raise WrongPasswordError
    # Before the transaction: a hash takes long, and SQLite has one writer.
    store_hash(user=user, new=new_hash(user=user, password=new_password), keep=keep)


def new_hash(*, user: User, password: str) -> str:
    """The hash of a new password that is strong enough."""
    _check_strength(password, user)
    return make_password(password)


def store_hash(*, user: User, new: str, keep: str | None = None) -> None:
    """Replace the hash that this user was loaded with, and end every session but `keep`."""
    others = Session.objects.filter(user=user)
    if keep is not None:
        others = others.exclude(pk=keep)
    with announcing():
        # Not save(): that signs out everywhere, here too, and who just typed the password may stay.
        if not User.objects.filter(pk=user.pk, password=user.password).update(password=new):
            raise WrongPasswordError  # by now: somebody else was faster
        _revoke(user.pk, others)
    user.password = new


def deactivate(*, user: User) -> None:
    """Disable an account; saving does the rest, as it does for the admin."""
    user.is_active = False
    user.save(update_fields=["is_active"])


@announcing()
def access_was_withdrawn(*, user: User, disabled: bool) -> None:
    """Follow a saved user who was disabled or got a new password: every session and every socket ends."""
    Session.objects.filter(user=user, revoked_at=None).update(revoked_at=timezone.now())
    publish_on_commit(user_topic(user.pk), AccountDisabled() if disabled else SessionRevoked(session_id=None))


def was_renamed(*, user: User) -> None:
    """Follow a saved user who has another name: the open sockets, which know the old one, take it."""
    publish_on_commit(user_topic(user.pk), UserRenamed(username=user.username))


def was_deleted(*, user_id: int, session_id: str | None = None) -> None:
    """Follow a deleted user, or a deleted session: its sockets end."""
    publish_on_commit(user_topic(user_id), SessionRevoked(session_id=session_id))


@announcing()
def _revoke(user_id: int, sessions: QuerySet[Session]) -> None:
    live = list(sessions.filter(revoked_at=None).select_for_update().values_list("pk", flat=True))
    Session.objects.filter(pk__in=live).update(revoked_at=timezone.now())
    for session_id in live:
        publish_on_commit(user_topic(user_id), SessionRevoked(session_id=str(session_id)))


def _forget_ended_sessions(user: User) -> None:
    """Drop sessions none of whose tokens can still be valid, so that a user's list does not grow for ever."""
    renewed = max(api_settings.REFRESH_TOKEN_LIFETIME, tokens.session_token_lifetime())
    longest = renewed + api_settings.ACCESS_TOKEN_LIFETIME
    Session.objects.filter(user=user, last_used_at__lt=timezone.now() - longest).delete()


def _check_strength(password: str, user: User) -> None:
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise WeakPasswordError(" ".join(error.messages)) from None
