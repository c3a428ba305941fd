"""Two processes on PostgreSQL and Redis are one server, even while Redis is away or a process dies."""

from __future__ import annotations

import asyncio
import itertools
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import pytest

from tests.acceptance.clients import Client, client
from tests.acceptance.people import People
from tests.servers import ROOT, ServerProcess, product_environment
from tests.services import RedisServer

pytestmark = [pytest.mark.acceptance, pytest.mark.stack("full"), pytest.mark.timeout(120)]

#: The head check finds a lost bell within 5 s; the rest allows for a busy machine.
CAUGHT_UP_SECONDS = 9.0
#: Both processes find Redis again: they look once a second.
RECONNECTED_SECONDS = 30.0


@dataclass
class Fleet:
    """Two server processes that share a database and a Redis."""

    one: ServerProcess
    other: ServerProcess
    redis: RedisServer
    database_url: str
    people: People

    def path(self, server: ServerProcess, username: str, query: str = "") -> str:
        return f"{server.ws_url}/ws/chat/123/?token={self.people.token(username)}{query}"


@pytest.fixture(scope="module", params=["daphne", "uvicorn"])
def fleet(request: pytest.FixtureRequest, new_database: Callable[[], str]) -> Iterator[Fleet]:
    database_url = new_database()
    with (
        RedisServer() as redis,
        ServerProcess(request.param, database_url=database_url, redis_url=redis.url) as one,
        ServerProcess(request.param, database_url=database_url, redis_url=redis.url) as other,
    ):
        yield Fleet(one, other, redis, database_url, People(one))


async def test_message_sent_to_one_reaches_sockets_of_the_other(fleet: Fleet) -> None:
    async with client(fleet.path(fleet.one, "ana")) as ana, client(fleet.path(fleet.other, "bruno")) as bruno:
        await ana.send(message="Bonjour")
        heard = await bruno.hears("Bonjour", seconds=3)
        await bruno.send(message="Salut")

        assert await ana.hears("Bonjour") == heard
        assert (await ana.hears("Salut", seconds=3))["seq"] == heard["seq"] + 1


async def test_typing_passes_from_one_to_the_other(fleet: Fleet) -> None:
    typing = "/ws/typing/123/?token="
    async with (
        client(fleet.one.ws_url + typing + fleet.people.token("ana")) as ana,
        client(fleet.other.ws_url + typing + fleet.people.token("bruno")) as bruno,
    ):
        await bruno.is_there()  # typing is not kept: a client that comes later has missed it
        await ana.send(is_typing=True)
        await bruno.until(lambda: [f for f in bruno.received if f.get("is_typing")], seconds=5)

        assert ana.received == []


async def test_typing_that_is_not_shared_any_more_ends_on_the_other_process_within_a_second(
    fleet: Fleet,
) -> None:
    typing = "/ws/typing/123/?token="
    async with (
        client(fleet.other.ws_url + typing + fleet.people.token("ana")) as ana,
        client(fleet.other.ws_url + typing + fleet.people.token("bruno")) as bruno,
    ):
        for shares in (False, True):
            await asyncio.to_thread(fleet.people.share_typing, "ana", shares=shares)
            await asyncio.sleep(1)
            await ana.send(is_typing=True)
            if shares:
                await bruno.until(lambda: [f for f in bruno.received if f.get("is_typing")])
            else:
                await asyncio.sleep(0.5)

            assert len([f for f in bruno.received if f.get("is_typing")]) == shares


async def test_new_name_reaches_the_sockets_of_every_process(fleet: Fleet) -> None:
    """A third process saves the name, as `manage.py shell` does."""
    async with (
        client(fleet.path(fleet.one, "bruno")) as one,
        client(fleet.path(fleet.other, "bruno")) as other,
        client(fleet.path(fleet.other, "ana", "&v=1")) as ana,
    ):
        for number, name in enumerate(("brunello", "bruno")):
            await asyncio.to_thread(_rename, fleet, user_id=fleet.people.id("bruno"), name=name)
            told = partial(_was_told, ana, name)
            await ana.until(told, seconds=CAUGHT_UP_SECONDS)
            await asyncio.sleep(1)  # the promise for open sockets
            for place, socket in (("one", one), ("other", other)):
                await socket.send(message=f"{number} {place}")
                assert (await ana.hears(f"{number} {place}"))["sender_username"] == name


