"""Changes in the Django admin sign people out, like changes by any other code."""

import pytest
from django.test import Client
from django.urls import reverse

from accounts import tokens
from accounts.models import Session, User
from accounts.tokens import identify
from realtime.errors import AccountDisabledError, SessionRevokedError
from realtime.topics import user_topic


@pytest.fixture
def admin(db):
    root = User.objects.create_superuser("root", password="x")
    client = Client()
    client.force_login(root)
    return client


@pytest.fixture
def access(ana):
    return tokens.issue(ana)["access"]


def form(user, **changes):
    fields = {
        "username": user.username,
        "email": "",
        "first_name": "",
        "last_name": "",
        "language": "",
        "shares_receipts": "on",
        "shares_typing": "on",
        "is_active": "on",
        "date_joined_0": "2026-01-01",
        "date_joined_1": "00:00:00",
    }
    return {key: value for key, value in (fields | changes).items() if value is not None}


def change(admin, user, **changes):
    response = admin.post(reverse("admin:accounts_user_change", args=[user.pk]), form(user, **changes))
    assert response.status_code == 302, response.context["adminform"].errors


def run_action(admin, model, action, rows):
    url = reverse(f"admin:accounts_{model}_changelist")
    response = admin.post(url, {"action": action, "_selected_action": [row.pk for row in rows]}, follow=True)
    assert response.status_code == 200


def test_unticking_active_signs_out(admin, ana, access):
    change(admin, ana, is_active=None)

    with pytest.raises(AccountDisabledError):
        identify(access)
    assert not Session.objects.filter(revoked_at=None).exists()


def test_changing_a_name_signs_nobody_out(admin, ana, access):
    change(admin, ana, first_name="Ana", language="fr")

    assert identify(access).user.first_name == "Ana"


def test_unticking_a_switch_is_told_to_the_open_sockets_and_changing_a_name_is_not(
    transactional_db, admin, ana, published
):
    change(admin, ana, first_name="Ana")
    assert published == []

    change(admin, ana, shares_typing=None)

    switches = {"shares_receipts": True, "shares_typing": False}
    assert published == [(user_topic(ana.pk), {"type": "sharing_changed", **switches, "seq": 1})]
    assert User.objects.values(*switches).get(pk=ana.pk) == switches


def test_setting_a_password_signs_out(admin, ana, access):
    url = reverse("admin:auth_user_password_change", args=[ana.pk])
    fields = {"password1": "tr1cky-enough", "password2": "tr1cky-enough", "usable_password": "true"}
    assert admin.post(url, fields).status_code == 302

    with pytest.raises(SessionRevokedError):
        identify(access)


def test_action_disables_the_selected(admin, ana, bruno, access):
    run_action(admin, "user", "deactivate", [ana])

    with pytest.raises(AccountDisabledError):
        identify(access)
    assert User.objects.get(pk=bruno.pk).is_active


def test_action_signs_the_selected_out_everywhere(admin, ana, bruno, access):
    bystander = tokens.issue(bruno)["access"]

    run_action(admin, "user", "sign_out_everywhere", [ana])

    with pytest.raises(SessionRevokedError):
        identify(access)
    assert identify(bystander).user == bruno


def test_action_signs_one_session_out(admin, ana, access):
    session = ana.sessions.get()
    other = tokens.issue(ana)["access"]

    run_action(admin, "session", "sign_out", [session])

    with pytest.raises(SessionRevokedError):
        identify(access)
    assert identify(other).user == ana


def test_sessions_are_neither_added_nor_edited(admin, session):
    assert admin.get(reverse("admin:accounts_session_add")).status_code == 403
    page = admin.get(reverse("admin:accounts_session_change", args=[session.pk]))
    assert not page.context["adminform"].form.fields


def test_user_is_added_with_and_without_email(admin):
    for name, email in [("dora", "dora@example.com"), ("emil", ""), ("fritz", "")]:
        fields = {
            "username": name,
            "email": email,
            "language": "fr",
            "password1": "tr1cky-enough",
            "password2": "tr1cky-enough",
            "usable_password": "true",
        }
        assert admin.post(reverse("admin:accounts_user_add"), fields).status_code == 302

    assert User.objects.get(username="dora").email == "dora@example.com"
    assert User.objects.get(username="emil").email is None


def test_name_in_another_case_is_refused_in_the_form(admin, ana, bruno):
    response = admin.post(reverse("admin:accounts_user_change", args=[bruno.pk]), form(bruno, username="ANA"))

    assert response.status_code == 200
    assert "already exists" in str(response.context["errors"])


def test_user_with_sessions_can_be_deleted(admin, ana, access):
    response = admin.post(reverse("admin:accounts_user_delete", args=[ana.pk]), {"post": "yes"})

    assert response.status_code == 302
    assert not User.objects.filter(pk=ana.pk).exists()
