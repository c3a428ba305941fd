"""Values of the user who asks, for rules and filters: `$CURRENT_USER`, `$CURRENT_ROLES`, and those of apps.

    @user_value("teams")
    def teams(user):
        return list(user.memberships.values_list("team", flat=True))

    allow("read", to=signed_in, rows={"team": {"_in": "$CURRENT_USER.teams"}})

A value is looked up when something needs it, and once for each question: those of apps may query.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

Look = Callable[[Any], Any]

#: The roles of superusers, of other users, and of whoever is not signed in.
ADMINISTRATOR, AUTHENTICATED, PUBLIC = "administrator", "authenticated", "public"

_USER, _ROLE, _ROLES, _POLICIES = "$CURRENT_USER", "$CURRENT_ROLE", "$CURRENT_ROLES", "$CURRENT_POLICIES"
_NAME = re.compile(r"[a-z][a-z0-9_]*", re.ASCII)


def _role(user: Any) -> str:
    return ADMINISTRATOR if user.is_superuser else AUTHENTICATED


def _roles(user: Any) -> list[str]:
    return [_role(user), *user.groups.order_by("name").values_list("name", flat=True)]


_BUILT_IN: dict[str, Look] = {
    _USER: lambda user: user.pk,
    f"{_USER}.username": lambda user: user.username,
    f"{_USER}.email": lambda user: user.email,
    f"{_USER}.first_name": lambda user: user.first_name,
    f"{_USER}.last_name": lambda user: user.last_name,
    _ROLE: _role,
    _ROLES: _roles,
    # What a role may do is what the rights say; besides roles there is nothing that somebody could hold.
    _POLICIES: _roles,
}
_OF_NOBODY: dict[str, Any] = {_ROLE: PUBLIC, _ROLES: [PUBLIC], _POLICIES: [PUBLIC]}

_registered: list[tuple[str, Look]] = []


def user_value(name: str) -> Callable[[Look], Look]:
    """Offer what a function returns for a user as `$CURRENT_USER.<name>`: a value, or a list for `_in`.

    Rights that depend on it change when it does: `watch_rights` names the table it is read from.
    """

    def register(function: Look) -> Look:
        _registered.append((name, function))
        return function

    return register


class UserValues(Mapping[str, Any]):
    """The values of one user, or of somebody who is not signed in, by their variables."""

    def __init__(self, user: Any) -> None:
        self._user = user
        self._found: dict[str, Any] = {}

    def __getitem__(self, variable: str) -> Any:
        if variable not in self._found:
            look = _all()[variable]
            self._found[variable] = _OF_NOBODY.get(variable) if self._user is None else look(self._user)
        return self._found[variable]

    def __iter__(self) -> Iterator[str]:
        return iter(_all())

    def __len__(self) -> int:
        return len(_all())


def variables() -> frozenset[str]:
    """What rules and filters may say of the user."""
    return frozenset(_all())


def _all() -> dict[str, Look]:
    return _BUILT_IN | {f"{_USER}.{name}": function for name, function in _registered}


def mistakes() -> Iterator[str]:
    """What is wrong with the values that apps offer."""
    for name, count in Counter(name for name, _ in _registered).items():
        if not _NAME.fullmatch(name):
            yield f"{name!r} is no name for a value of the user: expected lower case like 'home_team'."
        if count > 1 or f"{_USER}.{name}" in _BUILT_IN:
            yield f"There is another value {_USER}.{name} of the user."
