"""A socket's credential: where it may be, which of several is taken, and that no trace of it is left."""

import time
from typing import NoReturn

import pytest
from django.contrib.auth.models import AnonymousUser
from django.db import OperationalError

from accounts import socket_auth, tokens
from accounts.credentials import take_offer
from accounts.tickets import redeem_ticket, sell_ticket, use_up_tickets
from accounts.tokens import access_token, identify
from realtime.database import batch_loader, threads
from realtime.database.batch_loader import BatchLoader
from realtime.errors import UnauthenticatedError
from tests.accounts.forgeries import good


def bearer(token: str) -> tuple[bytes, bytes]:
    return b"authorization", f"Bearer {token}".encode()


def test_socket_without_credential_is_anonymous_and_no_error(shake_hands):
    scope = shake_hands()

    assert (scope["identity"], scope["auth_error"]) == (None, None)
    assert isinstance(scope["user"], AnonymousUser)


def test_cookie_is_no_credential(shake_hands, ana, django_user_model):
    from django.test import Client

    browser = Client()
    browser.force_login(ana)
    cookies = "; ".join(f"{name}={morsel.value}" for name, morsel in browser.cookies.items())
    assert "sessionid" in cookies

    scope = shake_hands(headers=[(b"cookie", f"{cookies}; token={access_token(ana)}".encode())])

    assert scope["identity"] is None


@pytest.mark.parametrize(
    "handshake",
    [
        lambda token: {"headers": [bearer(token)]},
        lambda token: {"headers": [(b"authorization", f"bearer  {token} ".encode())]},
        lambda token: {"subprotocols": ["relais.v1", f"bearer.{token}"]},
        lambda token: {"query": f"token={token}".encode()},
        lambda token: {"query": f"since=3&token={token}&v=1".encode()},
        lambda token: {"query": f"%74oken={token}".encode()},
        lambda token: {"query": f"token={token}".encode(), "headers": [(b"authorization", b"Basic YTpi")]},
    ],
)
def test_token_is_found(shake_hands, ana, handshake):
    scope = shake_hands(**handshake(access_token(ana)))

    assert (scope["auth_error"], scope["user"], scope["identity"].user) == (None, ana, ana)


def test_ticket_is_found(shake_hands, ana):
    identity = identify(access_token(ana))

    scope = shake_hands(f"ticket={sell_ticket(identity=identity)}".encode())

    assert (scope["auth_error"], scope["identity"]) == (None, identity)


def test_earlier_kind_wins(shake_hands, ana, bruno, clara, django_user_model):
    """The order is header, subprotocol, ticket, query: each time the first of the remaining ones is taken."""
    dora = django_user_model.objects.create_user("dora")
    query = f"token={access_token(dora)}"
    assert shake_hands(query.encode())["user"] == dora

    query += f"&ticket={sell_ticket(identity=identify(access_token(clara)))}"
    assert shake_hands(query.encode())["user"] == clara

    query = f"token={access_token(dora)}&ticket={sell_ticket(identity=identify(access_token(clara)))}"
    protocols = [f"bearer.{access_token(bruno)}"]
    assert shake_hands(query.encode(), subprotocols=protocols)["user"] == bruno

    headers = [bearer(access_token(ana))]
    assert shake_hands(query.encode(), subprotocols=protocols, headers=headers)["user"] == ana


def test_bad_credential_is_not_excused_by_a_good_one(shake_hands, ana):
    scope = shake_hands(f"token={access_token(ana)}".encode(), headers=[bearer("nonsense")])

    assert (scope["identity"], scope["auth_error"].code) == (None, "unauthenticated")


@pytest.mark.parametrize(
    "handshake",
    [
        lambda token: {"query": f"token={token}&token={token}".encode()},
        lambda token: {"query": f"token={token}&%74oken=".encode()},
        lambda token: {"query": b"token=x&token=y", "headers": [bearer(token)]},
        lambda token: {"query": f"ticket=&ticket=&token={token}".encode()},
        lambda token: {"headers": [bearer(token), bearer(token)]},
        lambda token: {"subprotocols": [f"bearer.{token}", f"bearer.{token}"]},
        lambda token: {"query": b"token="},
        lambda token: {"query": b"token"},
        lambda token: {"headers": [(b"authorization", b"Bearer")]},
        lambda token: {"subprotocols": ["bearer."]},
        lambda token: {"query": b"ticket="},
        lambda token: {"query": b"ticket=" + b"x" * 5000},
        lambda token: {"query": b"ticket=%ED%A0%80%00"},
        lambda token: {"query": b"ticket=unknown"},
        lambda token: {"query": b"token=\xff\xfe"},
    ],
)
def test_doubtful_credential_is_refused(shake_hands, ana, handshake):
    scope = shake_hands(**handshake(access_token(ana)))

    assert (scope["identity"], scope["auth_error"].code) == (None, "unauthenticated")


def test_no_secret_is_left_in_the_scope(shake_hands, ana):
    token, ticket = access_token(ana), sell_ticket(identity=identify(access_token(ana)))

    scope = shake_hands(
        f"a=1&token={token}&b=%20x&ticket={ticket}&c".encode(),
        headers=[
            (b"host", b"testserver"),
            bearer(token),
            (b"sec-websocket-protocol", f"relais.v1, bearer.{token}".encode()),
        ],
        subprotocols=["relais.v1", f"bearer.{token}"],
    )

    assert scope["user"] == ana
    assert scope["query_string"] == b"a=1&b=%20x&c"
    assert scope["subprotocols"] == ["relais.v1"]
    assert scope["headers"] == [(b"host", b"testserver"), (b"sec-websocket-protocol", b"relais.v1")]


