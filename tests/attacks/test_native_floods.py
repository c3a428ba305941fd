"""Floods on the native socket, by a member and by a stranger: others hardly notice, and memory is bounded.

The unit is that of `test_floods.py`: the server's work for one message of the others.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import Any

import pytest

from bench.machine import forget_peak, memory, peak_memory
from bench.wire import frame
from realtime.testing import eventually
from tests.acceptance.clients import client
from tests.acceptance.people import People
from tests.attacks.raw import Line, line_to
from tests.attacks.test_floods import STOPPED_WITHIN_MESSAGES, flood, others_talk
from tests.conftest import Backends
from tests.servers import ServerProcess

#: The flooder's conversations, and the long texts in one of them: enough that reading all of it is work.
CONVERSATIONS = 50
LONG_TEXTS = 25

#: The time that the flood goes on while the others talk, unless it is stopped.
FLOOD_SECONDS = 1.5
#: The bytes by which the process may grow: far fewer than all the requested answers would take.
GROWN_BYTES = 64 * 2**20

pytestmark = [pytest.mark.acceptance, pytest.mark.stack("small"), pytest.mark.timeout(120)]


@pytest.fixture(params=["daphne", "uvicorn"], scope="module")
def flooded(request: pytest.FixtureRequest, new_backends: Callable[[], Backends]) -> Iterator[ServerProcess]:
    """A server with its default limits."""
    with ServerProcess(request.param, **vars(new_backends())) as server:
        yield server


@pytest.fixture(scope="module")
def crowd(flooded: ServerProcess) -> People:
    return People(flooded)


@pytest.fixture(scope="module")
def rich(flooded: ServerProcess, crowd: People) -> int:
    """A conversation full of long texts; Ana has many others."""

    async def make() -> int:
        async with client(f"{flooded.ws_url}/ws/?token={crowd.token('ana')}") as socket:
            for number in range(CONVERSATIONS):
                await socket.send(type="conversation.create", participants=[], title="one more", ref=number)
            for number in range(LONG_TEXTS):
                await socket.send(
                    type="send", conversation_id=123, message="\U0001f600" * 8_000, ref=f"t{number}"
                )
            await socket.is_answered(CONVERSATIONS - 1)
            await socket.until(lambda: [f for f in socket.received if f.get("ref") == f"t{LONG_TEXTS - 1}"])
            assert not [each for each in socket.received if each["type"] == "error"]
        return 123

    return asyncio.run(make())


@contextmanager
def memory_is_bounded(server: ServerProcess) -> Iterator[None]:
    """At no moment of the block does the process hold much more memory than before."""
    before = memory(server.pid).resident
    forget_peak(server.pid)
    yield
    assert peak_memory(server.pid) - before < GROWN_BYTES


def commands(*asked: dict[str, Any]) -> bytes:
    return b"".join(frame(json.dumps(each).encode()) for each in asked)


#: A thousand commands each, sent at once: five times as many as `LIMIT_FRAMES` lets through at once.
FLOODS: dict[str, list[dict[str, Any]]] = {
    "subscriptions": [
        {"type": "subscribe", "topic": "conversation.123"},
        {"type": "unsubscribe", "topic": "conversation.123"},
    ],
    "mine": [{"type": "subscribe", "topic": "mine", "id": number, "snapshot": 200} for number in range(200)],
    "pages": [
        {"type": "messages", "conversation_id": 123, "limit": 200},
        {"type": "conversations", "limit": 200},
        {"type": "subscribe", "topic": "conversation.123", "id": 1, "snapshot": 200},
        {"type": "unsubscribe", "id": 1},
    ],
    "typing": [{"type": "typing", "conversation_id": 123, "is_typing": on} for on in (True, False)],
}


@pytest.mark.parametrize("kind", FLOODS)
async def test_flood_of_commands_is_not_noticed(flooded: ServerProcess, crowd: People, rich: int, kind: str):
    """The granted commands are done a little at a time, whatever they cost."""
    token = await asyncio.to_thread(crowd.token, "ana")
    async with others_talk(flooded, crowd), line_to(flooded.port) as line:
        assert await line.shake_hands(f"/ws/?token={token}", host=f"127.0.0.1:{flooded.port}") == 101
        with memory_is_bounded(flooded):
            line.write(commands(*FLOODS[kind] * (1_000 // len(FLOODS[kind]))))
            read = asyncio.create_task(line.close_code())
            await asyncio.wait([read], timeout=FLOOD_SECONDS)
            read.cancel()


async def test_pages_that_nobody_reads_are_not_kept(flooded: ServerProcess, crowd: People, rich: int):
    """Each page may take 128 KiB; the socket is given up, and so are the pages it asked for."""
    token = await asyncio.to_thread(crowd.token, "ana")
    asked = commands({"type": "messages", "conversation_id": 123, "limit": 200}) * 150
    async with others_talk(flooded, crowd), AsyncExitStack() as lines:
        with memory_is_bounded(flooded):
            for _ in range(5):
                line = await lines.enter_async_context(line_to(flooded.port))
                assert await line.shake_hands(f"/ws/?token={token}", host=f"127.0.0.1:{flooded.port}") == 101
                line.pause()
                line.write(asked)
            await eventually(lambda: flooded.log().count("its peer does not read") >= 5, within=30)


# ── strangers ────────────────────────────────────────────────────────────────────────────────────────────


async def test_socket_that_is_not_signed_in_is_soon_closed(flooded: ServerProcess, crowd: People):
    async with others_talk(flooded, crowd) as a_message, line_to(flooded.port) as line:
        assert await line.shake_hands("/ws/", host=f"127.0.0.1:{flooded.port}") == 101
        code, seconds = await flood(flooded, line, frame(b"x" * 131_000), per_second=100)

    assert code in (4400, 1006)  # twenty mistakes
    assert seconds < STOPPED_WITHIN_MESSAGES * a_message


async def test_sockets_that_say_nothing_keep_nobody_out(new_backends: Callable[[], Backends]):
    """The connection that waited longest, at the address with the most, makes room; a member can sign in."""
    limits = {"LIMIT_PENDING_SOCKETS": "10", "LIMIT_HANDSHAKES": "off"}
    with ServerProcess("uvicorn", **vars(new_backends()), env=limits) as server:
        host, token = f"127.0.0.1:{server.port}", People(server).token("ana")
        async with AsyncExitStack() as lines:

            async def come(source: str) -> Line:
                line = await lines.enter_async_context(line_to(server.port, source=source))
                assert await line.shake_hands("/ws/", host=host) == 101
                return line

            strangers = [await come("127.0.0.9") for _ in range(10)]
            member = await come("127.0.0.10")
            strangers += [await come("127.0.0.9") for _ in range(30)]
            member.write(commands({"type": "auth", "token": token}))
            assert b'"hello"' in await member.next_payload()
            codes = await asyncio.gather(*(line.close_code() for line in strangers[:31]))
    assert codes == [4503] * 31
