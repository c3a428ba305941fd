"""Nothing of a closed connection waits for the garbage collector, which rarely looks at old objects."""

import json
import urllib.request
from collections.abc import Callable, Iterator

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin

from tests.acceptance.people import People
from tests.conftest import Backends
from tests.processes import wait_until
from tests.realtime.servers.raw import Peer
from tests.servers import ServerProcess

pytestmark = pytest.mark.acceptance

SOCKETS = 20


class CountedServer(ServerProcess):
    """A server that never collects garbage, and reports the objects it has of its connections."""

    def command(self) -> list[str]:
        ours, counted = "config.asgi:application", "tests.acceptance.counted:application"
        return [counted if part == ours else part for part in super().command()]

    def left(self) -> dict[str, int]:
        with urllib.request.urlopen(f"{self.url}/left", timeout=10) as response:
            counts: dict[str, int] = json.load(response)
        return counts


@pytest.fixture(scope="module")
def counted(request: pytest.FixtureRequest, new_backends: Callable[[], Backends]) -> Iterator[CountedServer]:
    limits = dict.fromkeys(("LIMIT_SOCKETS_PER_USER", "LIMIT_SENDS", "LIMIT_FRAMES"), "off")
    with CountedServer(request.param, **vars(new_backends()), env=limits) as server:
        yield server


def close(server: CountedServer, path: str) -> None:
    """Open a socket, send a message, hear the answer, and close the socket."""
    with connect(f"{server.ws_url}{path}") as socket:
        for frame in ASKED if path.startswith("/ws/?") else ():
            socket.send(json.dumps(frame))
        socket.send('{"type":"ping","ref":1}')
        while json.loads(socket.recv(10)).get("type") != "pong":
            pass


def reset(server: CountedServer, path: str) -> None:
    """Be let in, and reset the connection."""
    with Peer(server.port, path) as peer:
        peer.send(b"\x81")  # in the middle of a frame
        peer.reset()


def ask_from_elsewhere(server: CountedServer, path: str) -> None:
    """Be refused before accept."""
    with pytest.raises(InvalidStatus):
        connect(f"{server.ws_url}{path}", origin=Origin("https://elsewhere.example"))


ENDS = {"closed": close, "reset": reset, "refused": ask_from_elsewhere}
#: Daphne's refusals are missing: Twisted keeps the reason in a cycle. It dies young, so collections still
#: find it.
CASES = [("daphne", "closed"), ("daphne", "reset"), *[("uvicorn", end) for end in ENDS]]
PATHS = ("/ws/chat/123/?", "/ws/chat/123/?v=1&since=0&", "/ws/notifications/?", "/ws/typing/123/?", "/ws/?")
#: The native socket is here as well: what apps keep for it refers back to it.
ASKED = (
    {"type": "subscribe", "topic": "conversation.123", "snapshot": 5},
    {"type": "subscribe", "topic": "conversation.123", "id": "again", "since": "0"},
    {"type": "subscribe", "topic": "inbox", "snapshot": 5},
    {"type": "subscribe", "topic": "mine", "snapshot": 5},
    {"type": "typing", "conversation_id": 123, "is_typing": True},
    {"type": "read", "conversation_id": 123, "up_to_seq": 1},
    {"type": "unsubscribe", "id": "inbox"},
)


@pytest.mark.parametrize(("counted", "end"), CASES, indirect=["counted"])
def test_a_connection_that_has_ended_leaves_nothing(counted: CountedServer, end: str) -> None:
    token = People(counted).token("ana")
    with connect(f"{counted.ws_url}/ws/chat/123/?token={token}"):
        # Otherwise this counts nothing: the socket, its subscriptions, its outbox, its protocol.
        wait_until(lambda: len(counted.left()) >= 4, seconds=5, what="an open socket is counted")

    for number in range(SOCKETS):
        ENDS[end](counted, f"{PATHS[number % len(PATHS)]}token={token}")

    wait_until(lambda: counted.left() == {}, seconds=10, what=f"nothing is left but {counted.left()}")
