"""The hashers: every way to hash a password takes the one turn of the process."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.contrib.auth import hashers
from django.db import connection, transaction
from django.test import Client
from django.urls import reverse

from accounts import metrics, services
from accounts.errors import TooManyPasswordsError
from accounts.hashing import turn, turns
from accounts.models import User
from realtime.database.time_budget import deadline_in, remaining
from realtime.http.metrics import REQUESTS_REFUSED
from tests.factories import PASSWORD
from tests.processes import wait_until

PRODUCT = ["accounts.hashing.Argon2Hasher", "accounts.hashing.PBKDF2Hasher"]
NEW = "tr1cky-enough"


@pytest.fixture(autouse=True)
def product_hashers(settings: Any) -> None:
    settings.PASSWORD_HASHERS = PRODUCT
    settings.RELAIS = {**settings.RELAIS, "limit_password_seconds": 0.01}


@pytest.fixture
def busy() -> Iterator[None]:
    """The turn is taken for the block."""
    assert turns.take_if_free("somebody")
    yield
    turns.give_back()


@pytest.fixture
def staff(db: None) -> Client:
    client = Client(raise_request_exception=False)
    client.force_login(User.objects.create_superuser("root", password="x"))
    return client


def test_settings_of_the_product_name_these_hashers() -> None:
    import config.settings

    assert config.settings.PASSWORD_HASHERS == PRODUCT


# ── a caller without a turn is refused ────────────────────────────────────────────────────────────────────


def by_api(path: str, **body: str) -> Callable[..., Any]:
    return lambda devices, ana: devices(ana).post(path, body)


@pytest.mark.parametrize(
    "ask",
    [
        by_api("/api/token/", username="ana", password=PASSWORD),
        by_api("/api/token/", username="ana", password="wrong"),
        by_api("/api/token/", username="nobody", password="wrong"),
        by_api("/api/auth/register/", username="dora", password=NEW),
        by_api("/api/auth/password/", old_password=PASSWORD, new_password=NEW),
    ],
    ids=["sign-in", "wrong password", "unknown name", "registration", "new password"],
)
def test_api_answers_when_to_come_back(ana, signed_in, request, ask) -> None:
    request.getfixturevalue("busy")
    refused = REQUESTS_REFUSED.series()["passwords",]

    answer = ask(signed_in, ana)

    body = answer.json()
    assert (answer.status_code, body["code"], body["retryable"]) == (503, "overloaded", True)
    assert int(answer.headers["Retry-After"]) >= 1
    assert body["retry_after_ms"] >= 1000
    assert REQUESTS_REFUSED.series()["passwords",] == [refused[0] + 1]
    assert not User.objects.filter(username="dora").exists()


def sign_in_form(client: Client, ana: User) -> Any:
    client.logout()
    return client.post(reverse("admin:login"), {"username": "ana", "password": "wrong"})


def new_user(client: Client, ana: User) -> Any:
    fields = {"username": "dora", "password1": NEW, "password2": NEW, "usable_password": "true"}
    return client.post(reverse("admin:accounts_user_add"), fields)


def password_of_a_user(client: Client, ana: User) -> Any:
    fields = {"password1": NEW, "password2": NEW, "usable_password": "true"}
    return client.post(reverse("admin:auth_user_password_change", args=[ana.pk]), fields)


def own_password(client: Client, ana: User) -> Any:
    fields = {"old_password": "x", "new_password1": NEW, "new_password2": NEW}
    return client.post(reverse("admin:password_change"), fields)


@pytest.mark.parametrize("ask", [sign_in_form, new_user, password_of_a_user, own_password])
def test_admin_answers_when_to_come_back(ana, staff, request, ask) -> None:
    request.getfixturevalue("busy")

    answer = ask(staff, ana)

    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) >= 1
    assert not User.objects.filter(username="dora").exists()


@pytest.mark.parametrize("ask", [new_user, password_of_a_user, own_password])
def test_admin_saves_a_password_that_gets_its_turn(ana, staff, ask) -> None:
    assert ask(staff, ana).status_code == 302


def test_page_that_adds_a_user_waits_outside_of_its_transaction(
    transactional_db, staff, ana, request
) -> None:
    """Inside it, the wait would hold SQLite's only write lock."""
    request.getfixturevalue("busy")
    waits: list[bool] = []
    take = turns.take
    request.addfinalizer(lambda: setattr(turns, "take", take))

    def taken(address: str, *, seconds: float) -> None:
        waits.append(connection.in_atomic_block)
        take(address, seconds=seconds)

    turns.take = taken  # type: ignore[method-assign]
    assert new_user(staff, ana).status_code == 503

    assert waits == [False]


