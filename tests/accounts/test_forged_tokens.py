"""Only our own tokens open anything, and every wrong one is answered alike over REST and sockets."""

import base64
import datetime as dt
import uuid
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.models import Session, User
from realtime.errors import RealtimeError, UnauthenticatedError
from tests.accounts.forgeries import FORGERIES, claiming, good, good_claims, sign, without

ShakeHands = Callable[..., dict[str, Any]]


@pytest.fixture
def ask(stranger: APIClient, shake_hands: ShakeHands) -> Callable[[str], dict[str, Any]]:
    """Show a token to REST and to a socket, which must agree; return what both answered."""

    def answer(token: str) -> dict[str, Any]:
        response = stranger.get("/api/me/", HTTP_AUTHORIZATION=f"Bearer {token}")
        scopes = [shake_hands(b"token=" + quote(token, safe="", errors="replace").encode())]
        if token.isprintable() and token.isascii():
            scopes.append(shake_hands(headers=[(b"authorization", b"Bearer " + token.encode())]))
            scopes.append(shake_hands(subprotocols=[f"bearer.{token}"]))
        for scope in scopes:
            error: RealtimeError | None = scope["auth_error"]
            if response.status_code == 200:
                assert error is None
                assert scope["user"].pk == scope["identity"].user.pk == response.json()["id"]
            else:
                assert error is not None
                assert (scope["identity"], scope["user"].is_authenticated) == (None, False)
                assert (error.status, error.code, error.message) == (
                    response.status_code,
                    response.json()["code"],
                    response.json()["detail"],
                )
        return {
            "status": response.status_code,
            "www": response.headers.get("WWW-Authenticate"),
            **response.json(),
        }

    return answer


def test_there_are_enough_forgeries():
    assert len(FORGERIES) >= 40


def test_token_by_hand_is_accepted(ask, session):
    """A token made by hand is accepted; otherwise the refusals below would prove nothing."""
    answer = ask(good(session))

    assert (answer["status"], answer["username"]) == (200, "ana")


@pytest.mark.parametrize("claims", [{"user_id": 0}, {"nbf": 1}, {"exp": 4_000_000_000.5}, {"name": "Ana"}])
def test_harmless_variant_is_accepted(ask, session, claims):
    if "user_id" in claims:
        claims = {"user_id": session.user_id}  # a number instead of a text, as older versions wrote it

    assert ask(claiming(**claims)(session))["status"] == 200


@pytest.mark.parametrize("forge", [without("sid"), without("sid", "iat")])
def test_token_minted_elsewhere_is_accepted_until_it_expires(ask, session, forge):
    assert ask(forge(session))["status"] == 200


@pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES.keys())
def test_forgery_is_refused(ask, session, bruno, forge):
    answer = ask(forge(session))

    # All get the same words, so an attacker learns nothing from the answer.
    refusal = UnauthenticatedError()
    assert (answer["status"], answer["code"], answer["detail"]) == (401, refusal.code, refusal.message)
    assert answer["www"] == 'Bearer realm="api"'


@pytest.mark.parametrize("exp", [1, 0, -1, True, "a second ago"])
def test_expired_token_is_told_so(ask, session, exp):
    if exp == "a second ago":
        exp = int(timezone.now().timestamp()) - 1
    answer = ask(claiming(exp=exp)(session))

    assert (answer["status"], answer["code"]) == (401, "token_expired")


def test_expired_forgery_is_no_expired_token(ask, session):
    """`token_expired` is answered only to someone who once had a token of ours."""
    token = sign({**good_claims(session), "exp": 1}, key="k" * 40)

    assert ask(token)["code"] == "unauthenticated"


def test_revoked_session_is_refused(ask, session):
    Session.objects.filter(pk=session.pk).update(revoked_at=timezone.now())

    answer = ask(good(session))

    assert (answer["status"], answer["code"]) == (401, "session_revoked")


def test_session_that_never_was_is_refused(ask, session):
    answer = ask(claiming(sid=str(uuid.uuid4()))(session))

    assert (answer["status"], answer["code"]) == (401, "session_revoked")


def test_session_of_somebody_else_is_refused(ask, session, bruno):
    theirs = Session.objects.create(user=bruno)

    assert ask(claiming(sid=str(theirs.pk))(session))["code"] == "unauthenticated"


@pytest.mark.parametrize("forge", [good, without("sid")])
def test_disabled_user_is_refused(ask, session, forge):
    User.objects.filter(pk=session.user_id).update(is_active=False)

    answer = ask(forge(session))

    assert (answer["status"], answer["code"]) == (403, "account_disabled")


@pytest.mark.parametrize(("forge", "code"), [(good, "session_revoked"), (without("sid"), "unauthenticated")])
def test_deleted_user_is_refused(ask, session, forge, code):
    token = forge(session)
    session.user.delete()

    answer = ask(token)

    assert (answer["status"], answer["code"]) == (401, code)


def test_signature_of_a_retired_key_is_accepted_while_it_is_a_fallback(ask, session, settings):
    token = good(session)
    old_key, settings.SECRET_KEY = settings.SECRET_KEY, "n" * 50
    assert ask(token)["code"] == "unauthenticated"

    settings.SECRET_KEY_FALLBACKS = ["u" * 50, old_key]

    assert ask(token)["status"] == 200
    assert ask(sign({**good_claims(session), "exp": 1}, key=old_key))["code"] == "token_expired"


def test_new_tokens_are_signed_with_the_first_key(ask, signed_in, ana, settings):
    settings.SECRET_KEY_FALLBACKS = ["o" * 50]
    token = signed_in(ana).pair["access"]
    settings.SECRET_KEY_FALLBACKS = []

    assert ask(token)["status"] == 200


def test_bit_flipped_anywhere_in_the_signature_is_refused(ask, session):
    head, _, signature = good(session).rpartition(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    for position in range(0, 32, 8):
        flipped = bytearray(raw)
        flipped[position] ^= 1
        text = base64.urlsafe_b64encode(bytes(flipped)).rstrip(b"=").decode()
        assert ask(f"{head}.{text}")["code"] == "unauthenticated"


def test_access_token_lasts_as_long_as_configured(signed_in, ana, settings):
    from accounts.tokens import identify

    before = timezone.now().replace(microsecond=0)  # tokens hold whole seconds
    identity = identify(signed_in(ana).pair["access"])

    lifetime = settings.SIMPLE_JWT["ACCESS_TOKEN_LIFETIME"]
    ends = dt.datetime.fromtimestamp(identity.expires_at, dt.UTC)
    assert before <= ends - lifetime <= timezone.now()
