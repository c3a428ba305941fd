"""Credentials: access, session and static tokens, and how sessions begin, go on and end."""

import datetime as dt
import time

import pytest
from django.utils import timezone
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken

from accounts import services, tokens
from accounts.models import Handle, Session, User
from directus import credentials, static_tokens
from directus.errors import told
from directus.models import StaticToken
from realtime import RealtimeError
from tests.factories import PASSWORD

STATIC = "a-static-token-of-ana"


class Source(dict):
    """The scope of a request from an address."""

    def __init__(self, address: str = "192.0.2.7") -> None:
        super().__init__(client=(address, 1), headers=[])


def refused(function, *arguments, **options) -> str:
    """The code that a call is refused with."""
    with pytest.raises(RealtimeError) as caught:
        function(*arguments, **options)
    return told(caught.value).code


def age_traded_tokens() -> None:
    """Let the grace of all traded tokens be over."""
    BlacklistedToken.objects.update(
        blacklisted_at=timezone.now() - tokens.REUSE_GRACE - dt.timedelta(seconds=1)
    )


# ── who it is ────────────────────────────────────────────────────────────────────────────────────────────


def test_access_token_is_its_user(ana):
    assert credentials.identify(tokens.access_token(ana)).user == ana


def test_session_token_is_its_user_in_its_session(ana):
    token = credentials.sign_in_for_cookie(email="ana", password=PASSWORD, source=Source())

    identity = credentials.identify(token)

    assert (identity.user, identity.session_id) == (ana, str(Session.objects.get().pk))
    assert identity.expires_at - time.time() == pytest.approx(86_400, abs=60)


@pytest.mark.parametrize(
    ("token", "code"),
    [
        ("", "INVALID_CREDENTIALS"),
        ("short", "INVALID_CREDENTIALS"),
        ("nobody-has-this-token", "INVALID_CREDENTIALS"),
        ("not printable \x00 at all", "INVALID_CREDENTIALS"),
        ("é" * 30, "INVALID_CREDENTIALS"),
        ("x" * 5000, "INVALID_CREDENTIALS"),
        ("eyJhbGciOiJIUzI1NiJ9.e30.c2lnbmF0dXJl", "INVALID_TOKEN"),
        ("a.b.c", "INVALID_TOKEN"),
    ],
)
def test_token_that_is_not_ours(db, token: str, code: str):
    assert refused(credentials.identify, token) == code


def test_refresh_token_opens_nothing(ana):
    assert refused(credentials.identify, tokens.issue(ana)["refresh"]) == "INVALID_TOKEN"


def test_expired_token_is_told_as_expired(ana):
    token = tokens.AccessToken()
    token["user_id"] = str(ana.pk)
    token.set_exp(from_time=timezone.now() - dt.timedelta(days=1))

    assert refused(credentials.identify, str(token)) == "TOKEN_EXPIRED"


def test_token_of_an_ended_session_is_void(ana):
    token = credentials.sign_in_for_cookie(email="ana", password=PASSWORD, source=Source())
    services.revoke_all(user=ana)

    assert refused(credentials.identify, token) == "INVALID_CREDENTIALS"


def test_every_token_of_a_disabled_user_is_refused(ana):
    static_tokens.set_token(user=ana, token=STATIC)
    access = tokens.access_token(ana)
    services.deactivate(user=ana)

    assert refused(credentials.identify, STATIC) == "USER_SUSPENDED"
    assert refused(credentials.identify, access) == "USER_SUSPENDED"


# ── static tokens ────────────────────────────────────────────────────────────────────────────────────────


def test_static_token_is_its_user_and_does_not_end(ana, bruno):
    static_tokens.set_token(user=ana, token=STATIC)
    static_tokens.set_token(user=bruno, token=f"{STATIC}-not")

    identity = credentials.identify(STATIC)

    assert identity.user == ana
    assert identity.expires_at > time.time() + 100 * 365 * 86_400
    assert static_tokens.has_token(ana)


def test_token_itself_is_not_stored(ana):
    static_tokens.set_token(user=ana, token=STATIC)

    [stored] = StaticToken.objects.values()
    assert STATIC not in str(stored)


