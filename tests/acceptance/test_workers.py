"""`scripts/serve` with several workers is one server while they serve, die, are replaced and are stopped."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
import redis
from websockets.exceptions import ConnectionClosed, InvalidMessage

from realtime.testing import eventually
from tests.acceptance.clients import Client, client
from tests.acceptance.people import People
from tests.conftest import Backends
from tests.processes import ServerError, accepts, wait_until
from tests.servers import Kind, Workers

pytestmark = [pytest.mark.acceptance, pytest.mark.stack("full"), pytest.mark.timeout(300)]

#: The number of sockets: so many that each worker has some of them by more than chance.
SOCKETS = 40
#: A bell takes milliseconds; the head check, which finds a lost one, takes up to 5 s.
BELL_SECONDS = 3.0
#: The time that a worker has to start, beside the rest of a test run.
UP_SECONDS = 100.0
#: The time from SIGTERM to the end of the process.
STOP_SECONDS = 15.0
NO_LIMITS = dict.fromkeys(
    ("LIMIT_SOCKETS_PER_USER", "LIMIT_SENDS", "LIMIT_FRAMES", "LIMIT_HANDSHAKES"), "off"
)


@pytest.fixture(params=["daphne", "uvicorn"])
def kind(request: pytest.FixtureRequest) -> Kind:
    """Each of the two servers in turn."""
    chosen: Kind = request.param
    return chosen


@pytest.fixture
def server(kind: Kind, new_backends: Callable[[], Backends]) -> Iterator[Workers]:
    """A server whose two workers are up."""
    with Workers(kind, workers=2, **vars(new_backends()), env=NO_LIMITS) as running:
        until_accepting(running, 2)
        yield running


@pytest.fixture
def people(server: Workers) -> People:
    return People(server)


def until_accepting(server: Workers, workers: int) -> None:
    """Wait until so many workers have come up, counted over all that were ever started."""
    wait_until(
        lambda: server.log().count("accepts connections") >= workers,
        seconds=UP_SECONDS,
        what=f"{workers} workers accept connections",
    )


def chat_url(server: Workers, people: People, username: str, query: str = "v=1") -> str:
    return f"{server.ws_url}/ws/chat/123/?{query}&token={people.token(username)}"


@asynccontextmanager
async def crowd(server: Workers, people: People) -> AsyncIterator[list[Client]]:
    """Many sockets of Bruno's, spread over all workers, each let in."""
    async with AsyncExitStack() as stack:
        url = chat_url(server, people, "bruno")
        sockets = [await stack.enter_async_context(client(url)) for _ in range(SOCKETS)]
        await asyncio.gather(*[one.until_frames(1) for one in sockets])
        yield sockets


