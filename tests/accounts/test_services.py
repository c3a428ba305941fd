"""Signing in, refreshing, and every way a session ends."""

import datetime as dt
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from unittest import mock

import pytest
from django.contrib.auth import hashers
from django.db import connection
from django.utils import timezone
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken

from accounts import selectors, services, tokens
from accounts.errors import EmailTakenError, UsernameTakenError, WrongCredentialsError, WrongPasswordError
from accounts.models import Session, User
from accounts.tokens import identify
from realtime.errors import (
    AccountDisabledError,
    NotFoundError,
    RealtimeError,
    SessionRevokedError,
    TokenExpiredError,
)
from realtime.topics import user_topic
from tests.accounts.forgeries import good_claims, sign

PASSWORD = "demo-password"


def sid(pair):
    return tokens.AccessToken(pair["access"])["sid"]


def refused(service, **arguments):
    with pytest.raises(RealtimeError) as refusal:
        service(**arguments)
    return refusal.value.code


# ── signing in ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["ana", "ANA", "ana@example.com", "Ana@Example.Com", "ａｎａ"])
def test_username_or_email_signs_in_regardless_of_case(ana, name):
    User.objects.filter(pk=ana.pk).update(email="ana@example.com")

    pair = services.sign_in(username=name, password=PASSWORD, user_agent="Firefox", address="10.0.0.1")

    session = Session.objects.get()
    assert identify(pair["access"]).session_id == str(session.pk) == sid(pair)
    assert (session.user, session.user_agent, session.address) == (ana, "Firefox", "10.0.0.1")


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("ana", "wrong"),
        ("ana", ""),
        ("ana", "demo-password "),
        ("nobody", PASSWORD),
        ("", PASSWORD),
        ("bruno", PASSWORD),
    ],
)
def test_wrong_name_password_or_disabled_account_get_one_answer(ana, bruno, name, password):
    services.deactivate(user=bruno)

    with pytest.raises(WrongCredentialsError) as refusal:
        services.sign_in(username=name, password=password)

    assert refusal.value.message == WrongCredentialsError().message
    assert not Session.objects.exists()


@pytest.mark.parametrize("name", ["ana", "bruno", "locked", "nobody"])
def test_every_refusal_costs_one_hash(ana, bruno, monkeypatch, name):
    """Response times would tell which names exist, so each refusal hashes a password."""
    services.deactivate(user=bruno)
    User.objects.create_user("locked")
    hasher = type(hashers.get_hasher())
    hashed = mock.Mock(wraps=hasher().encode)
    monkeypatch.setattr(hasher, "encode", hashed)

    with pytest.raises(WrongCredentialsError):
        services.sign_in(username=name, password="wrong")

    assert hashed.call_count == 1


def test_username_wins_over_somebody_elses_email(ana, bruno):
    """Nobody can make such a pair any more; old databases may hold one."""
    User._base_manager.filter(pk=bruno.pk).update(email="ana")

    assert selectors.user_named("ana") == ana


def test_each_sign_in_is_a_session_of_its_own(ana):
    pairs = [services.sign_in(username="ana", password=PASSWORD) for _ in range(2)]

    assert sid(pairs[0]) != sid(pairs[1])


def test_sign_in_forgets_sessions_that_ended_long_ago(ana, bruno, settings):
    ended = timezone.now() - settings.SIMPLE_JWT["REFRESH_TOKEN_LIFETIME"] - dt.timedelta(days=1)
    forgotten, alive, foreign = (Session.objects.create(user=user) for user in (ana, ana, bruno))
    Session.objects.exclude(pk=alive.pk).update(last_used_at=ended)

    services.sign_in(username="ana", password=PASSWORD)

    assert not Session.objects.filter(pk=forgotten.pk).exists()
    assert Session.objects.filter(pk__in=[alive.pk, foreign.pk]).count() == 2


def during_the_check(monkeypatch, happen):
    """Do something once, while a password is being checked."""
    checked = services.authenticate
    left = [happen]

    def authenticate(**credentials):
        user = checked(**credentials)
        if left:
            left.pop()()
        return user

    monkeypatch.setattr(services, "authenticate", authenticate)


def is_given_a_new_password(ana):
    services.change_password(
        user=User.objects.get(pk=ana.pk), old_password=PASSWORD, new_password="tr1cky-enough"
    )


