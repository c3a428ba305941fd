"""A member who reads nothing harms nobody: the socket is closed with 4408, logged, counted and freed."""

from __future__ import annotations

import pytest

from tests.acceptance.clients import client
from tests.acceptance.people import People
from tests.acceptance.scraping import scrape, shows, value
from tests.realtime.servers.raw import Peer
from tests.servers import ServerProcess

# Slow tests run on one stack each; what is tested here does not depend on it.
pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.stack("small"),
    pytest.mark.timeout(120),
    pytest.mark.parametrize("crowd_server", ["daphne", "uvicorn", "fallback"], indirect=True, scope="module"),
]

#: 32 KB each, 6 MB in all: more than the outbox and a kernel with its default buffers take.
LARGE, MESSAGES = "😀" * 8000, 200
#: The time until the socket is gone. Without our adapter a write and the close frame may take 10 s each, and
#: 5 s more are added.
GONE_SECONDS = 40.0


async def test_socket_that_does_not_read_is_closed_logged_and_counted(
    crowd_server: ServerProcess, crowd_people: People
) -> None:
    chat = f"/ws/chat/{crowd_people.new_conversation('ana', 'bruno')}/"
    before = scrape(crowd_server)
    assert value(before, "relais_sockets_closed_total", code="4408", reason="too_slow") == 0

    with Peer(crowd_server.port, f"{chat}?token={crowd_people.token('bruno')}", receive_bytes=4096):
        async with client(f"{crowd_server.ws_url}{chat}?token={crowd_people.token('ana')}") as ana:
            for number in range(MESSAGES):
                await ana.send(message=LARGE, ref=number)
                await ana.is_answered(number)
            shown = await shows(
                crowd_server,
                lambda shown: value(shown, "relais_sockets_closed_total", code="4408", reason="too_slow"),
                seconds=GONE_SECONDS,
            )
            await ana.until_messages(MESSAGES)

    assert value(shown, "relais_sockets_closed_total", code="4408", reason="too_slow") == 1
    assert value(shown, "relais_sockets_open", kind="chat") == 1
    [line] = [line for line in crowd_server.log().splitlines() if "its peer does not read" in line]
    assert f'"socket_path": "{chat}"' in line
