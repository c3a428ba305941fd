"""The API for other services: which may call it, what they may send, and that sending twice is harmless."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.models import User
from notifications import idempotency, selectors, services
from notifications.errors import IdempotencyInProgressError, IdempotencyMismatchError
from notifications.idempotency import answer_once
from notifications.models import IdempotencyKey, Notification
from realtime.errors import UnavailableError
from realtime.testing import Published
from tests.factories import make_user
from tests.notifications.conftest import API_KEY, SOCKET, own
from tests.notifications.test_services import in_threads

INBOX = "/api/notifications/"

pytestmark = pytest.mark.django_db
commits = pytest.mark.django_db(transaction=True)


def payment(user: User, **more: Any) -> dict[str, Any]:
    return {"user_id": user.pk, "kind": "payment_completed", "data": {"payment_id": 789}, **more}


def post(client: APIClient, body: Any, *, key: str | None = None) -> Any:
    headers: Any = {} if key is None else {"HTTP_IDEMPOTENCY_KEY": key}
    return client.post(INBOX, body, format="json", **headers)


# --- keys -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {"HTTP_AUTHORIZATION": f"Api-Key {API_KEY}"},
        {"HTTP_AUTHORIZATION": f"api-key   {API_KEY} "},
        {"HTTP_X_API_KEY": API_KEY},
    ],
)
def test_service_with_a_key_may_tell(service: APIClient, ana: User, headers: dict[str, str]) -> None:
    client = APIClient()
    client.credentials(**headers)

    assert post(client, payment(ana)).status_code == 201
    assert Notification.objects.get().user == ana


@pytest.mark.parametrize(
    "headers",
    [
        {"HTTP_AUTHORIZATION": "Api-Key wrong"},
        {"HTTP_AUTHORIZATION": "Api-Key"},
        {"HTTP_AUTHORIZATION": f"Api-Key {API_KEY[:-1]}"},
        {"HTTP_AUTHORIZATION": f"Basic {API_KEY}"},
        {"HTTP_AUTHORIZATION": "Api-Key \xe9\xff"},
        {"HTTP_X_API_KEY": ""},
        {"HTTP_X_API_KEY": f"{API_KEY},{API_KEY}"},
        {},
    ],
)
def test_wrong_key_is_refused(service: APIClient, ana: User, headers: dict[str, str]) -> None:
    client = APIClient()
    client.credentials(**headers)

    answer = post(client, payment(ana))

    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
    assert not Notification.objects.exists()


@pytest.mark.parametrize("keys", [(), ("",)])
@pytest.mark.parametrize("offered", ["", "anything"])
def test_server_without_keys_lets_nobody_in(ana: User, settings: Any, keys: Any, offered: str) -> None:
    settings.RELAIS = {**settings.RELAIS, "service_api_keys": keys}

    answer = APIClient().post(INBOX, payment(ana), format="json", HTTP_X_API_KEY=offered)

    assert answer.status_code == 401


def test_user_does_not_speak_for_the_server(
    service: APIClient, ana: User, signed_in: Callable[[User], APIClient]
) -> None:
    admin = make_user("root", is_staff=True, is_superuser=True)
    for user in (ana, admin):
        answer = post(signed_in(user), payment(ana))

        assert (answer.status_code, answer.json()["code"]) == (403, "not_allowed")
    assert not Notification.objects.exists()


# --- bodies -----------------------------------------------------------------------------------------


@commits
def test_one_recipient_is_answered_with_the_entry(
    service: APIClient, ana: User, published: Published
) -> None:
    answer = post(service, payment(ana))

    stored = Notification.objects.get()
    assert answer.status_code == 201
    assert answer.json() == {
        "id": stored.pk,
        "user_id": ana.pk,
        "type": "payment_completed",
        "kind": "payment_completed",
        "title": "Payment confirmed",
        "message": "Your payment has been processed",
        "data": {"payment_id": 789},
        "created_at": answer.json()["created_at"],
        "count": 1,
    }
    assert [topic for topic, _ in published] == [own(ana)]


async def test_posted_notification_reaches_the_open_socket(
    service: APIClient, ana: User, clara: User, connect: Any
) -> None:
    from asgiref.sync import sync_to_async

    async with connect(ana, SOCKET) as socket, connect(clara, SOCKET) as outsider:
        await sync_to_async(post)(service, payment(ana))

        assert (await socket.receive())["data"] == {"payment_id": 789}
        assert await outsider.receives_nothing()


def test_recipients_are_named_by_id_or_username(
    service: APIClient, ana: User, bruno: User, clara: User
) -> None:
    body = {"kind": "listing_published", "data": {"listing_id": 456}}

    one = post(service, {**body, "username": "ana"})
    many = post(service, {**body, "users": ["ana", bruno.pk, ana.pk]})

    assert one.json()["user_id"] == ana.pk
    assert [row["user_id"] for row in many.json()["results"]] == [ana.pk, bruno.pk]
    assert not Notification.objects.filter(user=clara).exists()


def test_service_may_bring_its_own_words(service: APIClient, ana: User) -> None:
    answer = post(service, payment(ana, title="Merci", message="Commande 7"))

    assert (answer.json()["title"], answer.json()["message"]) == ("Merci", "Commande 7")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"kind": "lottery_won"}, "unknown_kind"),
        ({"kind": "session_revoked"}, "unknown_kind"),
        ({"data": {}}, "invalid_data"),
        ({"data": {"payment_id": "789"}}, "invalid_data"),
        ({"data": {"payment_id": 2**53}}, "invalid_data"),
        ({"data": {"payment_id": 1, "note": "\x00"}}, "invalid_data"),
        ({"data": {"payment_id": 1, "note": "\ud800"}}, "invalid_json"),
        ({"user_id": 10**9}, "unknown_user"),
        ({"user_id": None, "username": "nobody"}, "unknown_user"),
        ({"user_id": None, "users": ["ana", "nobody"]}, "unknown_user"),
        ({"user_id": None}, "invalid_input"),
        ({"user_id": 0}, "invalid_input"),
        ({"user_id": 2**63}, "invalid_input"),
        ({"user_id": "one"}, "invalid_input"),
        ({"username": "ana"}, "invalid_input"),
        ({"user_id": None, "users": []}, "invalid_input"),
        ({"user_id": None, "users": [True]}, "invalid_input"),
        ({"user_id": None, "users": [1.5]}, "invalid_input"),
        ({"user_id": None, "users": [""]}, "invalid_input"),
        ({"user_id": None, "users": ["x" * 151]}, "invalid_input"),
        ({"user_id": None, "users": list(range(1, 1002))}, "invalid_input"),
        ({"user_id": None, "username": "a\x00b"}, "invalid_input"),
        ({"kind": None}, "invalid_input"),
        ({"kind": ""}, "invalid_input"),
        ({"data": []}, "invalid_input"),
        ({"data": "text"}, "invalid_input"),
        ({"title": "x" * 201}, "invalid_input"),
        ({"title": "\x1b"}, "invalid_text"),
        ({"message": ["list"]}, "invalid_input"),
    ],
)
def test_request_that_makes_no_sense_has_a_stable_code_and_stores_nothing(
    service: APIClient, ana: User, change: dict[str, Any], code: str
) -> None:
    body = {name: value for name, value in payment(ana, **change).items() if value is not None}

    answer = service.generic("POST", INBOX, json.dumps(body), content_type="application/json")

    assert (answer.status_code, answer.json()["code"]) == (400, code)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert not Notification.objects.exists()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '"text"',
        "7",
        '{"user_id": 1, "kind": "payment_completed", "data": {"payment_id": NaN}}',
        '{"user_id": 1, "kind": "payment_completed", "data": {"payment_id": 1e400}}',
        '{"user_id": 1, "kind": "payment_completed", "data": {"payment_id": ' + "9" * 5000 + "}}",
        '{"user_id": ' + "9" * 5000 + "}",
        "[" * 10_000 + "]" * 10_000,
        '{"data":' * 10_000 + "1" + "}" * 10_000,
        b"\xff\xfe",
    ],
    ids=lambda text: str(text)[:30],
)
def test_body_that_is_no_json_object_is_refused_and_not_a_failure(
    service: APIClient, ana: User, text: str | bytes
) -> None:
    client = Client(raise_request_exception=False)

    answer = client.post(INBOX, text, content_type="application/json", headers={"X-Api-Key": API_KEY})

    assert answer.status_code == 400
    assert answer.json()["code"] in ("invalid_json", "invalid_input", "invalid_data")


def test_posting_is_not_limited_per_user(service: APIClient, ana: User, settings: Any) -> None:
    settings.RELAIS = {**settings.RELAIS, "limit_rest": "1/h:1"}

    assert [post(service, payment(ana)).status_code for _ in range(3)] == [201] * 3


# --- the same notification sent twice ---------------------------------------------------------------


def test_same_key_and_body_get_the_first_answer_again(service: APIClient, ana: User) -> None:
    first = post(service, payment(ana), key="order-7")
    again = post(service, dict(reversed(payment(ana).items())), key="order-7")

    assert (first.status_code, again.status_code) == (201, 201)
    assert again.content == first.content
    assert ("Idempotent-Replayed" in first.headers, again.headers["Idempotent-Replayed"]) == (False, "true")
    assert Notification.objects.count() == 1


def test_another_key_is_another_request(service: APIClient, ana: User) -> None:
    post(service, payment(ana), key="order-7")
    post(service, payment(ana), key="order-8")
    post(service, payment(ana))
    post(service, payment(ana))

    assert Notification.objects.count() == 4


def test_same_key_with_another_body_is_refused(service: APIClient, ana: User, bruno: User) -> None:
    post(service, payment(ana), key="order-7")

    answer = post(service, payment(bruno), key="order-7")

    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_mismatch")
    assert Notification.objects.get().user == ana


def test_two_services_may_use_the_same_key(service: APIClient, ana: User, settings: Any) -> None:
    other_key = "another-service-key-of-more-than-32-characters"
    settings.RELAIS = {**settings.RELAIS, "service_api_keys": (API_KEY, other_key)}
    other = APIClient()
    other.credentials(HTTP_X_API_KEY=other_key)

    assert (
        post(service, payment(ana), key="1").json()["id"] != post(other, payment(ana), key="1").json()["id"]
    )


def test_neither_keys_nor_bodies_are_kept_readable(service: APIClient, ana: User) -> None:
    post(service, payment(ana), key="order-7")

    row = IdempotencyKey.objects.get()
    assert API_KEY not in f"{row.scope}{row.key}{row.fingerprint}"
    assert "order-7" not in f"{row.scope}{row.key}{row.fingerprint}"


@pytest.mark.parametrize("key", ["", " ", "x" * 256, "clé", "a\tb"])
def test_key_that_is_none_is_refused(service: APIClient, ana: User, key: str) -> None:
    answer = post(service, payment(ana), key=key)

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_idempotency_key")
    assert not Notification.objects.exists()


def test_refused_request_is_answered_again_like_any_other(service: APIClient, ana: User) -> None:
    body = {"username": "later", "kind": "payment_completed", "data": {"payment_id": 1}}
    first = post(service, body, key="1")
    make_user("later")
    again = post(service, body, key="1")

    assert (first.status_code, again.status_code) == (400, 400)
    assert again.json() == first.json()
    assert again.json()["code"] == "unknown_user"
    assert again.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("failure", [UnavailableError, RuntimeError])
def test_failure_of_ours_may_be_tried_again(
    service: APIClient, ana: User, monkeypatch: pytest.MonkeyPatch, failure: type[Exception]
) -> None:
    service.raise_request_exception = False
    notify_many = services.notify_many
    with monkeypatch.context() as broken:

        def fail(**asked: Any) -> None:
            notify_many(**asked)
            raise failure

        broken.setattr(services, "notify_many", fail)
        assert post(service, payment(ana), key="1").status_code >= 500
    assert not Notification.objects.exists()

    assert post(service, payment(ana), key="1").status_code == 201
    assert Notification.objects.count() == 1


def test_key_is_forgotten_after_a_day(service: APIClient, ana: User) -> None:
    post(service, payment(ana), key="1")
    IdempotencyKey.objects.update(created_at=timezone.now() - dt.timedelta(hours=23, minutes=59))
    assert "Idempotent-Replayed" in post(service, payment(ana), key="1").headers

    IdempotencyKey.objects.update(created_at=timezone.now() - dt.timedelta(hours=24, seconds=1))
    answer = post(service, payment(ana, title="Another"), key="1")

    assert (answer.status_code, answer.json()["title"]) == (201, "Another")
    assert IdempotencyKey.objects.count() == 1


def test_key_whose_request_is_being_answered_says_so(service: APIClient, ana: User) -> None:
    post(service, payment(ana), key="1")
    IdempotencyKey.objects.update(status=None)

    answer = post(service, payment(ana), key="1")

    assert (answer.status_code, answer.json()["code"]) == (409, "idempotency_in_progress")
    assert answer.json()["retryable"] is True
    assert answer.headers["Retry-After"] == "1"
    assert Notification.objects.count() == 1


def test_key_of_a_process_that_died_is_taken_over(service: APIClient, ana: User) -> None:
    post(service, payment(ana), key="1")
    IdempotencyKey.objects.update(status=None, created_at=timezone.now() - dt.timedelta(seconds=61))
    Notification.objects.all().delete()  # the work was never committed

    assert post(service, payment(ana), key="1").status_code == 201
    assert post(service, payment(ana), key="1").headers["Idempotent-Replayed"] == "true"
    assert Notification.objects.count() == 1


def test_work_of_a_process_that_was_given_up_is_undone(ana: User) -> None:
    def taken_over_meanwhile() -> dict[str, Any]:
        services.notify(user=ana, kind="payment_completed", data={"payment_id": 1})
        IdempotencyKey.objects.update(created_at=timezone.now() + dt.timedelta(seconds=1))
        return {}

    with pytest.raises(IdempotencyInProgressError):
        answer_once(scope="s", key="1", request={}, work=taken_over_meanwhile)

    assert not Notification.objects.exists()


def test_mismatch_is_told_while_the_first_is_being_answered(ana: User) -> None:
    idempotency._claim("s", idempotency._hash(b"1"), "one")

    with pytest.raises(IdempotencyMismatchError):
        idempotency._claim("s", idempotency._hash(b"1"), "another")


@commits
def test_requests_at_the_same_moment_send_one_notification(
    service: APIClient, ana: User, published: Published
) -> None:
    def send(_: int) -> tuple[int, Any]:
        client = APIClient()
        client.credentials(HTTP_X_API_KEY=API_KEY)
        answer = post(client, payment(ana), key="1")
        return answer.status_code, answer.json().get("id")

    answers = in_threads(send, 8)

    stored = Notification.objects.get()
    assert (201, stored.pk) in answers
    assert set(answers) <= {(201, stored.pk), (409, None)}
    assert len(published) == 1


# --- naming recipients ------------------------------------------------------------------------------


def test_recipients_are_found_by_one_query(ana: User, bruno: User, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(1):
        assert selectors.users_named([ana.pk, "bruno", "ana"]) == [ana, bruno]
