"""Saving a user with a new password, or a disabled one, ends the user's sessions, whatever code saves."""

import asyncio

import pytest
from django.contrib.auth.hashers import make_password
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.db import IntegrityError, transaction

from accounts import tokens
from accounts.models import Session, User
from accounts.tokens import identify
from realtime.errors import AccountDisabledError, SessionRevokedError
from realtime.topics import user_topic


@pytest.fixture
def access(transactional_db, ana):
    """An access token of Ana's."""
    return tokens.issue(ana)["access"]


def by_set_password(user):
    user.set_password("a-brand-new-one")
    user.save()


def by_update_fields(user):
    user.set_password("a-brand-new-one")
    user.save(update_fields=["password"])


def by_assigning_a_hash(user):
    user.password = make_password("a-brand-new-one")
    user.save()


def by_locking_it(user):
    user.set_unusable_password()
    user.save()


def by_a_deferred_instance(user):
    user = User.objects.only("username").get(pk=user.pk)
    user.set_password("a-brand-new-one")
    user.save()


def by_hand(user):
    User(pk=user.pk, username="ana", password=make_password("x")).save(force_update=True)


def by_asave(user):
    user.set_password("a-brand-new-one")
    asyncio.run(user.asave())


def by_command(user):
    from unittest import mock

    with mock.patch("getpass.getpass", return_value="a-brand-new-one"):
        call_command("changepassword", "ana", verbosity=0)


@pytest.mark.parametrize(
    "change",
    [
        by_set_password,
        by_update_fields,
        by_assigning_a_hash,
        by_locking_it,
        by_a_deferred_instance,
        by_hand,
        by_asave,
        by_command,
    ],
)
def test_new_password_signs_out_everywhere(access, ana, bruno, published, change):
    bystander = tokens.issue(bruno)["access"]
    identify(access)

    change(ana)

    with pytest.raises(SessionRevokedError):
        identify(access)
    assert published == [(user_topic(ana.pk), {"type": "session_revoked", "session_id": None, "seq": 1})]
    assert identify(bystander).user == bruno


def test_stale_instance_that_restores_the_old_password_signs_out_too(access, ana, published):
    stale = User.objects.get(pk=ana.pk)
    by_set_password(ana)

    stale.first_name = "Ana"
    stale.save()

    assert len(published) == 2


@pytest.mark.parametrize("fields", [None, ["is_active"]])
def test_disabling_ends_everything(access, ana, published, fields):
    ana.is_active = False
    ana.save(update_fields=fields)

    with pytest.raises(AccountDisabledError):
        identify(access)
    assert not Session.objects.filter(revoked_at=None).exists()
    assert published == [(user_topic(ana.pk), {"type": "account_disabled", "seq": 1})]


def test_enabled_again_the_old_sessions_stay_ended(access, ana):
    for active in (False, True):
        ana.is_active = active
        ana.save()

    with pytest.raises(SessionRevokedError):
        identify(access)


def test_disabling_with_a_new_password_is_told_once(access, ana, published):
    ana.is_active = False
    by_set_password(ana)

    assert [event["type"] for _, event in published] == ["account_disabled"]


def save_with(user, update_fields=None, **changes):
    vars(user).update(changes)
    user.save(update_fields=update_fields)


@pytest.mark.parametrize(
    "harmless",
    [
        lambda user: user.save(),
        lambda user: save_with(user, first_name="Ana"),
        lambda user: user.set_password("unsaved") or user.save(update_fields=["first_name"]),
        lambda user: user.set_password("unsaved") or user.save(update_fields=["is_active"]),
        lambda user: save_with(user, ["password"], is_active=False),
        lambda user: User.objects.create_user("somebody-else"),
        lambda user: User(pk=9_999, username="with-a-chosen-id").save(),
    ],
)
def test_saving_anything_else_signs_nobody_out(access, ana, published, harmless):
    harmless(ana)

    assert identify(access).user == ana
    assert published == []


@pytest.mark.parametrize("asynchronous", [False, True])
def test_hash_renewed_at_login_signs_nobody_out(access, ana, published, settings, asynchronous):
    old = User.objects.get(pk=ana.pk).password
    settings.PASSWORD_HASHERS = [
        "django.contrib.auth.hashers.PBKDF2PasswordHasher",
        *settings.PASSWORD_HASHERS,
    ]

    check = (
        asyncio.run(ana.acheck_password("demo-password"))
        if asynchronous
        else ana.check_password("demo-password")
    )

    assert check
    assert User.objects.get(pk=ana.pk).password != old
    assert identify(access).user == ana
    assert published == []


def test_rolled_back_password_signs_nobody_out(access, ana, published):
    with transaction.atomic():
        by_set_password(ana)
        transaction.set_rollback(True)

    assert identify(access).user == ana
    assert published == []


def test_password_and_sign_out_are_one_transaction(access, ana, monkeypatch):
    """If they were two, a crash between them would leave a thief signed in."""
    old = User.objects.get(pk=ana.pk).password

    def crash(**_):
        raise RuntimeError

    monkeypatch.setattr("accounts.services.access_was_withdrawn", crash)
    with pytest.raises(RuntimeError):
        by_set_password(ana)

    assert User.objects.get(pk=ana.pk).password == old


def test_update_without_save_still_stops_new_requests(access, ana):
    User.objects.filter(pk=ana.pk).update(is_active=False)

    with pytest.raises(AccountDisabledError):
        identify(access)


@pytest.mark.parametrize("delete", [lambda user: user.delete(), lambda user: User.objects.all().delete()])
def test_deleted_user_ends_every_socket(access, ana, published, delete):
    topic = user_topic(ana.pk)

    delete(ana)

    assert (topic, None) in [(name, event["session_id"]) for name, event in published]


def test_deleted_session_ends_its_sockets(access, ana, published):
    session = ana.sessions.get()

    Session.objects.all().delete()

    assert [event["session_id"] for _, event in published] == [str(session.pk)]


def test_deleting_an_ended_session_tells_nobody(access, ana, published):
    Session.objects.update(revoked_at="2026-01-01T00:00:00Z")

    Session.objects.all().delete()

    assert published == []


# ── names ────────────────────────────────────────────────────────────────────────────────────────────────


def test_users_without_email_do_not_collide(db):
    users = [User.objects.create_user(f"user{number}", email="") for number in range(2)]

    assert [user.email for user in users] == [None, None]


@pytest.mark.parametrize("fields", [{"username": "Ana"}, {"username": "x", "email": "ANA@example.com"}])
def test_name_that_differs_only_by_case_is_taken(db, fields):
    User.objects.create_user("ana", email="ana@example.com")

    with pytest.raises(ValidationError, match=r"taken|exists"):
        User(**fields).validate_constraints()
    with pytest.raises(IntegrityError), transaction.atomic():
        User.objects.create_user(**fields)


def test_rows_have_a_readable_name(session):
    from django.utils import timezone

    from accounts.models import Ticket

    session.user_agent = "Firefox"
    now = timezone.now()
    assert str(session) == f"{session.user_id} Firefox"
    assert str(Ticket(user=session.user, expires_at=now)) == f"{session.user_id} until {now:%H:%M:%S}"