# ── how one waits ────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def patient(settings: Any) -> None:
    settings.RELAIS = {**settings.RELAIS, "limit_password_seconds": 60}


def test_request_that_waits_for_its_turn_holds_no_connection(transactional_db, ana, patient) -> None:
    assert turns.take_if_free("somebody")
    held: list[bool] = []

    def sign_in() -> Any:
        take = turns.take

        def taken(address: str, *, seconds: float) -> None:
            held.append(connection.connection is not None)
            take(address, seconds=seconds)

        turns.take = taken  # type: ignore[method-assign]
        try:
            return services.sign_in(username="ana", password=PASSWORD)
        finally:
            turns.take = take  # type: ignore[method-assign]
            connection.close()

    with ThreadPoolExecutor(1) as threads:
        signing_in = threads.submit(sign_in)
        wait_until(lambda: len(turns) == 1, seconds=30, what="the sign-in waits")
        assert metrics.PASSWORDS_WAITING.series() == {(): [1]}
        turns.give_back()

        assert signing_in.result(timeout=30)["access"]
    assert held == [False]


def test_nobody_waits_inside_of_a_transaction(transactional_db, busy, patient) -> None:
    with transaction.atomic():
        connection.ensure_connection()
        with pytest.raises(TooManyPasswordsError):
            hashers.make_password(NEW)


def test_time_in_the_queue_is_not_taken_from_the_database(busy, settings) -> None:
    settings.RELAIS = {**settings.RELAIS, "limit_password_seconds": 0.3}
    with deadline_in(100.0):
        before, began = remaining() or 0, time.monotonic()
        with pytest.raises(TooManyPasswordsError):
            hashers.make_password(NEW)
        took = time.monotonic() - began

        assert took >= 0.3
        assert before - (remaining() or 0) <= took - 0.29


def test_turn_is_that_of_the_requests_address(client, db, monkeypatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(turns, "take_if_free", lambda address: asked.append(address) or _taken())

    for address in ("10.0.0.1", "2001:db8::1"):
        client.post(
            "/api/token/",
            {"username": "nobody", "password": "x"},
            content_type="application/json",
            REMOTE_ADDR=address,
        )
    hashers.make_password(NEW)  # made by a command

    assert asked == ["10.0.0.1", "2001:db8::/64", ""]


def _taken() -> bool:
    turns._hand_to("")
    return True


def test_turn_within_a_turn_is_free_and_ends_with_the_outer_one() -> None:
    with turn():
        with turn():
            hashers.make_password(NEW)
        assert not turns.take_if_free("somebody")
    assert turns.take_if_free("somebody")
    turns.give_back()


def test_turn_ends_where_hashing_fails(monkeypatch) -> None:
    monkeypatch.setattr(hashers.Argon2PasswordHasher, "encode", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        hashers.make_password(NEW)

    assert turns.take_if_free("somebody")
    turns.give_back()


# ── what is hashed ───────────────────────────────────────────────────────────────────────────────────────


def test_password_costs_what_owasp_recommends() -> None:
    assert hashers.make_password(NEW).startswith("argon2$argon2id$v=19$m=19456,t=2,p=1$")


def of_django(hasher: str) -> str:
    found = {"argon2": hashers.Argon2PasswordHasher, "pbkdf2": hashers.PBKDF2PasswordHasher}[hasher]()
    return found.encode(PASSWORD, found.salt())


@pytest.mark.parametrize("old", ["argon2", "pbkdf2"])
def test_older_hash_is_verified_and_renewed(ana, old) -> None:
    User.objects.filter(pk=ana.pk).update(password=of_django(old))

    assert services.sign_in(username="ana", password=PASSWORD)

    renewed = User.objects.get(pk=ana.pk)
    assert renewed.password.startswith("argon2$argon2id$v=19$m=19456,t=2,p=1$")
    assert renewed.check_password(PASSWORD)


def test_renewal_of_a_hash_waits_for_nobody(ana, monkeypatch) -> None:
    """A user whose password was verified is signed in at once; the hash is renewed when there is less to
    do."""
    stored = of_django("argon2")
    User.objects.filter(pk=ana.pk).update(password=stored)
    give_back = turns.give_back

    def to_somebody_else() -> None:
        give_back()
        assert turns.take_if_free("somebody")

    monkeypatch.setattr(turns, "give_back", to_somebody_else)
    try:
        assert services.sign_in(username="ana", password=PASSWORD)
    finally:
        give_back()

    assert User.objects.get(pk=ana.pk).password == stored
