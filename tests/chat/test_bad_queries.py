"""Impossible query strings are refused by name with 400, or ignored where no view reads them; never a 500."""

import pytest

from tests.chat.speaking import say

LISTS = ("/api/conversations/", "/api/conversations/{}/messages/", "/api/notifications/")
CURSOR = "1700000000000-1-1700000000000"


@pytest.fixture(params=LISTS)
def url(request, conversation) -> str:
    return request.param.format(conversation.pk)


@pytest.mark.parametrize("value", ["-1", "x", "1e3", "0x1", "NaN", "1.5", "true", "%00", "%ff", "9" * 5000])
@pytest.mark.parametrize("name", ["before", "limit"])
def test_number_that_is_none_is_refused_by_name(db, ana, api, url, name, value):
    answer = api(ana).get(f"{url}?{name}={value}")

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_input")
    assert list(answer.json()["errors"]) == [name]


@pytest.mark.parametrize("name", ["before", "after"])
def test_number_that_other_readers_would_round_is_refused(db, ana, conversation, api, name):
    url = f"/api/conversations/{conversation.pk}/messages/"
    largest, beyond = (api(ana).get(f"{url}?{name}={number}") for number in (2**53 - 1, 2**53))

    assert largest.status_code == 200
    assert (beyond.status_code, list(beyond.json()["errors"])) == (400, [name])


@pytest.mark.parametrize("query", ["limit=1&limit=2", "limit=1&limit=1", "before=3&limit=1&before=2"])
def test_parameter_that_comes_twice_is_refused(db, ana, api, url, query):
    answer = api(ana).get(f"{url}?{query}")

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_input")
    assert list(answer.json()["errors"]) == [query.partition("=")[0]]


def test_parameters_that_nobody_knows_are_ignored(db, ana, conversation, api, url):
    say(conversation, ana)

    known, more = (api(ana).get(f"{url}?limit=1{also}") for also in ("", "&_=1&_=2&before[]=0&cursors=1"))

    assert (more.status_code, more.json()) == (200, known.json())


@pytest.mark.parametrize("debug", [False, True])
def test_too_many_parameters_are_refused(db, ana, api, url, settings, debug):
    settings.DEBUG = debug
    query = "&".join(f"p{number}=1" for number in range(1001))

    answers = [api(ana).get(f"{url}?{query}"), api(ana).post(f"{url}?{query}", {})]

    for answer in answers:
        assert answer.status_code in (400, 401), answer.content
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.json()["code"] in ("invalid_input", "unauthenticated")


def test_two_orders_at_once_are_refused(db, ana, conversation, api):
    answer = api(ana).get(f"/api/conversations/?before=7&cursor={CURSOR}")

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_input")
    assert list(answer.json()["errors"]) == ["before"]


@pytest.mark.parametrize("value", [2**53, 2**70, -1, True, 1.5, "x", None, [1], {}])
@pytest.mark.parametrize("cursor", ["read", "delivered"])
def test_cursor_that_is_no_position_is_refused(db, ana, conversation, api, cursor, value):
    answer = api(ana).post(f"/api/conversations/{conversation.pk}/{cursor}/", {"up_to_seq": value})

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_input")
    assert list(answer.json()["errors"]) == ["up_to_seq"]