def is_given_one_in_the_admin(ana):
    ana.set_password("tr1cky-enough")
    ana.save()


@pytest.mark.parametrize(
    "happen",
    [
        is_given_a_new_password,
        is_given_one_in_the_admin,
        lambda ana: services.deactivate(user=ana),
        lambda ana: ana.delete(),
    ],
)
def test_password_that_is_replaced_while_it_is_checked_signs_nobody_in(ana, monkeypatch, happen):
    during_the_check(monkeypatch, lambda: happen(ana))

    assert refused(services.sign_in, username="ana", password=PASSWORD) == "wrong_credentials"

    assert not Session.objects.filter(revoked_at=None).exists()


def renewed_by_default(settings):
    """From now on hashes like Ana's are outdated."""
    settings.PASSWORD_HASHERS = [
        "django.contrib.auth.hashers.PBKDF2PasswordHasher",
        *settings.PASSWORD_HASHERS,
    ]


def test_sign_in_whose_hash_is_renewed_by_another_at_the_same_time_succeeds(ana, monkeypatch, settings):
    renewed_by_default(settings)
    renew, other = User._renew_hash, [lambda: services.sign_in(username="ana", password=PASSWORD)]

    def renew_second(user, password):
        if other:
            other.pop()()
        renew(user, password)

    monkeypatch.setattr(User, "_renew_hash", renew_second)

    assert identify(services.sign_in(username="ana", password=PASSWORD)["access"]).user == ana


def test_hash_that_is_renewed_does_not_bring_a_replaced_password_back(ana, monkeypatch, settings):
    stale = User.objects.get(pk=ana.pk)
    is_given_a_new_password(ana)
    renewed_by_default(settings)

    assert stale.check_password(PASSWORD)  # the object is as it was when it was loaded

    assert User.objects.get(pk=ana.pk).check_password("tr1cky-enough")


def test_of_two_new_passwords_at_once_the_second_is_refused(ana):
    stale = User.objects.get(pk=ana.pk)
    is_given_a_new_password(ana)

    change = {"user": stale, "old_password": PASSWORD, "new_password": "of-a-th1ef"}
    assert refused(services.change_password, **change) == "wrong_password"

    assert User.objects.get(pk=ana.pk).check_password("tr1cky-enough")


# ── registering ──────────────────────────────────────────────────────────────────────────────────────────


def test_registered_user_signs_in(db):
    services.register(username="dora", email="dora@example.com", password="tr1cky-enough")

    assert services.sign_in(username="dora@example.com", password="tr1cky-enough")


@pytest.mark.parametrize(
    ("username", "email", "error"),
    [
        ("ana", "", UsernameTakenError),
        ("Ana", "", UsernameTakenError),
        ("ANA@example.com", "", UsernameTakenError),  # somebody's e-mail
        ("dora", "ana@EXAMPLE.com", EmailTakenError),
    ],
)
def test_name_of_somebody_else_is_refused(ana, username, email, error):
    User.objects.filter(pk=ana.pk).update(email="ana@example.com")

    with pytest.raises(error):
        services.register(username=username, email=email, password="tr1cky-enough")


def test_email_that_is_somebodys_username_is_refused(db):
    User.objects.create_user("ana@example.com")

    with pytest.raises(EmailTakenError):
        services.register(username="dora", email="ana@example.com", password="tr1cky-enough")


@pytest.mark.parametrize(
    ("first", "second", "error"),
    [
        ({"username": "dora", "email": ""}, {"username": "Dora", "email": ""}, UsernameTakenError),
        (
            {"username": "d", "email": "d@e.example"},
            {"username": "e", "email": "D@e.example"},
            EmailTakenError,
        ),
    ],
)
def test_race_for_a_name_has_one_winner(db, monkeypatch, first, second, error):
    taken = selectors.is_taken
    answers = iter([False] * (2 if second["email"] else 1))
    services.register(**first, password="tr1cky-enough")
    monkeypatch.setattr(selectors, "is_taken", lambda name: next(answers, None) is not False and taken(name))

    with pytest.raises(error):
        services.register(**second, password="tr1cky-enough")


# ── refreshing ───────────────────────────────────────────────────────────────────────────────────────────


