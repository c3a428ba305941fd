"""What the dialect knows of a user goes along in the export, and is gone when the user is forgotten."""

import json

import pytest
from django.core.management import call_command

from accounts.forgetting import forget
from accounts.leaving import sections
from directus import static_tokens
from directus.models import StaticToken

STATIC = "a-static-token-of-ana"


def test_export_says_that_there_is_a_static_token_and_not_which(ana):
    static_tokens.set_token(user=ana, token=STATIC)

    [rows] = [section.rows for section in sections() if section.name == "static_tokens"]
    exported = list(rows(ana))

    assert [set(row) for row in exported] == [{"created_at"}]
    assert STATIC not in json.dumps(exported, default=str)


@pytest.mark.django_db(transaction=True)
def test_forgotten_user_has_no_static_token(ana, bruno):
    static_tokens.set_token(user=ana, token=STATIC)
    static_tokens.set_token(user=bruno, token="a-static-token-of-bruno")

    reports = dict(forget(ana, deletes_messages=True, settle=lambda: None))

    assert reports["static tokens were deleted"] == 1
    assert [token.user for token in StaticToken.objects.all()] == [bruno]


def test_export_command_has_the_section(ana, capsys):
    static_tokens.set_token(user=ana, token=STATIC)
    call_command("export_user", "ana")

    assert '"static_tokens"' in capsys.readouterr().out
