"""Tally on real sockets: Daphne, uvicorn with our protocol, and uvicorn without it; one process and two."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator

import msgspec
import psycopg
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from tests import environment
from tests.acceptance.clients import ANSWER_SECONDS
from tests.acceptance.people import People
from tests.conftest import Backends
from tests.foreign.clients import PATH, Client
from tests.foreign.tally import SUBPROTOCOL
from tests.servers import ServerProcess

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(120)]

KINDS = ("daphne", "uvicorn", "fallback")


class TallyServer(ServerProcess):
    """The product's server, with one more route."""

    def command(self) -> list[str]:
        ours = "tests.foreign.application:application"
        return [ours if part == "config.asgi:application" else part for part in super().command()]


@pytest.fixture(scope="module", params=KINDS)
def server(request: pytest.FixtureRequest, new_backends: Callable[[], Backends]) -> Iterator[TallyServer]:
    with TallyServer(request.param, **vars(new_backends())) as running:
        yield running


@pytest.fixture(scope="module")
def people(server: TallyServer) -> People:
    return People(server)


@contextlib.asynccontextmanager
async def tally(server: ServerProcess) -> AsyncIterator[tuple[Client, ClientConnection]]:
    async with connect(
        server.ws_url + PATH, subprotocols=[Subprotocol("other"), Subprotocol(SUBPROTOCOL)]
    ) as connection:
        assert connection.subprotocol == SUBPROTOCOL

        async def receive() -> bytes:
            async with asyncio.timeout(ANSWER_SECONDS):
                frame = await connection.recv()
            assert isinstance(frame, bytes), frame
            return frame

        yield Client(connection.send, receive), connection


@contextlib.contextmanager
def log_held(server: ServerProcess) -> Iterator[None]:
    """Lock the log, so that nobody else can append to it: for a command this is a slow database."""
    if environment.STACK == "full":
        with psycopg.connect(server.database_url) as writer:
            writer.execute("LOCK TABLE realtime_topic IN EXCLUSIVE MODE")
            yield
    else:
        holder = sqlite3.connect(server.database_url.removeprefix("sqlite:///"), isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        yield
        holder.close()


async def test_handshake_without_the_subprotocol_is_refused_before_accept(server: TallyServer) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with connect(server.ws_url + PATH):
            pass

    response = refused.value.response
    assert response.status_code == 426
    assert response.headers["content-type"] == "application/vnd.msgpack"
    assert response.headers["tally-versions"] == SUBPROTOCOL
    assert msgspec.msgpack.decode(response.body)[0] == "upgrade_required"


async def test_text_is_refused_and_a_frame_that_is_too_large_ends_the_socket(server: TallyServer) -> None:
    async with tally(server) as (client, connection):
        await connection.send('["beat",1]')
        assert (await client.hears("no", None))[0] == "invalid_input"
        assert await client.ask("beat", 1, b"x" * 200_000) == []  # more than our own dialects may send
        with contextlib.suppress(ConnectionClosed):  # the server may close before everything is sent
            await client.say("beat", 2, b"x" * 2**21)
        with pytest.raises(ConnectionClosed):
            await client.hears("yes", 2)


async def test_subscriptions_hear_what_they_asked_for_but_for_what_they_put(
    server: TallyServer, people: People
) -> None:
    async with tally(server) as (one, _), tally(server) as (other, _):
        await one.ask("sign", 0, people.token("ana"))
        for client in (one, other):
            token = people.token("bruno" if client is other else "ana")
            await client.ask("open", "a", "till", 0, token)
            await client.ask("open", 2, "till", 100, token)
        await one.ask("put", "a", [7, 100, 300])
        await one.ask("put", 2, [500])

        assert await one.amounts(2) == [100, 300]
        assert await one.amounts("a") == [500]
        assert [await other.amounts("a") for _ in range(2)] == [[7, 100, 300], [500]]
        assert [await other.amounts(2) for _ in range(2)] == [[100, 300], [500]]
        assert await one.nothing_else() == await other.nothing_else() == []


async def test_subscription_resumes_on_another_socket(server: TallyServer, people: People) -> None:
    token = people.token("ana")
    async with tally(server) as (client, _):
        [begin] = await client.ask("open", "a", "resumed", 0, token)
        await client.ask("put", "a", [1, 2])
        await client.ask("put", "a", [3])
    async with tally(server) as (client, _):
        await client.ask("open", "b", "resumed", 2, token, begin)
        assert [await client.amounts("b") for _ in range(2)] == [[2], [3]]


async def test_heartbeat_is_answered_while_a_command_waits_for_the_database(
    server: TallyServer, people: People
) -> None:
    async with tally(server) as (client, _):
        for name in ("a", "b"):
            await client.ask("open", name, "slow", 0, people.token("ana"))
        with log_held(server):
            await client.say("put", "a", [1])
            await client.ask("shut", "b")
            assert await client.nothing_else() == []
        _, name, *_ = await client.hears()  # the command was done, or could not be in time
        assert name == "a"


async def test_renewed_subscription_outlives_its_first_session_and_others_end_with_it(
    server: TallyServer, people: People
) -> None:
    other = People(server)
    async with tally(server) as (client, _):
        for name in ("a", "b"):
            await client.ask("open", name, "renewed", 0, people.token("ana"))
        await client.ask("open", "c", "renewed", 0, people.token("bruno"))
        await client.ask("put", "c", [1])
        await client.ask("renew", "a", other.token("ana"))
        people.sign_out("ana")

        assert await client.hears("over", "b") == ["session_revoked"]
        await client.ask("put", "c", [2])
        assert [await client.amounts("a") for _ in range(2)] == [[1], [2]]
        assert await client.amounts("b") == [1]
        assert await client.nothing_else() == []


async def test_restart_is_announced_in_its_own_words(
    server: TallyServer, new_backends: Callable[[], Backends]
) -> None:
    with TallyServer(server.kind, **vars(new_backends())) as stopping:
        async with tally(stopping) as (client, connection):
            await client.ask("beat", 1)
            os.kill(stopping.pid, signal.SIGTERM)
            if server.kind == "fallback":  # it closes its sockets itself, before it asks us
                async with asyncio.timeout(ANSWER_SECONDS):
                    await connection.wait_closed()
                assert connection.close_code == 1012
                return
            [wait] = await client.hears("later", None)
            assert wait > 0
            async with asyncio.timeout(ANSWER_SECONDS):
                await connection.wait_closed()
            assert connection.close_code == 3503


@pytest.mark.stack("full")
@pytest.mark.parametrize("kind", KINDS)
async def test_amounts_put_in_one_process_are_told_by_the_other(
    kind: str, new_backends: Callable[[], Backends]
) -> None:
    backends = new_backends()
    with (
        TallyServer(kind, **vars(backends)) as here,  # type: ignore[arg-type]  # a parameter is any text
        TallyServer(kind, **vars(backends)) as there,  # type: ignore[arg-type]  # the same
    ):
        people = People(here)
        async with tally(here) as (one, _), tally(there) as (other, _):
            for client in (one, other):
                await client.ask("open", "a", "both", 0, people.token("ana"))
                await client.ask("open", "b", "both", 0, people.token("bruno"))
            await one.ask("put", "a", [1, 2, 3])
            assert await one.amounts("b") == [1, 2, 3]
            assert [await other.amounts(name) for name in ("a", "b")] == [[1, 2, 3]] * 2

            people.sign_out("ana")
            for client in (one, other):
                assert await client.hears("over", "a") == ["session_revoked"]
            await other.ask("put", "b", [4])
            assert await one.amounts("b") == [4]
            assert await one.nothing_else() == await other.nothing_else() == []
