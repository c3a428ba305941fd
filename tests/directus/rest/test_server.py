"""`/server`: whether it is there, whether it works, and what a client may know of it."""

import pytest
from django.db import OperationalError

from directus.rest import server
from tests.directus.answers import code

PROJECT = {"project_name": "Relais", "default_language": "en-US", "public_registration": False}


def test_ping_is_a_text(stranger, db):
    answer = stranger.get("/server/ping")

    assert (answer.status_code, answer.content) == (200, b"pong")
    assert answer.headers["Content-Type"].startswith("text/plain")


def test_health_while_the_database_answers_and_while_it_does_not(stranger, db, monkeypatch):
    answer = stranger.get("/server/health")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    assert answer.headers["Content-Type"] == "application/health+json"

    class Away:
        def cursor(self):
            raise OperationalError("away")

    monkeypatch.setattr(server, "connection", Away())
    answer = stranger.get("/server/health")
    assert (answer.status_code, answer.json()) == (503, {"status": "error"})
    assert answer.headers["Content-Type"] == "application/health+json"


def test_info_for_anybody_is_the_project(stranger, db):
    data = stranger.get("/server/info").json()["data"]

    assert data.keys() == {"project"}
    assert PROJECT.items() <= data["project"].items()


def test_info_for_users(signed_in, ana, settings):
    settings.RELAIS = {**settings.RELAIS, "limit_rest": "50/s:200"}
    data = signed_in(ana).get("/server/info").json()["data"]

    assert data.pop("project")
    assert data == {
        "rateLimit": {"points": 50, "duration": 1},
        "rateLimitGlobal": False,
        "queryLimit": {"default": 100, "max": -1},
        "websocket": {
            "rest": {"authentication": "handshake", "path": "/websocket"},
            "graphql": False,
            "heartbeat": 30,
        },
    }


@pytest.mark.parametrize(
    ("off", "websocket"),
    [
        ({"websockets_enabled": False}, False),
        ({"websockets_rest_enabled": False}, {"rest": False, "graphql": False, "heartbeat": 30}),
        (
            {"websockets_heartbeat_enabled": False, "websockets_rest_auth": "strict"},
            {
                "rest": {"authentication": "strict", "path": "/websocket"},
                "graphql": False,
                "heartbeat": False,
            },
        ),
    ],
)
def test_info_says_what_is_off(signed_in, ana, settings, off, websocket):
    settings.DIRECTUS = {**settings.DIRECTUS, **off, "query_limit_default": 20, "query_limit_max": 500}
    settings.RELAIS = {**settings.RELAIS, "limit_rest": "off"}
    data = signed_in(ana).get("/server/info").json()["data"]

    assert data["websocket"] == websocket
    assert data["queryLimit"] == {"default": 20, "max": 500}
    assert data["rateLimit"] is False


def test_language_of_the_project(stranger, db, settings):
    settings.LANGUAGE_CODE = "fr"

    assert stranger.get("/server/info").json()["data"]["project"]["default_language"] == "fr-FR"


@pytest.mark.parametrize("path", ["/server/specs/oas", "/server/specs/graphql", "/server"])
def test_what_this_server_has_not(stranger, db, path):
    assert code(stranger.get(path)) == "ROUTE_NOT_FOUND"
