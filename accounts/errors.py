"""The errors of accounts."""

from __future__ import annotations

from realtime import InvalidInputError, OverloadedError, UnauthenticatedError


class WrongCredentialsError(UnauthenticatedError):
    """No active account has this name and password."""

    code = "wrong_credentials"


class WrongPasswordError(InvalidInputError):
    """The old password is wrong."""

    code = "wrong_password"


class WeakPasswordError(InvalidInputError):
    """The password is too easy to guess."""

    code = "weak_password"


class UsernameTakenError(InvalidInputError):
    """A user with that username already exists."""

    code = "username_taken"


class MixedScriptsError(InvalidInputError):
    """The letters of a name must belong to one script."""

    code = "mixed_scripts"


class EmailTakenError(InvalidInputError):
    """This e-mail is taken."""

    code = "email_taken"


class UnknownUserError(InvalidInputError):
    """At least one of these users does not exist."""

    code = "unknown_user"


class TooManyPasswordsError(OverloadedError):
    """Too many passwords are being checked right now; come back later."""
