"""Every endpoint against any input: bad input gets a problem document, never a 500.

The rights of callers are tested in `tests/attacks/test_tenants.py`. The routes are read from `chat.urls`: one
that is added must be added here too.
"""

import json
import re
from typing import Any

import pytest

from chat import urls
from tests.chat.speaking import contents, head_of, logged, say, share_of
from tests.factories import make_conversation

#: Route → method → a body that a member's request may have.
ROUTES: dict[str, dict[str, Any]] = {
    "conversations/": {"GET": None, "POST": {"participants": ["bruno"]}},
    "conversations/<id:conversation_id>/": {"GET": None, "PATCH": {"title": "new"}},
    "conversations/<id:conversation_id>/messages/": {"GET": None, "POST": {"message": "hello"}},
    "conversations/<id:conversation_id>/messages/<id:message_id>/": {
        "PATCH": {"message": "new"},
        "DELETE": None,
    },
    "conversations/<id:conversation_id>/members/": {"GET": None, "POST": {"participants": ["bruno"]}},
    "conversations/<id:conversation_id>/members/<id:user_id>/": {"PATCH": {"role": "admin"}, "DELETE": None},
    "conversations/<id:conversation_id>/read/": {"POST": {"up_to_seq": 1}},
    "conversations/<id:conversation_id>/delivered/": {"POST": {"up_to_seq": 1}},
}
EVERY_METHOD = ("GET", "POST", "PUT", "PATCH", "DELETE")
CALLS = [(route, method) for route, methods in ROUTES.items() for method in methods]
OF_ONE = [(route, method) for route, method in CALLS if "<" in route]
WITH_BODY = [(route, method) for route, method in CALLS if ROUTES[route][method]]
PROBLEM = {"type", "title", "status", "detail", "code", "retryable", "retry_after_ms"}


def test_matrix_knows_every_route():
    views = {str(pattern.pattern): pattern.callback for pattern in urls.urlpatterns}

    assert list(views) == list(ROUTES)
    for route, view in views.items():
        methods = {method for method in EVERY_METHOD if hasattr(view.view_class, method.lower())}
        assert methods == ROUTES[route].keys(), route


@pytest.fixture
def secret(ana, bruno, dora):
    """A group with a message in it, and the ids by which one could ask for it."""
    group = make_conversation(ana, bruno, dora, title="canary title")
    sent = say(group, ana, "canary words")
    return {"conversation_id": group.pk, "message_id": sent.message_id, "user_id": bruno.pk, "group": group}


def url_of(route: str, **ids: object) -> str:
    return "/api/" + re.sub(r"<id:(\w+)>", lambda found: str(ids[found[1]]), route)


def call(client, route: str, method: str, body: object = ..., **ids: object):
    sent = ROUTES[route].get(method) if body is ... else body
    text = "" if sent is None else sent if isinstance(sent, (str, bytes)) else json.dumps(sent)
    return client.generic(method, url_of(route, **ids), text, content_type="application/json")


def assert_problem(answer, status: int, code: str) -> dict:
    body = answer.json()
    assert (answer.status_code, body["status"], body["code"]) == (status, status, code), body
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert PROBLEM <= body.keys() <= PROBLEM | {"errors"}
    assert body["type"] == "about:blank"
    assert body["detail"]
    return body


@pytest.mark.parametrize(("route", "method"), CALLS)
def test_nobody_is_answered_without_a_token(db, api, secret, route, method):
    for ids in (secret, {**secret, "conversation_id": 999_999}):
        answer = call(api(None), route, method, **ids)
        assert_problem(answer, 401, "unauthenticated")
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("route", ROUTES)
def test_other_methods_are_not_allowed(db, api, ana, secret, route):
    client = api(ana)
    for method in set(EVERY_METHOD) - ROUTES[route].keys():
        answer = call(client, route, method, **secret)
        assert_problem(answer, 405, "method_not_allowed")
        assert set(answer.headers["Allow"].split(", ")) == {
            *ROUTES[route],
            *(["HEAD"] if "GET" in ROUTES[route] else []),
            "OPTIONS",
        }


