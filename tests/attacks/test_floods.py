"""A client that floods is stopped within about a second; the others hardly notice, and soon all is as before.

Both are measured by the server's work, in multiples of its work for one message when nobody floods. Wall time
would show how busy the machine and its disk are, and seconds of a core how slow they are. A server that
serves the flood fails.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from bench.machine import cpu_seconds
from bench.wire import PING, PONG, frame
from realtime.testing import eventually
from tests.acceptance.clients import client
from tests.acceptance.people import People
from tests.attacks.raw import Line, line_to
from tests.conftest import Backends
from tests.servers import Kind, ServerProcess

#: The work that a flood may cost until it is stopped, in messages: about a second of a core.
STOPPED_WITHIN_MESSAGES = 200
#: The work that a message of the others may cost while somebody floods and afterwards, in messages before.
NOTICED_AFTER_MESSAGES = 100
#: There is a bound by the clock as well: a server that stands still does no work at all.
STILL_SECONDS = 10.0

pytestmark = [pytest.mark.acceptance, pytest.mark.stack("small"), pytest.mark.timeout(120)]


@pytest.fixture(params=["daphne", "uvicorn"], scope="module")
def flooded(request: pytest.FixtureRequest, new_backends: Callable[[], Backends]) -> Iterator[ServerProcess]:
    """A server with its default limits."""
    with ServerProcess(request.param, **vars(new_backends())) as server:
        yield server


@pytest.fixture(scope="module")
def crowd(flooded: ServerProcess) -> People:
    return People(flooded)


@asynccontextmanager
async def others_talk(server: ServerProcess, people: People) -> AsyncIterator[float]:
    """Bruno and Reader talk during the block; yields the server's work for one of their messages before the
    flood."""
    number = await asyncio.to_thread(people.new_conversation, "bruno", "reader")
    url = f"{server.ws_url}/ws/chat/{number}/?v=1&token="
    tokens = [await asyncio.to_thread(people.token, name) for name in ("bruno", "reader")]
    took: list[float] = []
    waited: list[float] = []
    async with client(url + tokens[0]) as speaker, client(url + tokens[1]) as listener:
        await speaker.is_there()
        await listener.is_there()

        async def talk() -> None:
            for count in range(10**6):
                started, worked = time.monotonic(), cpu_seconds(server.pid)
                await speaker.send(message=f"words {count}")
                await listener.hears(f"words {count}")
                waited.append(time.monotonic() - started)
                took.append(cpu_seconds(server.pid) - worked)
                await asyncio.sleep(0.12)  # within LIMIT_SENDS

        talking = asyncio.create_task(talk())
        try:
            await eventually(lambda: len(took) >= 5 or talking.done(), within=20)
            a_message = statistics.median(took)
            yield a_message
            talked_on = len(took) + 3
            await eventually(lambda: len(took) >= talked_on or talking.done(), within=20)
        finally:
            talking.cancel()
            results = await asyncio.gather(talking, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError), results
    assert max(took) < NOTICED_AFTER_MESSAGES * a_message, took
    assert max(waited) < STILL_SECONDS, waited


async def flood(server: ServerProcess, line: Line, one: bytes, *, per_second: int) -> tuple[int, float]:
    """Send a frame at a rate until the server closes; the close code, and the server's work."""
    data = one * (per_second // 100)
    started, worked = time.monotonic(), cpu_seconds(server.pid)
    closed = asyncio.create_task(line.close_code())
    while not closed.done() and time.monotonic() - started < 20:
        line.write(data)
        await asyncio.wait([closed], timeout=0.01)
    assert closed.done(), "nobody stopped it"
    return await closed, cpu_seconds(server.pid) - worked


@pytest.mark.parametrize(
    ("path", "payload", "per_second"),
    [
        ("/ws/chat/123/", b'{"message":"flood"}', 5_000),
        ("/ws/chat/123/", b"nonsense", 5_000),
        ("/ws/notifications/", b'{"type":"ping"}', 5_000),
        ("/ws/typing/123/", b'{"is_typing":true}', 10_000),
    ],
)
async def test_flood_of_frames_is_stopped(flooded: ServerProcess, crowd: People, path, payload, per_second):
    token = await asyncio.to_thread(crowd.token, "ana")
    async with others_talk(flooded, crowd) as a_message, line_to(flooded.port) as line:
        status = await line.shake_hands(f"{path}?token={token}", host=f"127.0.0.1:{flooded.port}")
        assert status == 101

        code, seconds = await flood(flooded, line, frame(payload), per_second=per_second)

    # Nonsense reaches the limit of mistakes before that of frames. 1006: a reset overtook the close frame.
    assert code in ((4400, 1006) if payload == b"nonsense" else (4429, 1006))
    assert seconds < STOPPED_WITHIN_MESSAGES * a_message


@pytest.mark.parametrize("payload", [b"", b"p" * 125], ids=["empty", "long"])
@pytest.mark.parametrize("first", [PING, PONG], ids=["ping", "pong"])
async def test_flood_of_pings_is_stopped(flooded: ServerProcess, crowd: People, first, payload):
    """The application never hears of pings."""
    token = await asyncio.to_thread(crowd.token, "ana")
    async with others_talk(flooded, crowd) as a_message, line_to(flooded.port) as line:
        status = await line.shake_hands(f"/ws/chat/123/?token={token}", host=f"127.0.0.1:{flooded.port}")
        assert status == 101

        code, seconds = await flood(flooded, line, frame(payload, first), per_second=10_000)

    assert code in (4429, 1006)
    assert seconds < STOPPED_WITHIN_MESSAGES * a_message
    assert '"reason": "flood"' in flooded.log()


async def test_flood_of_handshakes_stops_at_the_address(flooded: ServerProcess, crowd: People):
    """Others come from another address, and are let in."""
    host = f"127.0.0.1:{flooded.port}"
    token = await asyncio.to_thread(crowd.token, "ana")

    async def knock() -> int:
        async with line_to(flooded.port, source="127.0.0.9") as line:
            return await line.shake_hands("/ws/notifications/", host=host)

    async with others_talk(flooded, crowd):
        statuses: list[int] = []
        started = time.monotonic()
        while len(statuses) < 200 or statuses[-1] == 101:
            statuses += await asyncio.gather(*(knock() for _ in range(25)))
        seconds = time.monotonic() - started
        async with line_to(flooded.port, source="127.0.0.10") as line:
            assert await line.shake_hands(f"/ws/chat/123/?token={token}", host=host) == 101

    assert set(statuses) == {101, 429}
    # 200 at once, and 50 in each second that this took.
    assert statuses.count(101) <= 200 + 50 * (seconds + 1)


async def test_handshakes_that_never_finish_hurt_nobody(flooded: ServerProcess, crowd: People):
    host = f"127.0.0.1:{flooded.port}"
    token = await asyncio.to_thread(crowd.token, "ana")
    async with AsyncExitStack() as open_lines, others_talk(flooded, crowd):
        for _ in range(1_000):
            line = await open_lines.enter_async_context(line_to(flooded.port))
            line.write(b"GET /ws/chat/123/ HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: webs")
        async with line_to(flooded.port) as line:
            assert await line.shake_hands(f"/ws/chat/123/?token={token}", host=host) == 101


async def test_sockets_of_a_process_are_counted(new_backends: Callable[[], Backends]):
    """A socket too many is refused before accept."""
    kinds: tuple[Kind, ...] = ("daphne", "uvicorn")
    for kind in kinds:
        with ServerProcess(kind, **vars(new_backends()), env={"LIMIT_SOCKETS": "3"}) as server:
            host, token = f"127.0.0.1:{server.port}", People(server).token("ana")
            path = f"/ws/chat/123/?token={token}"
            async with AsyncExitStack() as lines:
                opened = [await lines.enter_async_context(line_to(server.port)) for _ in range(4)]
                assert [await line.shake_hands(path, host=host) for line in opened] == [101] * 3 + [503]
