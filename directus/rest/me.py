"""`/users/me`: the user who asks, and what users change of themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rest_framework import exceptions as drf
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import User
from accounts.serializers import MAX_PASSWORD_CHARACTERS, MeSerializer
from accounts.throttling import RegistrationThrottle
from directus import users
from directus.errors import (
    USERS,
    FailedValidationError,
    ForbiddenError,
    InvalidPayloadError,
    SeveralErrors,
    ValueTooLongError,
)
from directus.rest.authentication import identity_of
from directus.rest.errors import faults_of
from directus.rest.views import UserView, body, shown
from directus.static_tokens import HIDDEN

#: What users change of themselves, beside the two secrets.
PROFILE = frozenset({"first_name", "last_name", "email", "language"})
SECRETS = frozenset({"password", "token"})


class MeView(UserView):
    def get(self, request: Request) -> Response:
        return shown(users.shown(identity_of(request).user, _fields(request)))

    def patch(self, request: Request) -> Response:
        identity, fields = identity_of(request), _fields(request)
        user = identity.user
        changes = _changes(user, body(request))
        secrets = {name: _secret(name, changes.pop(name)) for name in SECRETS & changes.keys()}
        profile = _profile(changes)
        if profile.get("email") not in (None, user.email) or secrets.get("token"):
            # Counted as a registration, because these answers tell too whether something is taken.
            RegistrationThrottle().allow_request(request, self)
        users.update(user=user, keep=identity.session_id, profile=profile, secrets=secrets)
        return shown(users.shown(user, fields))


def _fields(request: Request) -> list[str]:
    """The names of the fields that are asked for; without any all of them."""
    asked = [*request.query_params.getlist("fields"), *request.query_params.getlist("fields[]")]
    names = [name.strip() for each in asked for name in each.split(",") if name.strip()]
    return users.columns_of(names or ["*"])


def _changes(user: User, members: Mapping[str, Any]) -> dict[str, Any]:
    """The members of a body that change something: clients send back what they were shown."""
    present = users.shown(user, users.columns_of(["*"]))
    changes = {
        name: value
        for name, value in members.items()
        if not (name in present and value == present[name]) and not (name in SECRETS and value == HIDDEN)
    }
    if unknown := sorted(changes.keys() - PROFILE - SECRETS):
        raise ForbiddenError(f"users do not change {', '.join(unknown)[:100]} of themselves.")
    return changes


def _profile(changes: Mapping[str, Any]) -> dict[str, Any]:
    """The changes as the model stores them: texts that are not null, and languages by their short names."""
    given = {name: "" if value is None and name != "email" else value for name, value in changes.items()}
    if isinstance(language := given.get("language"), str):
        given["language"] = language.partition("-")[0].lower()
    checked = MeSerializer(data=given, partial=True)
    try:
        checked.is_valid(raise_exception=True)
    except drf.ValidationError as invalid:
        raise SeveralErrors(list(faults_of(invalid, USERS))) from None
    return dict(checked.validated_data)


def _secret(name: str, value: Any) -> str | None:
    if value is None and name == "token":
        return None
    if not isinstance(value, str):
        raise InvalidPayloadError(f"{name} is a text.")
    if name == "password" and len(value) > MAX_PASSWORD_CHARACTERS:
        raise ValueTooLongError(USERS, "password")
    if "\0" in value or any("\ud800" <= each <= "\udfff" for each in value):
        raise FailedValidationError(name, "regex")
    return value
