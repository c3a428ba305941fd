"""The unmodified SDK of Directus against a running server: `client.mjs` has its cases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.node_program import Found, played
from tests.servers import ServerProcess, manage

pytestmark = pytest.mark.acceptance

PROGRAM = Path(__file__).with_name("client.mjs")

#: What each case finds.
CASES: dict[str, Any] = {
    "handshake signs in by its first frame": True,
    "strict signs in by its address": "init",
    "wrong token does not connect": "refused",
    "rows and changes are yielded": {
        "init": "init",
        "events": ["create", "update", "delete"],
        "rows": [[{"nom": "Zoé"}], [{"nom": "Zora"}]],
        "key": "number",
    },
    "one event alone": ["init", "delete"],
    "collection that may not be read ends the loop with an error": "FORBIDDEN",
    "uid is repeated, and a frame may carry anything": [
        ["pong", "p1", None],
        ["server", "d1", "INVALID_PAYLOAD"],
    ],
    "rows are written over the socket": {
        "title": "Été",
        "status": "published",
        "read": [[{"status": "published"}], 1],
        "wrong": "FAILED_VALIDATION",
        "gone": True,
    },
    "pings of the server are answered": True,
    "connection that is lost comes back with its subscriptions once": {
        "events": [["create", "after"]],
        "reopened": True,
    },
}


@pytest.fixture(scope="module", params=["daphne", "uvicorn"])
def found(request: pytest.FixtureRequest, new_backends: Callable[[], Any]) -> Iterator[Found]:
    """What the client says of each case on a server of its own."""
    backends = vars(new_backends())
    env = {"WEBSOCKETS_HEARTBEAT_PERIOD": "1"}
    with ServerProcess(request.param, **backends, env=env) as server:
        tokens = [manage("token", name, **backends).strip() for name in ("ana", "admin")]
        yield played(PROGRAM, server, *tokens)


@pytest.mark.parametrize("name", CASES)
def test_client_finds_what_it_expects(found: Found, name: str) -> None:
    said = found.get(name, {"error": "the program ended before it"})

    assert "error" not in said, said["error"]
    assert said["result"] == CASES[name]


def test_program_has_no_other_case(found: Found) -> None:
    assert found.keys() == CASES.keys()