def test_refresh_gives_the_next_pair_of_the_same_session(ana):
    first = tokens.issue(ana)
    Session.objects.update(last_used_at=timezone.now() - dt.timedelta(days=1))

    second = services.refresh(token=first["refresh"])

    assert sid(second) == sid(first)
    assert second["refresh"] != first["refresh"]
    assert identify(second["access"]).user == ana
    assert timezone.now() - Session.objects.get().last_used_at < dt.timedelta(minutes=1)
    assert services.refresh(token=second["refresh"])


def test_refresh_token_asked_again_buys_the_same_next_one(ana):
    """The answer may have been lost, or two tabs refresh at once: that is no theft, and both go on."""
    first = tokens.issue(ana)
    answers = [services.refresh(token=first["refresh"]) for _ in range(3)]

    assert len({answer["refresh"] for answer in answers}) == 1
    assert answers[0]["refresh"] != first["refresh"]
    assert [identify(answer["access"]).session_id for answer in answers] == [sid(first)] * 3
    assert services.refresh(token=answers[2]["refresh"])["refresh"] != answers[2]["refresh"]


def test_access_token_of_a_repeated_answer_lives_as_long_as_any(ana, monkeypatch):
    first = tokens.issue(ana)
    lost = tokens.AccessToken(services.refresh(token=first["refresh"])["access"])
    BlacklistedToken.objects.update(blacklisted_at=timezone.now() - dt.timedelta(seconds=30))

    repeated = services.refresh(token=first["refresh"])

    assert tokens.AccessToken(repeated["access"])["exp"] >= lost["exp"]
    refresh = tokens.RefreshToken(repeated["refresh"])
    assert refresh["exp"] - refresh["iat"] == tokens.RefreshToken.lifetime.total_seconds()
    assert timezone.now().timestamp() - refresh["iat"] > 29  # the time at which the first answer was given


def test_refresh_token_whose_successor_was_used_ends_the_session(transactional_db, ana, published):
    """This holds within the grace period too: a client that has the next pair, and uses it, does not ask for
    it again."""
    first = tokens.issue(ana)
    second = services.refresh(token=first["refresh"])
    third = services.refresh(token=second["refresh"])

    assert refused(services.refresh, token=first["refresh"]) == "unauthenticated"

    assert refused(identify, raw_token=third["access"]) == "session_revoked"
    assert refused(services.refresh, token=third["refresh"]) == "session_revoked"
    assert [event["session_id"] for _, event in published] == [sid(first)]


def test_late_reuse_of_a_refresh_token_ends_the_session(transactional_db, ana, published):
    """Two parties hold it: one is a thief, and nobody can tell which (RFC 9700 §4.14.2)."""
    first = tokens.issue(ana)
    second = services.refresh(token=first["refresh"])
    other = tokens.issue(ana)
    BlacklistedToken.objects.update(
        blacklisted_at=timezone.now() - services.REUSE_GRACE - dt.timedelta(seconds=1)
    )

    assert refused(services.refresh, token=first["refresh"]) == "unauthenticated"

    assert refused(identify, raw_token=second["access"]) == "session_revoked"
    assert refused(services.refresh, token=second["refresh"]) == "session_revoked"
    assert [event["session_id"] for _, event in published] == [sid(first)]
    assert identify(other["access"]).user == ana


def test_refreshes_at_once_all_go_on_and_fork_nothing(transactional_db, ana):
    for _ in range(5):
        pair = tokens.issue(ana)
        barrier = threading.Barrier(3)

        def use(pair=pair, barrier=barrier) -> tokens.Pair:
            barrier.wait()
            try:
                return services.refresh(token=pair["refresh"])
            finally:
                connection.close()

        with ThreadPoolExecutor(3) as pool:
            answers = list(pool.map(lambda _: use(), range(3)))
        assert len({answer["refresh"] for answer in answers}) == 1
        assert {identify(answer["access"]).session_id for answer in answers} == {sid(pair)}


def test_refresh_tokens_are_not_stored(ana):
    pair = tokens.issue(ana)
    services.refresh(token=pair["refresh"])

    assert list(OutstandingToken.objects.values_list("token", flat=True)) == [""]


def test_expired_refresh_token_is_told_so(session):
    token = sign({**good_claims(session), "token_type": "refresh", "exp": 1})

    with pytest.raises(TokenExpiredError):
        services.refresh(token=token)