@pytest.mark.parametrize("query", [b"token=x&token=y&a=1", b"%74%6Fken=x&a=1&token=", b"a=1&token"])
def test_refused_secret_is_not_left_either(shake_hands, query):
    assert shake_hands(query)["query_string"] == b"a=1"


@pytest.mark.parametrize(
    "query",
    [
        b"%74icket=c4n4ry&a=1",
        b"%2574icket=c4n4ry&a=1",
        b"a=1&TOKEN=c4n4ry",
        b"a=1;token=c4n4ry",
        b"a=1;b=2;Ticket=c4n4ry;more&token=c4n4ry;c4n4ry".replace(b";b=2", b""),
        b"a=1&+ticket=c4n4ry",
        b"a=1&ticket+=c4n4ry",
        b"a=1&token[]=c4n4ry",
        b"token%3Dc4n4ry&a=1",
        b"a=1&%54%4F%4B%45%4E=c4n4ry",
    ],
)
def test_secret_is_taken_out_in_every_spelling(shake_hands, query):
    assert shake_hands(query)["query_string"] == b"a=1"


@pytest.mark.parametrize("query", [b"tokens=3&a=b;c=d", b"a=token&my_ticket=1", b"", b"&&;=", b"a=%3Dtoken"])
def test_query_without_a_secret_stays_byte_for_byte(shake_hands, query):
    assert shake_hands(query)["query_string"] == query


@pytest.mark.parametrize("more", [b"&" * 100, b"&a=%31;" * 100, b";" * 100])
def test_too_many_parameters_are_refused_and_none_stays(shake_hands, ana, more):
    scope = shake_hands(b"token=" + access_token(ana).encode() + more)

    assert (scope["identity"], scope["auth_error"].code) == (None, "unauthenticated")
    assert scope["query_string"] == b""


@pytest.mark.parametrize("query", [b"%25%25&" * 1_100, b"&" * 8_000, b"%2525;" * 1_300, b"%25" * 2_700])
def test_longest_address_costs_little_more_than_an_honest_one(query):
    """The address is read on the loop, before handshakes are counted."""

    def seconds(query: bytes) -> float:
        began = time.thread_time()
        take_offer({"query_string": query})
        return time.thread_time() - began

    assert min(seconds(query) for _ in range(5)) < 150 * min(
        seconds(b"token=abcdef&since=12&v=1") for _ in range(5)
    )


def test_nothing_of_the_offer_is_left_for_the_socket(shake_hands, ana):
    scope = shake_hands(f"ticket={sell_ticket(identity=identify(access_token(ana)))}".encode())

    assert not {"offer", "on_refused"} & set(scope)


@pytest.mark.parametrize(
    "more",
    [
        lambda token: {"headers": [bearer(token)]},
        lambda token: {"subprotocols": [f"bearer.{token}"]},
        lambda _token: {"query": b"ticket=another"},
        lambda _token: {"headers": [bearer("a"), bearer("b")]},
    ],
    ids=["header", "subprotocol", "two tickets", "too much"],
)
def test_ticket_that_was_shown_beside_something_else_is_used_up(shake_hands, ana, more):
    token = access_token(ana)
    ticket = sell_ticket(identity=identify(token))
    beside = more(token)

    shake_hands(f"ticket={ticket}&{beside.pop('query', b'').decode()}".encode(), **beside)

    with pytest.raises(UnauthenticatedError):
        redeem_ticket(secret=ticket)


@pytest.mark.parametrize("spelling", ["ticket", "%74icket", "ti%63ke%74"])
def test_ticket_of_a_refused_handshake_is_used_up(shake_hands, ana, spelling):
    ticket = sell_ticket(identity=identify(access_token(ana)))

    refused = shake_hands(f"v=1&{spelling}={ticket}".encode(), refused=True)

    assert refused["query_string"] == b"v=1"
    with pytest.raises(UnauthenticatedError):
        redeem_ticket(secret=ticket)


def test_tickets_that_strangers_make_up_cost_no_write(db, django_assert_num_queries):
    with django_assert_num_queries(1):
        use_up_tickets([f"made-up-{number}" for number in range(100)])


def test_http_request_passes_untouched(shake_hands):
    scope = shake_hands(b"token=abc", kind="http")

    assert scope["query_string"] == b"token=abc"
    assert "identity" not in scope


@pytest.fixture
def real_threads(shake_hands, monkeypatch):
    monkeypatch.setattr(socket_auth, "run_in_thread", threads.run_in_thread)
    monkeypatch.setattr(batch_loader, "run_in_thread", threads.run_in_thread)
    yield
    threads.close_threads()


def test_database_away_is_told_as_unavailable(shake_hands, real_threads, session, monkeypatch):
    def fail(claims: object) -> NoReturn:
        raise OperationalError("gone")

    monkeypatch.setattr(socket_auth, "identity_of", BatchLoader(fail))

    scope = shake_hands(f"token={good(session)}".encode())

    assert (scope["identity"], scope["auth_error"].code, scope["auth_error"].retryable) == (
        None,
        "unavailable",
        True,
    )


def test_our_own_fault_is_logged_without_the_token(shake_hands, session, monkeypatch, caplog):
    def fail(claims: object) -> NoReturn:
        raise RuntimeError("a bug")

    monkeypatch.setattr(socket_auth, "identity_of", BatchLoader(fail))
    token = good(session)

    scope = shake_hands(f"token={token}".encode())

    assert (scope["identity"], scope["auth_error"].code) == (None, "internal_error")
    assert "a bug" in caplog.text
    assert token not in caplog.text


def test_refresh_token_opens_no_socket(shake_hands, ana):
    scope = shake_hands(f"token={tokens.issue(ana)['refresh']}".encode())

    assert (scope["identity"], scope["auth_error"].code) == (None, "unauthenticated")