async def test_user_is_forgotten_while_both_processes_serve(fleet: Fleet) -> None:
    person = await asyncio.to_thread(fleet.people.newcomer, "canary")
    group = await asyncio.to_thread(fleet.people.new_conversation, "ana", "canary")
    token = fleet.people.token("canary")
    place = f"/ws/chat/{group}/?v=1&token="
    async with (
        client(fleet.one.ws_url + place + token) as one,
        client(fleet.other.ws_url + place + token) as other,
        client(fleet.other.ws_url + place + fleet.people.token("ana")) as ana,
    ):
        await one.send(message="what was said")
        await ana.hears("what was said")
        forgetting = asyncio.create_task(asyncio.to_thread(_forget, fleet, "canary"))
        for socket in (one, other):
            with pytest.raises(AssertionError, match="closed with 4403"):
                await socket.until(lambda: False, seconds=30)
        await ana.send(message="in between")
        await ana.hears("in between")
        report = await forgetting

        assert "1  groups were left" in report
        told = {f["type"]: f for f in ana.received if f.get("user_id") == person}
        assert {"member_renamed", "member_removed"} <= told.keys()
        assert told["member_removed"]["username"] == f"deleted user {person}"
    async with client(fleet.one.ws_url + place + fleet.people.token("ana") + "&since=0") as back:
        said = await back.hears("what was said")
        await back.hears("in between")

        assert said["sender_username"] == f"deleted user {person}"
        assert "canary" not in str(back.received)


def _forget(fleet: Fleet, name: str) -> str:
    command = [sys.executable, "manage.py", "forget_user", name, "--messages=anonymise", "--yes"]
    environment = product_environment(database_url=fleet.database_url, redis_url=fleet.redis.url)
    done = subprocess.run(
        command, cwd=ROOT, env=environment, check=True, timeout=100, capture_output=True, text=True
    )
    return done.stdout


def _was_told(socket: Client, name: str) -> bool:
    return any(frame.get("username") == name for frame in socket.received)


def _rename(fleet: Fleet, *, user_id: int, name: str) -> None:
    code = (
        "from accounts.models import User; "
        f"user = User.objects.get(pk={user_id}); user.username = {name!r}; user.save()"
    )
    environment = product_environment(database_url=fleet.database_url, redis_url=fleet.redis.url)
    command = [sys.executable, "manage.py", "shell", "--verbosity", "0", "-c", code]
    subprocess.run(command, cwd=ROOT, env=environment, check=True, timeout=60)


async def test_nothing_is_lost_and_no_socket_closes_while_redis_restarts(fleet: Fleet) -> None:
    async with client(fleet.path(fleet.one, "ana")) as ana, client(fleet.path(fleet.other, "bruno")) as bruno:
        await ana.send(message="before")
        await bruno.hears("before")

        fleet.redis.kill()
        for number in range(5):
            await ana.send(message=f"without Redis {number}", ref=number)
        await ana.until(lambda: len([f for f in ana.received if f["type"] == "ack"]) == 5)
        await bruno.hears("without Redis 4", seconds=CAUGHT_UP_SECONDS)
        fleet.redis.start()
        await ana.send(message="after")
        await bruno.hears("after", seconds=CAUGHT_UP_SECONDS)

        assert (ana.closed_with, bruno.closed_with) == (None, None)
        assert bruno.seqs == ana.seqs == list(range(ana.seqs[0], ana.seqs[0] + 7))
        await _bells_ring(ana, bruno)


async def _bells_ring(ana: Client, bruno: Client) -> None:
    """Wait until the bells ring again: three messages in a row are heard faster than head checks find them.

    Head checks alone find one, and the next one a turn of 5 s later.
    """
    heard = 0
    async with asyncio.timeout(RECONNECTED_SECONDS):
        for number in itertools.count():
            await ana.send(message=f"again {number}")
            try:
                await bruno.hears(f"again {number}", seconds=2)
            except TimeoutError:
                heard = 0
            else:
                heard += 1
            if heard == 3:
                return


async def test_message_of_a_process_killed_before_its_bell_arrives(fleet: Fleet) -> None:
    async with (
        client(fleet.path(fleet.one, "bruno")) as bruno,
        client(fleet.path(fleet.other, "bruno")) as also,
    ):
        killed = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "tests.acceptance.killed_before_the_bell"],
            cwd=ROOT,
            env=product_environment(database_url=fleet.database_url, redis_url=fleet.redis.url),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert killed.returncode == -9, killed.stderr

        heard = await bruno.hears("last words", seconds=CAUGHT_UP_SECONDS)
        assert await also.hears("last words", seconds=CAUGHT_UP_SECONDS) == heard


async def test_revoked_session_ends_on_the_other_process(fleet: Fleet) -> None:
    async with (
        client(fleet.path(fleet.other, "ana")) as ana,
        client(fleet.path(fleet.other, "bruno")) as bruno,
    ):
        fleet.people.sign_out("ana")
        with pytest.raises(AssertionError, match="closed with 4401"):
            await ana.until(lambda: False, seconds=5)

        assert ana.closed_with == 4401
        assert ana.received[-1]["code"] == "session_revoked"
        await bruno.send(message="still here")
        await bruno.hears("still here")
