"""Static tokens: texts that users choose, which open what an access token opens until they are replaced."""

from __future__ import annotations

import hashlib
import re
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
    found = _tokens().filter(digest=_digest(token)).first()
    if found is None:
        raise InvalidCredentialsError
    refuse_unless_live(found.user, None)
    return Identity(found.user, str(found.pk), NEVER, found.authorized_at)


@cache  # building the expressions takes longer than all the rest of the query
def _tokens() -> QuerySet[Any]:
    # With the head of the user's topic, by one statement: a later revocation is told above it.
    return StaticToken.objects.annotate(authorized_at=head_of_topic_of("user_id")).select_related("user")


def set_token(*, user: User, token: str | None) -> None:
    """Give a user this static token, or none, in the place of the one they have; its sockets end."""
    if token is not None:
        _check(token)
    try:
        with transaction.atomic():
            for old in StaticToken.objects.select_for_update().filter(user=user):
                if token is not None and old.digest == _digest(token):
                    return
                old.delete()
            if token is not None:
                StaticToken.objects.create(user=user, digest=_digest(token))
    except IntegrityError:
        raise RecordNotUniqueError(USERS, "token") from None


def has_token(user: User) -> bool:
    """Whether a user has a static token."""
    return StaticToken.objects.filter(user=user).exists()


def _check(token: str) -> None:
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


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
