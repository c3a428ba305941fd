"""Users as the collection `directus_users` shows one: its columns, and what users change of themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from django.db.models import Max

from accounts import services
from accounts.models import Session, User
from directus import static_tokens
from directus.errors import ForbiddenError
from directus.static_tokens import HIDDEN
from realtime import announcing


def _last_access(user: User) -> str | None:
    last = Session.objects.filter(user=user).aggregate(last=Max("last_used_at"))["last"]
    return None if last is None else last.isoformat(timespec="milliseconds").replace("+00:00", "Z")


#: The columns, and what they hold of a user.
COLUMNS: Mapping[str, Callable[[User], Any]] = {
    "id": lambda user: user.pk,
    "username": lambda user: user.username,
    "first_name": lambda user: user.first_name or None,
    "last_name": lambda user: user.last_name or None,
    "email": lambda user: user.email,
    "password": lambda user: HIDDEN if user.has_usable_password() else None,
    "avatar": lambda _: None,
    "language": lambda user: user.language or None,
    "status": lambda user: "active" if user.is_active else "suspended",
    "role": lambda _: None,
    "token": lambda user: HIDDEN if static_tokens.has_token(user) else None,
    "last_access": _last_access,
}
#: Columns that lead to rows of other collections.
RELATIONS = frozenset({"avatar", "role"})


def columns_of(names: Iterable[str]) -> list[str]:
    """The columns that a list of fields means, in its order; one that is unknown is an error."""
    columns: dict[str, None] = {}
    for name in names:
        column, _, below = name.partition(".")
        if column == "*":
            columns |= dict.fromkeys(COLUMNS)
        elif column in COLUMNS and (not below or column in RELATIONS):
            columns[column] = None
        else:
            raise ForbiddenError
    return list(columns)


def shown(user: User, columns: Iterable[str]) -> dict[str, Any]:
    """These columns of a user."""
    return {name: COLUMNS[name](user) for name in columns}


def update(
    *, user: User, keep: str | None, profile: Mapping[str, Any], secrets: Mapping[str, str | None]
) -> None:
    """Change what a user says of themselves, the password and the static token: all of it, or nothing.

    A new password ends every session but `keep`, the one that asks.
    """
    password = secrets.get("password")
    # Before the transaction: a hash takes long, and waits for its turn.
    new = None if password is None else services.new_hash(user=user, password=password)
    with announcing():
        if profile:
            services.update_profile(user=user, **profile)
        if "token" in secrets:
            static_tokens.set_token(user=user, token=secrets["token"])
        if new is not None:
            services.store_hash(user=user, new=new, keep=keep)