@pytest.mark.parametrize(
    "change",
    [
        {"token_type": "access"},
        {"token_type": "anon"},
        {"token_type": "sliding"},
        {"sid": None},
        {"sid": "x"},
        {"user_id": "0"},
        {"user_id": []},
        {"jti": 7},
    ],
)
def test_wrong_kind_of_refresh_token_is_refused(session, change):
    claims = {**good_claims(session), "token_type": "refresh"}
    assert services.refresh(token=sign(claims))  # unchanged, it is good

    token = sign({**claims, "jti": uuid.uuid4().hex, **change})

    assert refused(services.refresh, token=token) == "unauthenticated"


def test_refresh_token_without_session_is_refused(session):
    """Nobody could ever revoke such a token."""
    claims = {**good_claims(session), "token_type": "refresh"}
    del claims["sid"]

    assert refused(services.refresh, token=sign(claims)) == "unauthenticated"


def test_refresh_token_naming_another_user_is_refused(session, bruno):
    claims = {**good_claims(session), "token_type": "refresh", "user_id": str(bruno.pk)}

    assert refused(services.refresh, token=sign(claims)) == "session_revoked"


@pytest.mark.parametrize(
    ("withdraw", "error"),
    [
        (lambda user: services.revoke_all(user=user), SessionRevokedError),
        (lambda user: services.deactivate(user=user), AccountDisabledError),
        (lambda user: User.objects.update(is_active=False), AccountDisabledError),
        (lambda user: user.delete(), SessionRevokedError),
    ],
)
def test_refresh_stops_when_access_is_withdrawn(ana, withdraw, error):
    pair = tokens.issue(ana)
    withdraw(ana)

    with pytest.raises(error):
        services.refresh(token=pair["refresh"])


# ── ending sessions ──────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def pairs(transactional_db, ana, bruno):
    """Two sessions of Ana's, and one of a user who is not concerned."""
    return tokens.issue(ana), tokens.issue(ana), tokens.issue(bruno)


def alive(*pairs):
    states = []
    for pair in pairs:
        try:
            states.append(bool(identify(pair["access"])))
        except SessionRevokedError:
            states.append(False)
    return states


def test_one_session_is_revoked(pairs, ana, published):
    services.revoke_session(user=ana, session_id=sid(pairs[0]))

    assert alive(*pairs) == [False, True, True]
    assert published == [
        (user_topic(ana.pk), {"type": "session_revoked", "session_id": sid(pairs[0]), "seq": 1})
    ]


def test_session_revoked_twice_is_told_once(pairs, ana, published):
    for _ in range(2):
        services.revoke_session(user=ana, session_id=sid(pairs[0]))

    assert len(published) == 1


def test_session_of_somebody_else_cannot_be_revoked(pairs, ana, published):
    for session_id in (sid(pairs[2]), uuid.uuid4()):
        with pytest.raises(NotFoundError):
            services.revoke_session(user=ana, session_id=session_id)

    assert alive(*pairs) == [True, True, True]
    assert published == []


def test_all_sessions_are_revoked(pairs, ana, published):
    services.revoke_all(user=ana)

    assert alive(*pairs) == [False, False, True]
    assert published == [(user_topic(ana.pk), {"type": "session_revoked", "session_id": None, "seq": 1})]


@pytest.mark.parametrize("kind", ["access", "refresh"])
def test_either_token_signs_its_session_out(pairs, ana, published, kind):
    services.sign_out(**{f"{kind}_token": pairs[0][kind]})

    assert alive(*pairs) == [False, True, True]
    assert [event["session_id"] for _, event in published] == [sid(pairs[0])]
    assert refused(services.refresh, token=pairs[0]["refresh"]) == "session_revoked"


def test_one_valid_token_is_enough_to_sign_out(pairs):
    services.sign_out(access_token="expired", refresh_token=pairs[0]["refresh"])
    services.sign_out(access_token=pairs[1]["access"], refresh_token="expired")

    assert alive(*pairs) == [False, False, True]


def test_signing_out_needs_a_token(pairs):
    assert refused(services.sign_out) == "unauthenticated"
    assert refused(services.sign_out, access_token="x", refresh_token="y") == "unauthenticated"
    assert refused(services.sign_out, access_token=pairs[0]["refresh"]) == "unauthenticated"
    assert refused(services.sign_out, refresh_token=pairs[0]["access"]) == "unauthenticated"

    assert alive(*pairs) == [True, True, True]