async def test_message_said_on_one_worker_reaches_the_sockets_of_all(server: Workers, people: People) -> None:
    async with crowd(server, people) as sockets:
        assert sum(server.sockets_of(worker) for worker in server.workers()) == SOCKETS
        assert all(server.sockets_of(worker) > SOCKETS // 8 for worker in server.workers())

        for number in range(5):
            await sockets[number].send(message=f"Bonjour {number}")
            await asyncio.gather(*[one.hears(f"Bonjour {number}", seconds=BELL_SECONDS) for one in sockets])

        first = sockets[0].seqs[0]
        assert all(one.seqs == list(range(first, first + 5)) for one in sockets)


async def test_each_worker_has_one_subscription_to_redis_however_much_it_hears(
    server: Workers, people: People
) -> None:
    groups = [people.new_conversation("bruno", "ana") for _ in range(5)]
    async with AsyncExitStack() as stack:
        for path in [f"chat/{group}" for group in groups for _ in range(4)] + ["notifications"] * 4:
            url = f"{server.ws_url}/ws/{path}/?v=1&token={people.token('bruno')}"
            await (await stack.enter_async_context(client(url))).is_there()
        assert all(server.sockets_of(worker) for worker in server.workers())

        with redis.Redis.from_url(server.redis_url) as asking:
            wait_until(
                lambda: len(asking.client_list(_type="pubsub")) == 2,
                seconds=15,
                what="both workers listen once",
            )


async def test_worker_that_is_killed_is_replaced_and_nothing_is_lost(server: Workers, people: People) -> None:
    before = server.workers()
    async with crowd(server, people) as sockets:
        os.kill(before[0], signal.SIGKILL)
        await asyncio.to_thread(until_accepting, server, 3)
        assert len(server.workers()) == 2
        assert before[1] in server.workers()

        survive = server.sockets_of(before[1])
        # The clients learn of the death in their own time.
        await eventually(lambda: sum(one.closed_with is None for one in sockets) == survive, within=15)
        gone = [one for one in sockets if one.closed_with is not None]
        here = [one for one in sockets if one.closed_with is None]
        assert {one.closed_with for one in gone} == {1006}
        assert gone
        assert here
        await here[0].send(message="while you were away", ref=1)
        await here[0].hears("while you were away")
        assert f"Worker {before[0]} ended with -9" in server.log()

        async with client(chat_url(server, people, "bruno", "since=0")) as back:
            await back.hears("while you were away")


async def test_sigterm_tells_every_socket_and_ends_with_0(server: Workers, people: People) -> None:
    async with crowd(server, people) as sockets:
        asked = time.monotonic()
        status = await asyncio.to_thread(server.stop)

        assert status == 0, server.log()
        assert time.monotonic() - asked < STOP_SECONDS
        for one in sockets:
            await one.until_closed()
        assert {one.closed_with for one in sockets} == {1012}
        hints = {one.received[-1]["retry_after_ms"] for one in sockets}
        assert len(hints) > SOCKETS // 2
        assert all(200 <= hint < 1700 for hint in hints)
    assert not accepts(server.port)


def test_request_that_was_on_its_way_when_the_server_stopped_is_answered(server: Workers) -> None:
    # The server waits for half a second. If it or the test stands still for as long, a missing answer proves
    # nothing.
    for times in itertools.count(2):
        answer, is_telling = answer_while_stopping(server)
        if answer or is_telling or times > 5:
            break
        server.stop()
        server.start()
        until_accepting(server, 2 * times)

    assert answer.startswith(b"HTTP/1.1 200")


def answer_while_stopping(server: Workers) -> tuple[bytes, bool]:
    """The answer to a request that is under way when the server stops, and whether a missing answer proves a
    fault.

    It does where the server ends the connection sooner than it promises.
    """
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        wait_until(
            lambda: any(server.sockets_of(worker) for worker in server.workers()),
            seconds=5,
            what="the connection is accepted",
        )
        asked = time.monotonic()
        os.kill(server.pid, signal.SIGTERM)
        time.sleep(0.2)  # longer than the server takes to notice the signal, and shorter than it waits
        answer = b""
        with contextlib.suppress(ConnectionError):
            connection.sendall(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
            answer = connection.recv(1000)
        return answer, time.monotonic() - asked < 0.4


@asynccontextmanager
async def asked_in_time() -> AsyncIterator[None]:
    """Let a connection be cut only late: a stopping server hears an accepted connection for half a second."""
    began = time.monotonic()
    try:
        yield
    except (InvalidMessage, ConnectionClosed):
        assert time.monotonic() - began > 0.4


async def test_replacing_the_workers_loses_no_message_and_refuses_nobody(
    server: Workers, people: People
) -> None:
    before = set(server.workers())
    replaced = asyncio.Event()
    acked: list[str] = []
    ended_with: set[int] = set()

    async def talk() -> None:
        """Ana sends one message after the other, and connects again whenever she is sent away."""
        numbers = itertools.count()
        url = chat_url(server, people, "ana")
        while not replaced.is_set():
            async with asked_in_time(), client(url) as ana:
                try:
                    while not replaced.is_set():
                        number = next(numbers)
                        await ana.send(message=f"message {number}", ref=number)
                        await ana.is_answered(number)
                        acked.append(f"message {number}")
                except (AssertionError, ConnectionClosed):
                    await ana.until_closed()
                    ended_with.add(ana.closed_with or 0)

    async def knock() -> int:
        """Strangers come and go; each is let in, or told to come back."""
        url = chat_url(server, people, "ana")
        for number in itertools.count(1):
            async with asked_in_time(), client(url) as stranger:
                await stranger.until_frames(1)  # subscribed, or restarting
            if replaced.is_set():
                return number
        raise AssertionError

    def wait_for_new_workers() -> None:
        server.replace_workers()
        wait_until(
            lambda: len(server.workers()) == 2 and not before & set(server.workers()),
            seconds=UP_SECONDS,
            what="both workers are replaced",
        )
        replaced.set()

    async with client(chat_url(server, people, "bruno")) as bruno:
        await bruno.until_frames(1)
        waiting = asyncio.create_task(asyncio.to_thread(wait_for_new_workers))
        talking, *knocks = await asyncio.gather(talk(), knock(), knock(), knock())
        await waiting
        assert talking is None
        await bruno.until_closed()

    assert bruno.closed_with == 1012
    assert ended_with <= {1012}
    assert min(knocks) > 10
    async with client(chat_url(server, people, "bruno", "since=0")) as back:
        await back.hears(acked[-1])
        said = [frame["content"] for frame in back.messages]
        assert [content for content in acked if content not in said] == []
        assert back.seqs == list(range(back.seqs[0], back.seqs[0] + len(back.seqs)))


def test_worker_that_cannot_start_stops_the_start(
    kind: Kind, tmp_path: Path, new_backends: Callable[[], Backends]
) -> None:
    unsafe = "from config.settings import *\n\nCHANNEL_LAYERS['default']['BACKEND'] = ''\n"
    (tmp_path / "unsafe.py").write_text(unsafe)
    env = {"DJANGO_SETTINGS_MODULE": "unsafe", "PYTHONPATH": str(tmp_path)}

    with pytest.raises(ServerError, match="ended with 1 while starting") as refused:
        Workers(kind, workers=2, **vars(new_backends()), env=env).start()

    assert str(refused.value).count("Relais cannot start.") == 1
    assert "CHANNEL_LAYERS needs a default layer" in str(refused.value)


def test_release_that_cannot_start_leaves_the_old_one_serving(
    tmp_path: Path, new_backends: Callable[[], Backends]
) -> None:
    (tmp_path / "env").write_text("LOG_LEVEL=INFO\n")
    env = {"ENV_FILE": str(tmp_path / "env")}
    with Workers("uvicorn", workers=2, **vars(new_backends()), env=env) as server:
        until_accepting(server, 2)
        before = set(server.workers())
        (tmp_path / "env").write_text("LOG_LEVEL=LOUD\n")
        server.replace_workers()
        wait_until(lambda: "did not come up" in server.log(), seconds=UP_SECONDS, what="it says so")

        assert "LOG_LEVEL is 'LOUD'" in server.log()
        wait_until(lambda: set(server.workers()) == before, seconds=20, what="the old workers are alone")
        wait_until(server.answers, seconds=20, what="the old workers answer")


def test_workers_end_with_their_supervisor(kind: Kind, new_backends: Callable[[], Backends]) -> None:
    with Workers(kind, workers=2, **vars(new_backends())) as server:
        until_accepting(server, 2)
        server.kill()

        wait_until(lambda: not accepts(server.port), seconds=STOP_SECONDS, what="nobody serves any more")
