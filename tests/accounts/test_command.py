"""`manage.py token` prints a token and nothing else, so that it can be used in a pipe."""

import io

import pytest
from django.core.management import CommandError, call_command

from accounts.models import User
from accounts.tokens import identify


@pytest.mark.parametrize("name", ["ana", "ana@example.com"])
def test_token_is_printed_alone(ana, name):
    User.objects.filter(pk=ana.pk).update(email="ana@example.com")
    printed = io.StringIO()

    call_command("token", name, stdout=printed)

    (line,) = printed.getvalue().splitlines()
    identity = identify(line)
    assert (identity.user, str(ana.sessions.get().pk)) == (ana, identity.session_id)


def test_unknown_user_gets_none(db):
    with pytest.raises(CommandError, match="nobody"):
        call_command("token", "nobody")


def test_disabled_user_gets_none(ana):
    User.objects.filter(pk=ana.pk).update(is_active=False)

    with pytest.raises(CommandError, match="disabled"):
        call_command("token", "ana")
