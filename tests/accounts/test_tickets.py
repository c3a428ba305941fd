"""One-time tickets: each opens one socket, within seconds, from the same origin."""

import datetime as dt
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection
from django.utils import timezone

from accounts import services, tickets, tokens
from accounts.models import Session, Ticket, User
from accounts.tickets import redeem_ticket, sell_ticket
from accounts.tokens import identify
from realtime.errors import RealtimeError, TokenExpiredError, UnauthenticatedError
from tests.accounts.forgeries import good_claims, sign


@pytest.fixture
def identity(session):
    return identify(sign(good_claims(session)))


def test_ticket_is_sold_to_signed_in_users(signed_in, ana):
    response = signed_in(ana).post("/api/ws-ticket/")

    assert response.status_code == 200
    assert set(response.json()) == {"ticket", "expires_in"}
    assert response.json()["expires_in"] == 30
    assert response.headers["Cache-Control"] == "no-store"
    assert redeem_ticket(secret=response.json()["ticket"]).user == ana


def test_ticket_is_not_sold_to_strangers(stranger, db):
    assert stranger.post("/api/ws-ticket/").status_code == 401
    assert not Ticket.objects.exists()


def test_ticket_gives_the_identity_that_bought_it(identity):
    assert redeem_ticket(secret=sell_ticket(identity=identity)) == identity


def test_ticket_of_a_token_without_session_has_none(ana):
    claims = good_claims(Session(user=ana))
    del claims["sid"]

    identity = redeem_ticket(secret=sell_ticket(identity=identify(sign(claims))))

    assert (identity.user, identity.session_id) == (ana, None)


def test_ticket_is_used_up_by_its_first_use(identity):
    secret = sell_ticket(identity=identity)
    redeem_ticket(secret=secret)

    with pytest.raises(UnauthenticatedError):
        redeem_ticket(secret=secret)


def test_one_of_two_uses_at_once_wins(transactional_db, ana):
    identity = identify(tokens.access_token(ana))
    for _ in range(8):
        secret = sell_ticket(identity=identity)
        barrier = threading.Barrier(4)

        def use(secret=secret, barrier=barrier) -> bool:
            barrier.wait()
            try:
                redeem_ticket(secret=secret)
            except UnauthenticatedError:
                return False
            finally:
                connection.close()
            return True

        with ThreadPoolExecutor(4) as pool:
            assert sorted(pool.map(lambda _: use(), range(4))) == [False, False, False, True]


def test_late_ticket_is_refused(identity):
    secret = sell_ticket(identity=identity)
    Ticket.objects.update(expires_at=timezone.now())

    with pytest.raises(UnauthenticatedError):
        redeem_ticket(secret=secret)


def test_ticket_lasts_30_seconds(identity):
    before = timezone.now()
    sell_ticket(identity=identity)
    after = timezone.now()

    sold_at = Ticket.objects.get().expires_at - dt.timedelta(seconds=30)
    assert before <= sold_at <= after


@pytest.mark.parametrize(
    ("sold_to", "shown_from", "opens"),
    [
        ("https://app.example", "https://app.example", True),
        ("", "", True),
        ("", "https://app.example", True),  # a server bought the ticket for its page
        ("null", "null", True),
        ("https://app.example", "", False),
        ("https://app.example", "null", False),
        ("https://app.example", "http://app.example", False),
        ("https://app.example", "https://app.example:8443", False),
        ("https://app.example", "https://app.example.evil", False),
        ("https://app.example", "https://APP.example", False),
    ],
)
def test_ticket_opens_only_from_the_origin_that_bought_it(
    signed_in, ana, shake_hands, sold_to, shown_from, opens
):
    bought = signed_in(ana).post("/api/ws-ticket/", **({"HTTP_ORIGIN": sold_to} if sold_to else {}))
    headers = [(b"origin", shown_from.encode())] if shown_from else []

    scope = shake_hands(f"ticket={bought.json()['ticket']}".encode(), headers=headers)

    assert (scope["identity"] is not None) == opens
    assert (scope["auth_error"] is None) == opens


def test_ticket_shown_from_elsewhere_is_used_up(identity):
    secret = sell_ticket(identity=identity, origin="https://app.example")
    with pytest.raises(UnauthenticatedError):
        redeem_ticket(secret=secret, origin="https://evil.example")

    with pytest.raises(UnauthenticatedError):
        redeem_ticket(secret=secret, origin="https://app.example")


def test_ticket_is_refused_to_an_endless_origin(signed_in, ana):
    response = signed_in(ana).post("/api/ws-ticket/", HTTP_ORIGIN="https://" + "a" * 400)

    assert (response.status_code, response.json()["code"]) == (400, "invalid_input")


def test_socket_of_a_ticket_ends_with_the_access_token(session):
    claims = {**good_claims(session), "exp": 4_000_000_000}

    identity = redeem_ticket(secret=sell_ticket(identity=identify(sign(claims))))

    assert identity.expires_at == 4_000_000_000


def test_ticket_does_not_outlive_the_access_token(identity):
    secret = sell_ticket(identity=identity)
    Ticket.objects.update(token_expires_at=timezone.now())

    with pytest.raises(TokenExpiredError):
        redeem_ticket(secret=secret)


@pytest.mark.parametrize(
    ("withdraw", "code"),
    [
        (lambda user, session: services.revoke_session(user=user, session_id=session.pk), "session_revoked"),
        (lambda user, session: services.revoke_all(user=user), "session_revoked"),
        (lambda user, session: services.deactivate(user=user), "account_disabled"),
        (lambda user, session: User.objects.update(is_active=False), "account_disabled"),
        (lambda user, session: session.delete(), "unauthenticated"),
        (lambda user, session: user.delete(), "unauthenticated"),
    ],
)
def test_ticket_does_not_outlive_what_bought_it(identity, session, withdraw, code):
    secret = sell_ticket(identity=identity)
    withdraw(identity.user, session)

    with pytest.raises(RealtimeError) as refused:
        redeem_ticket(secret=secret)

    assert refused.value.code == code


def test_secret_is_not_stored(identity):
    secret = sell_ticket(identity=identity)

    assert len(secret) >= 43  # 256 bits
    assert secret not in str(list(Ticket.objects.values()))


def test_old_tickets_are_swept(identity):
    sell_ticket(identity=identity)
    Ticket.objects.update(expires_at=timezone.now() - dt.timedelta(seconds=1))

    sell_ticket(identity=identity)

    assert Ticket.objects.count() == 1


def test_overlong_ticket_is_refused_without_a_query(db, django_assert_num_queries):
    with django_assert_num_queries(0), pytest.raises(UnauthenticatedError):
        redeem_ticket(secret="x" * (tickets.MAX_SECRET_CHARACTERS + 1))