@pytest.mark.parametrize(("route", "method"), WITH_BODY)
def test_body_that_is_no_object_is_refused(db, api, ana, secret, route, method):
    client, head = api(ana), head_of(secret["group"])
    for body in (
        "[]",
        '"text"',
        "1",
        "null",
        "{",
        "",
        "NaN",
        "[" * 5000,
        b"\xff",
        '{"a":1e999}',
        '{"a":' + "9" * 5000 + "}",
    ):
        answer = call(client, route, method, body, **secret)
        assert answer.json()["code"] in ("invalid_json", "invalid_input"), body
        assert_problem(answer, 400, answer.json()["code"])
    assert (head_of(secret["group"]), secret["group"].participants.count()) == (head, 3)


@pytest.mark.parametrize(("route", "method"), WITH_BODY)
def test_no_field_takes_what_cannot_be_stored(db, api, ana, secret, route, method):
    """The values are U+0000, lone surrogates, wrong types and absurd sizes; the answer is 400 with a code,
    never 500."""
    client, head = api(ana), head_of(secret["group"])
    for field, right in ROUTES[route][method].items():
        for value in ("a\x00b", "\ud800", "x" * 9000, [["deep"]], {"a": 1}, True, 10**400, -1, None):
            if (field, value) == ("message", "x" * 9000):
                continue  # these fields are refused with a code of their own
            for wrong in (value, [value]) if isinstance(right, list) else (value,):
                answer = call(client, route, method, {**ROUTES[route][method], field: wrong}, **secret)
                assert_problem(answer, 400, answer.json()["code"])
    assert head_of(secret["group"]) == head


@pytest.mark.parametrize(("route", "method"), CALLS)
def test_query_with_a_nul_is_no_fault_of_ours(db, api, ana, secret, route, method):
    url = url_of(route, **secret)

    for query in ("?before=%00", "?limit=%00&after=%ff", "?%00=%00"):
        answer = api(ana).generic(
            method, url + query, json.dumps(ROUTES[route][method]), content_type="application/json"
        )
        assert answer.status_code < 500


@pytest.mark.parametrize("route", [route for route in ROUTES if "<" in route])
def test_path_with_an_impossible_id_is_not_found(db, api, ana, secret, route):
    client, names = api(ana), re.findall(r"<id:(\w+)>", route)
    for wrong in ("0", "-1", "abc", "1.5", "9" * 16, "%00", "٣"):
        for name in names:
            answer = call(client, route, next(iter(ROUTES[route])), **{**secret, name: wrong})
            assert_problem(answer, 404, "not_found")


@pytest.mark.parametrize(("route", "method"), OF_ONE)
def test_largest_ids_are_unknown_like_any_other(db, api, ana, secret, route, method):
    for name in re.findall(r"<id:(\w+)>", route):
        answer = call(api(ana), route, method, **{**secret, name: 10**15 - 1})
        assert answer.status_code == 404
        assert_problem(answer, 404, answer.json()["code"])


def test_only_json_is_read(db, api, ana, secret):
    url = f"/api/conversations/{secret['conversation_id']}/messages/"
    for content_type in (
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "text/plain",
    ):
        answer = api(ana).generic("POST", url, "message=hello", content_type=content_type)
        assert_problem(answer, 415, "unsupported_media_type")
    assert contents(secret["group"]) == ["canary words"]


def test_requests_are_limited_per_user(db, api, ana, bruno, secret, relais):
    relais(limit_rest="1/min:2")
    url = f"/api/conversations/{secret['conversation_id']}/"
    client = api(ana)

    answers = [client.get(url) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert assert_problem(answers[2], 429, "rate_limited")["retryable"] is True
    assert int(answers[2].headers["Retry-After"]) > 0
    assert api(bruno).get(url).status_code == 200


def test_members_request_does_what_it_says(db, api, ana, secret):
    """The same calls work for a member, so the refusals above were about rights."""
    expected = {"POST": 201, "GET": 200, "PATCH": 200, "DELETE": 200}
    for route, method in CALLS:
        if (route, method) == ("conversations/<id:conversation_id>/members/<id:user_id>/", "DELETE"):
            continue
        answer = call(api(ana), route, method, **secret)
        assert answer.status_code in (200, expected[method]), (route, method, answer.content)
    assert contents(secret["group"])[-1] == "hello"
    assert share_of(ana, secret["group"]).read_seq == 1
    assert "canary words" not in "".join(logged(secret["group"]))