def test_replaced_and_removed_static_tokens_are_void_and_end_their_sockets(transactional_db, ana, published):
    static_tokens.set_token(user=ana, token=STATIC)
    first = credentials.identify(STATIC).session_id
    static_tokens.set_token(user=ana, token="another-token-of-ana")
    second = credentials.identify("another-token-of-ana").session_id
    static_tokens.set_token(user=ana, token=None)

    assert refused(credentials.identify, STATIC) == "INVALID_CREDENTIALS"
    assert refused(credentials.identify, "another-token-of-ana") == "INVALID_CREDENTIALS"
    assert [(event["type"], event["session_id"]) for _, event in published] == [
        ("session_revoked", first),
        ("session_revoked", second),
    ]


def test_same_static_token_again_ends_nothing(transactional_db, ana, published):
    static_tokens.set_token(user=ana, token=STATIC)
    static_tokens.set_token(user=ana, token=STATIC)

    assert published == []


def test_static_token_is_one_users_alone(ana, bruno):
    static_tokens.set_token(user=ana, token=STATIC)

    assert refused(static_tokens.set_token, user=bruno, token=STATIC) == "RECORD_NOT_UNIQUE"
    assert credentials.identify(STATIC).user == ana


@pytest.mark.parametrize(
    ("token", "code"),
    [
        ("a" * 15, "FAILED_VALIDATION"),
        ("with a blank in the middle", "FAILED_VALIDATION"),
        ("aaaaaaaa.bbbbbbbb.cccccccc", "FAILED_VALIDATION"),
        ("x" * 256, "VALUE_TOO_LONG"),
    ],
)
def test_token_that_could_be_guessed_or_mistaken_is_not_stored(ana, token: str, code: str):
    assert refused(static_tokens.set_token, user=ana, token=token) == code
    assert not static_tokens.has_token(ana)


def test_user_can_be_deleted_where_the_dialect_was_turned_off_again(transactional_db, ana):
    """Django does not know the table then, so nothing deletes the token before its user."""
    static_tokens.set_token(user=ana, token=STATIC)
    Handle.objects.filter(user=ana).delete()

    User.objects.filter(pk=ana.pk)._raw_delete("default")

    assert StaticToken.objects.count() == 1
    assert refused(credentials.identify, STATIC) == "INVALID_CREDENTIALS"


# ── sessions ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["ana@example.com", "ANA@EXAMPLE.COM", "ana"])
def test_signing_in_by_e_mail_or_username_in_any_case(ana, name: str):
    services.update_profile(user=ana, email="ana@example.com")

    pair = credentials.sign_in(email=name, password=PASSWORD, source=Source("192.0.2.9"), user_agent="a test")

    assert credentials.identify(pair["access"]).user == ana
    assert (Session.objects.get().address, Session.objects.get().user_agent) == ("192.0.2.9", "a test")


@pytest.mark.parametrize(
    ("email", "password"), [("ana", "wrong"), ("nobody", PASSWORD), ("", PASSWORD), ("ana", "x" * 1025)]
)
def test_wrong_credentials(ana, email: str, password: str):
    assert refused(credentials.sign_in, email=email, password=password, source=Source()) == (
        "INVALID_CREDENTIALS"
    )


def test_suspended_user_is_told_so_only_with_the_right_password(ana):
    services.deactivate(user=ana)

    assert refused(credentials.sign_in, email="ana", password=PASSWORD, source=Source()) == "USER_SUSPENDED"
    assert refused(credentials.sign_in, email="ana", password="wrong", source=Source()) == (
        "INVALID_CREDENTIALS"
    )


def test_suspended_user_costs_as_much_as_any_other(ana, bruno, django_assert_num_queries):
    services.deactivate(user=ana)
    refused(credentials.sign_in, email="bruno", password="wrong", source=Source())

    with django_assert_num_queries(4):
        refused(credentials.sign_in, email="bruno", password="wrong", source=Source())
    with django_assert_num_queries(4):
        refused(credentials.sign_in, email="ana", password="wrong", source=Source())


