"""The unmodified client of Supabase against a running server: `client.mjs` has its cases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.node_program import Found, played
from tests.servers import ServerProcess, manage

pytestmark = pytest.mark.acceptance

PROGRAM = Path(__file__).with_name("client.mjs")

SYSTEM = {
    "extension": "postgres_changes",
    "status": "ok",
    "message": "Subscribed to PostgreSQL",
    "channel": "j",
}

#: What each case finds.
CASES: dict[str, Any] = {
    "channel says SUBSCRIBED": {"state": "joined", "statuses": ["SUBSCRIBED"]},
    "broadcast reaches another client and not its sender": {
        "heard": {"type": "broadcast", "event": "vu", "payload": {"n": 7}},
        "back": [],
        "other": ["SUBSCRIBED"],
    },
    "broadcast with self comes back, and with ack is answered": {
        "answers": ["ok", "ok", "ok"],
        "back": [{"n": 1}, {"n": 2}, {"n": 3}],
    },
    "bytes travel as bytes": {"bytes": [1, 2, 255]},
    "names of channels hold anything": {"text": "é☃"},
    "channel is left, and joined again": {"left": "ok", "closed": "CLOSED", "heard": [{"n": 1}]},
    "heartbeats are answered": {"timeouts": []},
    "row changes are told with old and new": {
        "kinds": ["INSERT", "UPDATE", "DELETE"],
        "made": ["Zoé", "🔥", {}],
        "changed": ["🙂", True],
        "gone": [{}, True],
        "errors": [None, None, None],
        "table": "humeur",
        "late": True,
    },
    "write right after SUBSCRIBED is told": [1, 1, 1, 1, 1],
    "filters and several subscriptions on one channel": {"some": ["Max"], "none": []},
    "system message says that changes are live": SYSTEM,
    "unknown table is told, and broadcasts go on": {"status": "error", "extension": "postgres_changes"},
    "private channel refuses who has no right": (
        "Unauthorized: You do not have permissions to read from this Channel topic: probe-private-1"
    ),
    "private channel lets its user in": ["SUBSCRIBED"],
    "token of another user closes a private channel": ["SUBSCRIBED", "CLOSED"],
    "orders are told to users and not to the anonymous": {"total": 12.5, "unseen": []},
    "presence is synced, and tells who comes and goes": {
        "answer": "ok",
        "said": [["join", "zoe", "Zoé"], ["leave", "zoe", "Zoé"]],
        "there": ["zoe"],
        "left": {},
        "synced": True,
    },
    "presence of a client that comes late is complete": [1],
    "wrong key is refused for ever, and said": {"statuses": ["CHANNEL_ERROR"]},
    "client of version 1.0.0 hears and speaks": {"heard": [{"n": 1}], "back": [{"n": 2}], "nom": "old"},
}


@pytest.fixture(scope="module", params=["daphne", "uvicorn"])
def found(request: pytest.FixtureRequest, new_backends: Callable[[], Any]) -> Iterator[Found]:
    """What the client says of each case on a server of its own."""
    backends = vars(new_backends())
    with ServerProcess(request.param, **backends) as server:
        tokens = [manage("token", name, **backends).strip() for name in ("ana", "bruno")]
        key = manage("anon_key", **backends).strip()
        yield played(PROGRAM, server, key, *tokens)


@pytest.mark.parametrize("name", CASES)
def test_client_finds_what_it_expects(found: Found, name: str) -> None:
    said = found.get(name, {"error": "the program ended before it"})

    assert "error" not in said, said["error"]
    assert said["result"] == CASES[name]


def test_program_has_no_other_case(found: Found) -> None:
    assert found.keys() == CASES.keys()
