"""`identify()` makes one query and raises one kind of exception, for any input."""

import contextlib
import string
import threading
from typing import Any

import jwt
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from rest_framework_simplejwt.exceptions import TokenBackendError, TokenError
from rest_framework_simplejwt.tokens import AccessToken as StockAccessToken

from accounts import keys, services, tokens
from accounts.tokens import identify
from realtime.errors import RealtimeError, UnauthenticatedError
from realtime.models import Topic
from realtime.topics import user_topic
from tests.accounts.forgeries import FORGERIES, HEADER, claiming, good, good_claims, sign, without

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=6,
)
fuzz = settings(
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)


def test_identity_names_user_session_and_end(session):
    claims = good_claims(session)

    identity = identify(sign(claims))

    assert (identity.user, identity.session_id, identity.expires_at) == (
        session.user,
        str(session.pk),
        claims["exp"],
    )


def test_identity_of_a_token_minted_elsewhere_has_no_session(session):
    identity = identify(without("sid")(session))

    assert (identity.user, identity.session_id) == (session.user, None)


@pytest.mark.parametrize("forge", [good, without("sid")])
def test_identify_costs_one_query(session, django_assert_num_queries, forge):
    token = forge(session)

    with django_assert_num_queries(1):
        identity = identify(token)
        assert identity.user.username == "ana"


def test_token_as_we_write_it_is_not_left_to_pyjwt(session, ana, monkeypatch):
    """PyJWT takes ten times as long, for each socket that opens."""
    written = tokens.access_token(ana)
    monkeypatch.setattr(jwt, "decode", None)

    assert identify(written).user == ana
    assert identify(good(session)).session_id == str(session.pk)


_TIMES = [1, 0, -1, True, 1.5, 4e9, "1", "4000000000", "soon", float("inf"), float("nan"), [], None, 10**30]
UNUSUAL = {
    f"{name} {value!r}": claiming(**{name: value})
    for name, value in [
        *((name, value) for name in ("exp", "iat", "nbf") for value in _TIMES),
        *(("jti", value) for value in ("", "x" * 256, 7)),
        *((name, value) for name in ("sub", "aud", "iss") for value in ("7", 7, None)),
    ]
}


@pytest.mark.parametrize(
    "forge", [*FORGERIES.values(), *UNUSUAL.values()], ids=[*FORGERIES.keys(), *UNUSUAL.keys()]
)
def test_quick_check_of_a_token_agrees_with_pyjwt(session, forge, monkeypatch):
    token = forge(session)
    at_a_glance = _verdict(token)
    monkeypatch.setattr(keys, "_OUR_HEADER", "none begins like this")

    assert at_a_glance == _verdict(token)


def _verdict(token: str) -> dict[str, Any] | str:
    try:
        return keys.key_ring.decode(token)
    except TokenBackendError as error:
        return repr(error)


def test_forgery_costs_no_query(session, django_assert_num_queries):
    token = sign(good_claims(session), key="k" * 40)

    with django_assert_num_queries(0), pytest.raises(UnauthenticatedError):
        identify(token)


@pytest.mark.parametrize("forge", [good, without("sid")])
def test_identity_is_as_of_the_head_of_the_users_topic(session, forge):
    assert identify(forge(session)).authorized_at == 0

    Topic.objects.create(name=user_topic(session.user_id), head=7)

    assert identify(forge(session)).authorized_at == 7


@pytest.mark.parametrize("thing", [None, b"a.b.c", 7, 1.5, [], ["a.b.c"], {}, object, True], ids=repr)
def test_token_must_be_a_text(thing):
    with pytest.raises(UnauthenticatedError):
        identify(thing)


def test_bytes_of_a_good_token_are_no_token(session):
    """`bytes` would be verified if passed on, and then fail elsewhere."""
    with pytest.raises(UnauthenticatedError):
        identify(good(session).encode())


@fuzz
@given(st.text(alphabet=string.printable + "é\ud800\0", max_size=200))
def test_any_text_raises_nothing_unexpected(db, text):
    with pytest.raises(UnauthenticatedError):
        identify(text)


@fuzz
@given(
    changes=st.dictionaries(
        st.sampled_from(["token_type", "user_id", "sid", "jti", "iat", "exp", "nbf", "aud", "iss", "sub"]),
        json_values,
    )
)
@example(changes={"exp": 253_402_300_799})
@example(changes={"sub": 7})
def test_any_signed_claims_raise_nothing_unexpected(session, changes: dict[str, Any]):
    token = sign({**good_claims(session), **changes})
    with contextlib.suppress(UnauthenticatedError):  # or a subclass; harmless claims are accepted
        identify(token)


@fuzz
@given(
    header=json_values | st.dictionaries(st.sampled_from([*HEADER, "kid", "crit", "b64", "jwk"]), json_values)
)
def test_any_signed_header_raises_nothing_unexpected(session, header: Any):
    with pytest.raises(UnauthenticatedError):
        identify(sign(good_claims(session), header=header))


def test_refusal_does_not_carry_the_token(session):
    token = sign(good_claims(session), key="k" * 40)

    with pytest.raises(UnauthenticatedError) as caught:
        identify(token)

    assert caught.value.__suppress_context__
    assert token not in str(caught.value)


def _stock(token: Any, **options: Any) -> StockAccessToken:
    return StockAccessToken(token, **options)


def _claims(token: Any) -> tokens.AccessToken:
    return tokens.AccessToken(token)


def test_stock_simplejwt_class_obeys_our_rules_too(session):
    assert _stock(good(session))["user_id"] == str(session.user_id)

    for name in ("jku, with our key", "aud", "jti 7", "exp '9999999999'"):
        with pytest.raises(TokenError):
            _stock(FORGERIES[name](session))


def test_unverified_reading_is_impossible(session):
    with pytest.raises(TokenError):
        _stock(sign(good_claims(session), key="k" * 40), verify=False)


def test_claims_of_our_tokens_are_the_contract(ana):
    access = _claims(tokens.issue(ana)["access"])

    assert set(access.payload) == {"token_type", "user_id", "sid", "jti", "iat", "exp"}


def test_device_and_address_of_a_session_are_cut_and_cleaned(ana):
    tokens.issue(ana, user_agent="\x1b[31mMozilla\0" + "x" * 500, address="10.0.0.1\n" + "9" * 100)

    session = ana.sessions.get()
    assert session.user_agent.startswith("[31mMozillaxxx")
    assert (len(session.user_agent), len(session.address)) == (200, 64)


def test_revocation_is_seen_or_numbered_above_the_identity(transactional_db, ana):
    """A revocation may come at any moment of identify(): a socket opened with the result hears of it."""
    for _ in range(10):
        pair = tokens.issue(ana)
        claims = _claims(pair["access"])
        outcome: list[Any] = []
        barrier = threading.Barrier(2)

        def look(pair=pair, outcome=outcome, barrier=barrier) -> None:
            from django.db import connection

            barrier.wait()
            try:
                outcome.append(identify(pair["access"]))
            except RealtimeError as error:
                outcome.append(error)
            finally:
                connection.close()

        looker = threading.Thread(target=look)
        looker.start()
        barrier.wait()
        services.revoke_session(user=ana, session_id=claims["sid"])
        looker.join()

        head = Topic.objects.get(name=user_topic(ana.pk)).head
        assert (
            outcome[0].code == "session_revoked"
            if isinstance(outcome[0], RealtimeError)
            else outcome[0].authorized_at < head
        )
