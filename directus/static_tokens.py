"""Static tokens: texts that users choose, which open what an access token opens until they are replaced."""

from __future__ import annotations

import hashlib
import re
import time
from functools import cache
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from accounts.models import User
from accounts.tokens import Identity, head_of_topic_of, refuse_unless_live
from directus.errors import (
    USERS,
    FailedValidationError,
    InvalidCredentialsError,
    RecordNotUniqueError,
    ValueTooLongError,
)
from directus.models import StaticToken

#: Characters of a static token: shorter ones can be guessed, and longer ones are no safer.
MIN_CHARACTERS, MAX_CHARACTERS = 16, 255
#: What is shown in the place of a token, or of a password.
HIDDEN = "**********"
#: The end of an identity that does not end: the last second of Python's calendar, which a timer can hold.
NEVER = 253_402_300_799.0

_TEXT = re.compile(r"[!-~]+")
#: The form of a JSON Web Token; `credentials.identify` reads such a text as an access token.
JWT = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)


def identify(token: str) -> Identity:
    """The identity of a static token; its session is the token itself, which can be revoked like one."""
    if not MIN_CHARACTERS <= len(token) <= MAX_CHARACTERS or not _TEXT.fullmatch(token):
        raise InvalidCredentialsError
    found = _tokens().filter(digest=digest(token)).first()
    if found is None:
        raise InvalidCredentialsError
    refuse_unless_live(found.user, None)
    _seen.add(token)
    return Identity(found.user, str(found.pk), NEVER, found.authorized_at)


def was_seen(token: str) -> bool:
    """Whether this was somebody's static token a moment ago, without asking the database.

    It decides whether a request has to take turns with those of strangers, and nothing else.
    """
    return _seen.has(token)


class _Seen:
    """The digests of tokens that were good lately, in this process."""

    #: Seconds for which one is remembered, and how many are at most.
    SECONDS, MOST = 60.0, 10_000

    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    def add(self, token: str) -> None:
        # Threads may add at once: each statement is one step of the interpreter.
        key = digest(token)
        self._until.pop(key, None)
        self._until[key] = time.monotonic() + self.SECONDS
        if len(self._until) > self.MOST:
            for oldest in list(self._until)[: self.MOST // 10]:
                self._until.pop(oldest, None)

    def has(self, token: str) -> bool:
        return self._until.get(digest(token), 0.0) > time.monotonic()


_seen = _Seen()


@cache  # building the expressions takes longer than all the rest of the query
def _tokens() -> QuerySet[Any]:
    # With the head of the user's topic, by one statement: a later revocation is told above it.
    return StaticToken.objects.annotate(authorized_at=head_of_topic_of("user_id")).select_related("user")


def set_token(*, user: User, token: str | None) -> None:
    """Give a user this static token, or none, in the place of the one they have; its sockets end."""
    if token is not None:
        check(token)
    try:
        with transaction.atomic():
            for old in StaticToken.objects.select_for_update().filter(user=user):
                if token is not None and old.digest == digest(token):
                    return
                old.delete()
            if token is not None:
                StaticToken.objects.create(user=user, digest=digest(token))
    except IntegrityError:
        raise RecordNotUniqueError(USERS, "token") from None


def has_token(user: User) -> bool:
    """Whether a user has a static token."""
    return StaticToken.objects.filter(user=user).exists()


def is_taken(token: str) -> bool:
    """Whether somebody has this static token."""
    return StaticToken.objects.filter(digest=digest(token)).exists()


def check(token: str) -> None:
    """Refuse a token that could be guessed, or mistaken for another kind."""
    if len(token) > MAX_CHARACTERS:
        raise ValueTooLongError(USERS, "token")
    if len(token) < MIN_CHARACTERS:
        raise FailedValidationError(
            "token", "min_length", f"A static token has at least {MIN_CHARACTERS} characters."
        )
    if not _TEXT.fullmatch(token) or JWT.fullmatch(token) or token == HIDDEN:
        raise FailedValidationError(
            "token", "regex", "A static token has printable ASCII characters only, and not the form of a JWT."
        )


def digest(token: str) -> str:
    """What is stored of a token."""
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()
