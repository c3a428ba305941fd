"""The inbox over HTTP: pages, reading, and nobody else's entries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from accounts.models import User
from notifications.models import Notification
from notifications.services import mark_read, notify
from realtime.testing import Published, position_at
from realtime.topics import user_topic

INBOX = "/api/notifications/"

pytestmark = pytest.mark.django_db

SignIn = Callable[[User], APIClient]


def paid(user: User, count: int = 1) -> list[Notification]:
    return [notify(user=user, kind="payment_completed", data={"payment_id": n}) for n in range(count)]


def ids(answer: Any) -> list[int]:
    return [row["id"] for row in answer.json()["results"]]


def test_inbox_shows_its_owner_what_the_socket_showed(ana: User, bruno: User, signed_in: SignIn) -> None:
    (stored,) = paid(ana)
    paid(bruno)

    answer = signed_in(ana).get(INBOX)

    assert answer.status_code == 200
    assert answer.json() == {
        "results": [
            {
                "id": stored.pk,
                "type": "payment_completed",
                "kind": "payment_completed",
                "title": "Payment confirmed",
                "message": "Your payment has been processed",
                "data": {"payment_id": 0},
                "created_at": answer.json()["results"][0]["created_at"],
                "read_at": None,
                "count": 1,
            }
        ],
        "next": None,
        "previous": None,
        "has_more": False,
        "unread_count": 1,
        "last_seq": 1,
        "last_position": position_at(user_topic(ana.pk), 1),
    }
    assert answer.json()["results"][0]["created_at"].endswith("Z")


def test_pages_lead_from_the_newest_to_the_oldest_and_back(ana: User, signed_in: SignIn) -> None:
    stored = [row.pk for row in paid(ana, 7)][::-1]
    client = signed_in(ana)

    first = client.get(INBOX, {"limit": 3})
    second = client.get(first.json()["next"])
    third = client.get(second.json()["next"])

    assert [ids(page) for page in (first, second, third)] == [stored[:3], stored[3:6], stored[6:]]
    assert [page.json()["has_more"] for page in (first, second, third)] == [True, True, False]
    assert (first.json()["previous"], third.json()["next"]) == (None, None)
    back = client.get(third.json()["previous"])
    assert ids(back) == stored[3:6]
    assert ids(client.get(back.json()["previous"])) == stored[:3]
    assert ids(client.get(INBOX, {"after": stored[0]})) == []
    assert ids(client.get(INBOX, {"after": stored[3], "before": stored[1]})) == [stored[2]]


@pytest.mark.parametrize("unread", [False, True])
def test_every_page_says_what_lies_on_either_side_of_it(ana: User, signed_in: SignIn, unread: bool) -> None:
    """An empty page too, and a page of unread entries alone: a link leads to something, no link to
    nothing."""
    stored = [row.pk for row in paid(ana, 4)]
    if unread:
        mark_read(user_id=ana.pk, ids=[stored.pop(0)])
    else:
        stored.pop()
        Notification.objects.latest("pk").delete()
    client, (low, middle, high) = signed_in(ana), stored

    def sides(**query: int) -> tuple[list[int], list[int] | None, list[int] | None]:
        page = client.get(INBOX, {**query, "limit": 2, **({"unread": 1} if unread else {})})
        assert page.json()["has_more"] == (page.json()["next"] is not None)
        links = [page.json()[side] for side in ("next", "previous")]
        older, newer = (link and ids(client.get(link)) for link in links)
        return ids(page), older, newer

    assert sides() == ([high, middle], [low], None)
    assert sides(before=high) == ([middle, low], None, [high])
    assert sides(before=high + 1) == ([high, middle], [low], None)
    assert sides(before=low) == ([], None, [middle, low])
    assert sides(after=low - 1) == ([middle, low], None, [high])
    assert sides(after=low) == ([high, middle], [low], None)
    assert sides(after=high) == ([], [high, middle], None)
    assert sides(after=low, before=high) == ([middle], None, [high])


def test_page_is_fifty_long_unless_asked_otherwise(ana: User, signed_in: SignIn) -> None:
    paid(ana, 51)
    client = signed_in(ana)

    assert len(ids(client.get(INBOX))) == 50
    assert len(ids(client.get(INBOX, {"limit": 200}))) == 51


@pytest.mark.parametrize(
    "query",
    [
        {"limit": "0"},
        {"limit": "201"},
        {"limit": "many"},
        {"before": "0"},
        {"before": "-1"},
        {"before": str(2**53)},
        {"after": "1.5"},
        {"before": "9" * 5000},
        {"unread": "perhaps"},
    ],
)
def test_query_that_makes_no_sense_is_refused(ana: User, signed_in: SignIn, query: dict[str, str]) -> None:
    answer = signed_in(ana).get(INBOX, query)

    assert answer.status_code == 400
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["code"] == "invalid_input"
    assert list(answer.json()["errors"]) == list(query)


def test_unread_ones_alone_keep_their_filter_from_page_to_page(ana: User, signed_in: SignIn) -> None:
    stored = [row.pk for row in paid(ana, 6)]
    mark_read(user_id=ana.pk, ids=stored[::2])
    client = signed_in(ana)

    page = client.get(INBOX, {"unread": 1, "limit": 2})
    rest = client.get(page.json()["next"])

    assert ids(page) + ids(rest) == stored[1::2][::-1]
    assert "unread=1" in urlsplit(page.json()["next"]).query
    assert page.json()["unread_count"] == 3
    assert client.get(INBOX).json()["results"][-1]["read_at"].endswith("Z")


def test_page_costs_as_many_queries_with_one_row_as_with_three(
    ana: User, bruno: User, signed_in: SignIn
) -> None:
    paid(ana, 1)
    paid(bruno, 3)

    def queries_for(user: User) -> int:
        client = signed_in(user)
        with CaptureQueriesContext(connection) as queries:
            assert client.get(INBOX).status_code == 200
        return len(queries)

    assert queries_for(ana) == queries_for(bruno) <= 3  # the caller, where the inbox stands, and the page


@pytest.mark.django_db(transaction=True)
def test_reading_one_over_http_is_announced(ana: User, signed_in: SignIn, published: Published) -> None:
    first, _ = paid(ana, 2)

    answers = [signed_in(ana).post(f"{INBOX}{first.pk}/read/") for _ in range(2)]

    assert [(answer.status_code, answer.json()) for answer in answers] == [(200, {"unread_count": 1})] * 2
    assert published.of_type("notifications_read") == [
        {"type": "notifications_read", "ids": [first.pk], "unread_count": 1, "seq": 3}
    ]


def test_somebody_elses_entry_is_as_unknown_as_none(ana: User, bruno: User, signed_in: SignIn) -> None:
    (theirs,) = paid(bruno)
    client = signed_in(ana)

    answers = [client.post(f"{INBOX}{pk}/read/") for pk in (theirs.pk, theirs.pk + 1000, 10**14)]

    assert {answer.status_code for answer in answers} == {404}
    assert answers[0].json() == answers[1].json() == answers[2].json()
    assert answers[0].json()["code"] == "not_found"
    theirs.refresh_from_db()
    assert theirs.read_at is None


@pytest.mark.parametrize("name", ["0", "-1", "abc", "1.0", "9" * 40])
def test_name_that_is_no_id_is_no_path(ana: User, signed_in: SignIn, name: str) -> None:
    assert signed_in(ana).post(f"{INBOX}{name}/read/").status_code == 404


def test_reading_everything_and_counting(ana: User, bruno: User, signed_in: SignIn) -> None:
    paid(ana, 3)
    paid(bruno, 1)
    client = signed_in(ana)

    assert client.get(f"{INBOX}unread-count/").json() == {"unread_count": 3}
    assert client.post(f"{INBOX}read-all/").json() == {"read": 3, "unread_count": 0}
    assert client.post(f"{INBOX}read-all/").json() == {"read": 0, "unread_count": 0}
    assert client.get(f"{INBOX}unread-count/").json() == {"unread_count": 0}
    assert signed_in(bruno).get(f"{INBOX}unread-count/").json() == {"unread_count": 1}


@pytest.mark.parametrize(
    ("method", "path"),
    [("get", ""), ("post", ""), ("get", "unread-count/"), ("post", "read-all/"), ("post", "1/read/")],
)
def test_stranger_gets_nowhere(method: str, path: str) -> None:
    answer = getattr(APIClient(), method)(INBOX + path)

    assert answer.status_code == 401
    assert answer.json()["code"] == "unauthenticated"
    assert "WWW-Authenticate" in answer.headers


@pytest.mark.parametrize(
    ("method", "path"),
    [("get", ""), ("get", "unread-count/"), ("post", "read-all/"), ("post", "1/read/")],
)
def test_service_has_no_inbox(service: APIClient, method: str, path: str) -> None:
    assert getattr(service, method)(INBOX + path).status_code == 401


@pytest.mark.parametrize(
    ("method", "path"),
    [("put", ""), ("delete", ""), ("post", "unread-count/"), ("get", "read-all/"), ("get", "1/read/")],
)
def test_other_methods_are_refused_with_a_problem(
    ana: User, signed_in: SignIn, method: str, path: str
) -> None:
    answer = getattr(signed_in(ana), method)(INBOX + path)

    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")


def test_reading_is_limited_like_any_rest(ana: User, signed_in: SignIn, settings: Any) -> None:
    settings.RELAIS = {**settings.RELAIS, "limit_rest": "1/h:2"}
    client = signed_in(ana)

    answers = [client.get(INBOX), client.get(f"{INBOX}unread-count/"), client.post(f"{INBOX}read-all/")]

    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[2].json()["code"] == "rate_limited"


def test_every_path_is_in_the_schema_with_its_answers_and_keys() -> None:
    from drf_spectacular.generators import SchemaGenerator

    schema = SchemaGenerator().get_schema(request=None, public=True)
    operations = {
        (path, method): operation
        for path, methods in schema["paths"].items()
        if path.startswith(INBOX)
        for method, operation in methods.items()
    }

    assert sorted(operation["operationId"] for operation in operations.values()) == [
        "notifications_list",
        "notifications_read",
        "notifications_read_all",
        "notifications_send",
        "notifications_unread_count",
    ]
    assert all(
        "404" in op["responses"] or "400" in op["responses"] or "401" in op["responses"]
        for op in operations.values()
    )
    send = operations[INBOX, "post"]
    assert send["security"] == [{"serviceKey": []}]
    assert {"201", "400", "401", "403", "409", "422"} <= send["responses"].keys()
    assert [parameter["name"] for parameter in send["parameters"]] == ["Idempotency-Key"]
    assert operations[INBOX, "get"]["security"] == [{"bearer": []}]
