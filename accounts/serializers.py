"""Serializers of requests and answers: types, lengths, and the only fields that are ever shown."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from accounts.models import Session, User
from accounts.services import SWITCHES

MAX_PASSWORD_CHARACTERS = 1024  # more is no safer, and hashing it is work for us
MAX_TOKEN_FIELD_CHARACTERS = 8192  # longer than any token we read; those too are answered as bad tokens


def _password(**options: Any) -> serializers.CharField:
    return serializers.CharField(
        write_only=True,
        trim_whitespace=False,
        max_length=MAX_PASSWORD_CHARACTERS,
        style={"input_type": "password"},
        **options,
    )


class UsernameField(serializers.CharField):
    """Compared and measured in the form it is stored in: one ligature can become eighteen letters."""

    def to_internal_value(self, data: Any) -> str:
        return User.normalize_username(super().to_internal_value(data))


class RegisterSerializer(serializers.Serializer[User]):
    """A new account."""

    username = UsernameField(
        max_length=150,
        validators=[User.username_validator],
        help_text="Letters of one script, digits and `@.+-_`; it cannot be changed by its user.",
    )
    email = serializers.EmailField(
        max_length=254, allow_blank=True, required=False, help_text="Another name to sign in with."
    )
    password = _password(help_text="At least 8 characters, and not easy to guess.")


class MeSerializer(serializers.ModelSerializer[User]):
    """The account of the user who asks."""

    email = serializers.EmailField(
        max_length=254,
        allow_null=True,
        allow_blank=True,
        required=False,
        help_text="Another name to sign in with.",
    )
    language = serializers.ChoiceField(
        choices=settings.LANGUAGES,
        allow_blank=True,
        required=False,
        help_text="The language of notifications; empty for the server's own.",
        # Without the value, which the default message repeats: it may be no text that can be sent.
        error_messages={"invalid_choice": _("This language is not available.")},
    )

    class Meta:
        model = User
        fields = ("id", "username", "email", "language", "first_name", "last_name", *SWITCHES)
        read_only_fields = ("id", "username")


class SignInSerializer(serializers.Serializer[Any]):
    """The username or e-mail, and the password, of a user who signs in."""

    username = serializers.CharField(max_length=254, help_text="A username, or an e-mail.")
    password = _password()


class PairSerializer(serializers.Serializer[Any]):
    """An access token, and the refresh token that buys the next pair once."""

    access = serializers.CharField(read_only=True, help_text="For `Authorization: Bearer`, and for sockets.")
    refresh = serializers.CharField(read_only=True, help_text="For the next pair.")


class RefreshSerializer(serializers.Serializer[Any]):
    """A refresh token that was not used yet."""

    refresh = serializers.CharField(write_only=True, max_length=MAX_TOKEN_FIELD_CHARACTERS)


class LogoutSerializer(serializers.Serializer[Any]):
    """The session to end, where it is not that of the access token."""

    refresh = serializers.CharField(write_only=True, required=False, max_length=MAX_TOKEN_FIELD_CHARACTERS)


class PasswordSerializer(serializers.Serializer[Any]):
    """The password there is, and the next one."""

    old_password = _password()
    new_password = _password()


class TicketSerializer(serializers.Serializer[Any]):
    """Opens one socket with `?ticket=…`, once."""

    ticket = serializers.CharField(read_only=True)
    expires_in = serializers.IntegerField(read_only=True, help_text="Seconds until it is worth nothing.")


class SessionSerializer(serializers.ModelSerializer[Session]):
    """A device that the user is signed in on."""

    current = serializers.SerializerMethodField(help_text="Whether it is the session that asks.")

    class Meta:
        model = Session
        fields = ("id", "created_at", "last_used_at", "user_agent", "address", "current")
        read_only_fields = fields

    def get_current(self, session: Session) -> bool:
        return str(session.pk) == self.context.get("session_id")


class SessionsSerializer(serializers.Serializer[Any]):
    """The sessions of a user."""

    results = SessionSerializer(many=True)
