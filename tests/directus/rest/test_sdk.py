"""The unmodified SDK of Directus over REST against a running server: `sdk.mjs` has its cases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.node_program import Found, played
from tests.servers import ServerProcess

pytestmark = pytest.mark.acceptance

PROGRAM = Path(__file__).with_name("sdk.mjs")
#: The cookies travel over plain HTTP here, and one user signs in more often than people do.
ENVIRONMENT = {"SECURE_COOKIES": "off", "LIMIT_LOGINS": "off", "LIMIT_LOGINS_PER_ACCOUNT": "off"}

ANA = "ana@example.com"
OUT = {"known": True, "code": "INVALID_CREDENTIALS", "message": True, "status": 401}

#: What each case finds.
CASES: dict[str, Any] = {
    "ping, health, info": {"ping": "pong", "health": {"status": "ok"}, "project": "Relais", "rest": []},
    "providers": [],
    "json: login, readMe, refresh, logout": {
        "members": ["access_token", "expires", "expires_at", "refresh_token"],
        "expires": 3_600_000,
        "email": ANA,
        "rotated": True,
        "after": ANA,
        "token": None,
        "old": OUT,
        "cookies": [],
    },
    "cookie: login, readMe, refresh, logout": {
        "members": ["access_token", "expires", "expires_at"],
        "email": ANA,
        "rotated": True,
        "cookies": [],
        "after": {**OUT, "code": "INVALID_PAYLOAD", "status": 400},
    },
    "session: login, readMe, refresh, logout": {
        "first": 86_400_000,
        "second": 86_400_000,
        "token": None,
        "email": ANA,
        "after": ANA,
        "rotated": True,
        "updated": {"last_name": "Session"},
        "cookies": [],
        "out": OUT,
    },
    "session cookie as bearer token, as a Nuxt server sends it": ANA,
    "token is refreshed by itself before it ends": {"again": True, "email": ANA, "other": True},
    "session is refreshed by itself before it ends": {"email": ANA, "other": True},
    "two tabs that refresh at once both go on": [ANA, ANA],
    "static token is set, used, and removed": {
        "shown": {"token": "**********"},
        "email": "bruno@example.com",
        "inQuery": {"email": "bruno@example.com"},
        "after": OUT,
    },
    "updateMe changes what a user says": ["Ana", "Lima", "fr", "number"],
    "readMe with fields in every form": [["id", "email"], ["email", "role"], True],
    "token of one request": ANA,
    "info for users": {
        "queryLimit": {"default": 100, "max": -1},
        "websocket": {
            "rest": {"authentication": "handshake", "path": "/websocket"},
            "graphql": False,
            "heartbeat": 30,
        },
    },
    "base URL with a slash at its end": "pong",
    "password by mail": [None, None, 3_600_000],
    "every failure is an error of Directus": {
        "password": "401 INVALID_CREDENTIALS",
        "payload": "400 INVALID_PAYLOAD",
        "anonymous": "401 INVALID_CREDENTIALS",
        "token": "403 INVALID_TOKEN",
        "field": "403 FORBIDDEN",
        "value": "400 FAILED_VALIDATION",
        "taken": "400 RECORD_NOT_UNIQUE",
        "route": "404 ROUTE_NOT_FOUND",
        "collection": "404 ROUTE_NOT_FOUND",
        "method": "405 METHOD_NOT_ALLOWED",
        "json": "400 INVALID_PAYLOAD",
        "size": "413 CONTENT_TOO_LARGE",
        "provider": "404 ROUTE_NOT_FOUND",
        "refresh": "400 INVALID_PAYLOAD",
    },
}


@pytest.fixture(scope="module", params=["daphne", "uvicorn"])
def found(request: pytest.FixtureRequest, new_backends: Callable[[], Any]) -> Iterator[Found]:
    """What the SDK says of each case on a server of its own."""
    with ServerProcess(request.param, **vars(new_backends()), env=ENVIRONMENT) as server:
        yield played(PROGRAM, server)


@pytest.mark.parametrize("name", CASES)
def test_sdk_finds_what_it_expects(found: Found, name: str) -> None:
    said = found.get(name, {"error": "the program ended before it"})

    assert "error" not in said, said["error"]
    assert said["result"] == CASES[name]


def test_program_has_no_other_case(found: Found) -> None:
    assert found.keys() == CASES.keys()