def test_rotated_refresh_token_still_signs_out(pairs):
    services.refresh(token=pairs[0]["refresh"])

    services.sign_out(refresh_token=pairs[0]["refresh"])

    assert alive(*pairs) == [False, True, True]


def test_token_without_session_has_nothing_to_end(pairs, ana, published):
    claims = good_claims(Session(user=ana))
    del claims["sid"]

    services.sign_out(access_token=sign(claims))

    assert alive(*pairs) == [True, True, True]
    assert published == []


def test_new_password_ends_every_session_but_the_one_that_asked(pairs, ana, published):
    services.change_password(
        user=ana, old_password=PASSWORD, new_password="tr1cky-enough", keep=sid(pairs[0])
    )

    assert alive(*pairs) == [True, False, True]
    assert published == [
        (user_topic(ana.pk), {"type": "session_revoked", "session_id": sid(pairs[1]), "seq": 1})
    ]
    assert services.sign_in(username="ana", password="tr1cky-enough")
    assert refused(services.sign_in, username="ana", password=PASSWORD) == "wrong_credentials"


def test_new_password_of_a_caller_without_a_session_ends_all_sessions(pairs, ana):
    services.change_password(user=ana, old_password=PASSWORD, new_password="tr1cky-enough")

    assert alive(*pairs) == [False, False, True]


def test_wrong_old_password_changes_nothing(pairs, ana, published):
    with pytest.raises(WrongPasswordError):
        services.change_password(user=ana, old_password="wrong", new_password="tr1cky-enough")

    assert alive(*pairs) == [True, True, True]
    assert services.sign_in(username="ana", password=PASSWORD)
    assert published == []


def test_weak_new_password_changes_nothing(pairs, ana):
    assert (
        refused(services.change_password, user=ana, old_password=PASSWORD, new_password="1234")
        == "weak_password"
    )

    assert alive(*pairs) == [True, True, True]
    assert services.sign_in(username="ana", password=PASSWORD)


def test_deactivation_is_told_and_ends_everything(pairs, ana, published):
    services.deactivate(user=ana)

    assert refused(identify, raw_token=pairs[0]["access"]) == "account_disabled"
    assert alive(pairs[2]) == [True]
    assert published == [(user_topic(ana.pk), {"type": "account_disabled", "seq": 1})]


# ── what others are told ─────────────────────────────────────────────────────────────────────────────────


def sharing(ana, seq, **switches):
    told = {"type": "sharing_changed", "shares_receipts": True, "shares_typing": True, "seq": seq}
    return user_topic(ana.pk), told | switches


def test_switch_is_told_to_the_users_own_sockets_and_other_changes_are_not(
    transactional_db, ana, bruno, published
):
    services.update_profile(user=ana, first_name="Ana", language="fr")
    services.update_profile(user=ana)
    assert published == []

    services.update_profile(user=ana, shares_typing=False)
    services.update_profile(user=ana, shares_typing=True, shares_receipts=False, first_name="A.")

    assert published == [sharing(ana, 1, shares_typing=False), sharing(ana, 2, shares_receipts=False)]


def test_two_devices_that_turn_one_switch_each_are_both_obeyed(transactional_db, ana, published):
    """Each device loaded the user before the other one wrote."""
    one, other = User.objects.get(pk=ana.pk), User.objects.get(pk=ana.pk)

    services.update_profile(user=one, shares_typing=False)
    services.update_profile(user=other, shares_receipts=False)

    assert published[-1] == sharing(ana, 2, shares_typing=False, shares_receipts=False)


def test_switch_that_was_not_stored_is_not_told(transactional_db, ana, bruno, published, monkeypatch):
    """The same request asks for an e-mail that somebody else has just taken."""
    User.objects.filter(pk=bruno.pk).update(email="bruno@example.com")
    monkeypatch.setattr("accounts.selectors.is_taken", lambda *_, **__: False)

    with pytest.raises(EmailTakenError):
        services.update_profile(user=ana, shares_typing=False, email="bruno@example.com")

    assert published == []
    assert User.objects.get(pk=ana.pk).shares_typing
