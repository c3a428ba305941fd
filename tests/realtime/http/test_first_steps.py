"""Mistakes of newcomers are answered with what would have been right, in JSON where programs ask."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from django.test import Client

from tests.attacks import surface
from tests.attacks.conftest import _patient  # noqa: F401 - a fixture: nobody is sent away for coming often

METHODS = ("POST", "PUT", "PATCH", "DELETE")
IDS = {
    "conversation_id": 1,
    "message_id": 1,
    "user_id": 1,
    "notification_id": 1,
    "session_id": "00000000-0000-4000-8000-000000000000",
}
ROUTES = [
    route
    for route in surface.views()
    if route != "/api/" and route.startswith("/api/") and route.endswith("/")
]


@pytest.fixture(params=[False, True], ids=["production", "debug"])
def debug(request: pytest.FixtureRequest, settings: Any) -> bool:
    settings.DEBUG = request.param
    return bool(request.param)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("route", ROUTES)
def test_path_without_its_slash_is_named(
    client: Client, db: None, debug: bool, route: str, method: str
) -> None:
    path = surface.filled(route, IDS)
    answer = client.generic(method, path.rstrip("/"), json.dumps({"a": 1}), content_type="application/json")

    assert (answer.status_code, answer["Content-Type"]) == (404, "application/problem+json")
    assert f" {path}," in answer.json()["detail"]


@pytest.mark.parametrize("route", ROUTES)
def test_reader_without_the_slash_is_led_to_it(client: Client, db: None, debug: bool, route: str) -> None:
    path = surface.filled(route, IDS)
    answer = client.get(f"{path.rstrip('/')}?a=b")

    assert (answer.status_code, answer["Location"]) == (301, f"{path}?a=b")


@pytest.mark.parametrize("method", ["GET", *METHODS])
@pytest.mark.parametrize("path", ["/api/nowhere", "/api/nowhere/", "/api/token/x/", "/api/conversations/x/"])
def test_unknown_path_is_a_problem_document(
    client: Client, db: None, debug: bool, path: str, method: str
) -> None:
    answer = client.generic(method, path, "{}", content_type="application/json")

    assert (answer.status_code, answer["Content-Type"]) == (404, "application/problem+json")
    assert answer.json()["code"] == "not_found"
    assert "/api/" in answer.json()["detail"]


@pytest.mark.parametrize("method", ["GET", *METHODS])
@pytest.mark.parametrize("path", ["/ws/chat/123/", "/ws/chat/123/?token=x", "/ws/notifications/", "/ws/x"])
def test_socket_that_is_opened_as_a_page_is_explained(
    client: Client, db: None, debug: bool, path: str, method: str
) -> None:
    answer = client.generic(method, path)

    assert (answer.status_code, answer["Content-Type"]) == (404, "application/problem+json")
    assert "WebSocket" in answer.json()["detail"]


@pytest.mark.parametrize(
    "scheme", ["Token x", "JWT x", "Basic YTpi", "token=x", "eyJhbGciOiJIUzI1NiJ9.e30.x"]
)
@pytest.mark.parametrize("path", ["/api/me/", "/api/conversations/", "/api/notifications/"])
def test_wrong_scheme_is_told_the_right_one(client: Client, db: None, path: str, scheme: str) -> None:
    answer = client.get(path, headers={"authorization": scheme})

    assert answer.status_code == 401
    assert answer["WWW-Authenticate"].startswith("Bearer")
    assert "Authorization: Bearer <token>" in answer.json()["detail"]
    assert scheme not in answer.content.decode()


def test_missing_token_is_asked_for(client: Client, db: None) -> None:
    answer = client.get("/api/me/")

    assert answer.status_code == 401
    assert "Authorization: Bearer <token>" in answer.json()["detail"]


@pytest.mark.parametrize("path", ["/api/token/", "/api/auth/register/", "/api/token/refresh/"])
def test_form_is_told_to_send_json(client: Client, db: None, path: str) -> None:
    for kind in ("application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain"):
        answer = client.generic("POST", path, "username=ana&password=x", content_type=kind)

        assert (answer.status_code, answer["Accept"]) == (415, "application/json")
        assert "application/json" in answer.json()["detail"]


def test_other_method_is_told_the_right_ones(client: Client, db: None) -> None:
    answer = client.get("/api/token/")

    assert (answer.status_code, answer["Allow"]) == (405, "POST, OPTIONS")
    assert "POST" in answer.json()["detail"]


def test_other_form_is_told_what_there_is(client: Client, db: None) -> None:
    answer = client.get("/api/schema/", headers={"accept": "image/png"})

    assert answer.status_code == 406
    assert "application/yaml" in answer.json()["detail"]


@pytest.mark.parametrize("host", ["evil.example", "a_b", "a b", "[::1", "x" * 3000])
@pytest.mark.parametrize("path", ["/api/me/", "/api/token", "/", "/admin/", "/nowhere"])
def test_wrong_host_is_told_the_setting(
    client: Client, db: None, debug: bool, path: str, host: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        answer = client.get(path, headers={"host": host})

    assert answer.status_code == 400
    assert b"ALLOWED_HOSTS" in answer.content
    if path.startswith("/api/"):
        assert answer.json()["code"] == "invalid_input"
    refusals = [record for record in caplog.records if "ALLOWED_HOSTS" in record.getMessage()]
    assert len(refusals) == 1
    assert [record for record in caplog.records if record.exc_info] == []