def test_guesses_are_counted_before_anything_is_hashed(ana, monkeypatch):
    hashed = []
    monkeypatch.setattr(services, "authenticate", lambda **_: hashed.append(1))
    codes = [refused(credentials.sign_in, email="ana", password="wrong", source=Source()) for _ in range(12)]

    assert codes == ["INVALID_CREDENTIALS"] * 10 + ["REQUESTS_EXCEEDED"] * 2
    assert len(hashed) == 10


def test_refresh_gives_the_next_pair_and_uses_the_old_one_up(ana):
    first = tokens.issue(ana)
    second = credentials.refresh(first["refresh"])
    assert credentials.identify(second["access"]).user == ana
    age_traded_tokens()

    assert refused(credentials.refresh, first["refresh"]) == "INVALID_CREDENTIALS"


@pytest.mark.parametrize("token", ["", "nonsense", "a.b.c", STATIC])
def test_nothing_else_refreshes(ana, token: str):
    static_tokens.set_token(user=ana, token=STATIC)

    assert refused(credentials.refresh, token) == "INVALID_CREDENTIALS"
    assert refused(credentials.renew, token) == "INVALID_CREDENTIALS"


def test_session_token_buys_its_successor_and_is_void_after_the_grace(ana):
    first = credentials.sign_in_for_cookie(email="ana", password=PASSWORD, source=Source())
    second = credentials.renew(first)

    assert second != first
    assert credentials.renew(first) == second  # asked again: the answer was lost
    assert credentials.identify(first).user == credentials.identify(second).user == ana
    age_traded_tokens()
    assert refused(credentials.identify, first) == "INVALID_TOKEN"
    assert refused(tokens.identify, first) == "INVALID_CREDENTIALS"  # nor does it open anything else of ours
    assert credentials.identify(second).user == ana


def test_late_reuse_of_a_session_token_ends_the_session(ana):
    first = credentials.sign_in_for_cookie(email="ana", password=PASSWORD, source=Source())
    second = credentials.renew(first)
    age_traded_tokens()

    assert refused(credentials.renew, first) == "INVALID_CREDENTIALS"
    assert refused(credentials.identify, second) == "INVALID_CREDENTIALS"


def test_access_token_of_a_pair_is_no_session_token(ana):
    assert refused(credentials.renew, tokens.access_token(ana)) == "INVALID_CREDENTIALS"


def test_signing_out_ends_the_session_of_either_token(ana):
    pair = tokens.issue(ana)
    session = credentials.sign_in_for_cookie(email="ana", password=PASSWORD, source=Source())

    credentials.sign_out(refresh_token=pair["refresh"])
    assert refused(credentials.identify, pair["access"]) == "INVALID_CREDENTIALS"
    assert credentials.identify(session).user == ana
    credentials.sign_out(session_token=session)
    assert refused(credentials.identify, session) == "INVALID_CREDENTIALS"


@pytest.mark.parametrize("token", ["", "nonsense", "a.b.c"])
def test_signing_out_with_a_dead_token_is_no_error(db, token: str):
    credentials.sign_out(refresh_token=token)
    credentials.sign_out(session_token=token)


def test_signing_out_a_disabled_user_is_no_error(ana):
    session = credentials.sign_in_for_cookie(email="ana", password=PASSWORD, source=Source())
    services.deactivate(user=ana)

    credentials.sign_out(session_token=session)


def test_long_lived_session_is_not_forgotten_while_its_token_is_valid(ana, settings):
    settings.SESSION_COOKIE_TTL = 90 * 86_400
    token = credentials.sign_in_for_cookie(email="ana", password=PASSWORD, source=Source())
    Session.objects.update(last_used_at=timezone.now() - dt.timedelta(days=60))

    credentials.sign_in(email="ana", password=PASSWORD, source=Source())

    assert credentials.identify(token).user == ana


@pytest.mark.parametrize(
    ("header", "value"),
    [
        (b"a=1; directus_session_token=abc; b=2", "abc"),
        (b"directus_session_token=", None),
        (b"other=1", None),
    ],
)
def test_cookie_among_the_headers_of_a_scope(header: bytes, value: str | None):
    assert credentials.cookie([(b"host", b"x"), (b"cookie", header)], credentials.SESSION_COOKIE) == value
