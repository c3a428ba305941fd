"""Many at once and long in silence: what kills stock Channels sockets does not kill ours."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from tests.acceptance.clients import client
from tests.acceptance.people import People
from tests.servers import ServerProcess

pytestmark = pytest.mark.acceptance

USERS = ["ana", "bruno"]


async def test_hundred_sockets_connecting_at_once_all_live(
    crowd_server: ServerProcess, crowd_people: People
) -> None:
    async with AsyncExitStack() as stack:
        urls = [
            f"{crowd_server.ws_url}/ws/chat/123/?v=1&token={crowd_people.token(USERS[number % 2])}"
            for number in range(100)
        ]
        crowd = await asyncio.gather(*[stack.enter_async_context(client(url)) for url in urls])
        await asyncio.gather(*[one.until_frames(1) for one in crowd])

        await crowd[0].send(message="everybody?")
        heard = await asyncio.gather(*[one.hears("everybody?") for one in crowd])

        assert {one.closed_with for one in crowd} == {None}
        assert all(frame == heard[0] for frame in heard)


async def test_thirty_two_concurrent_senders_leave_neither_hole_nor_double(
    crowd_server: ServerProcess, crowd_people: People
) -> None:
    conversation_id = crowd_people.new_conversation("ana", "bruno")
    async with AsyncExitStack() as stack:
        urls = [
            f"{crowd_server.ws_url}/ws/chat/{conversation_id}/?v=1&token={crowd_people.token(user)}"
            for user in USERS * 16
        ]
        senders = await asyncio.gather(*[stack.enter_async_context(client(url)) for url in urls])

        async def send(number: int) -> None:
            for turn in range(10):
                await senders[number].send(message=f"{number}.{turn}", ref=turn)

        await asyncio.gather(*[send(number) for number in range(32)])
        await asyncio.gather(*[one.until_messages(320) for one in senders])

        assert all(one.seqs == list(range(1, 321)) for one in senders)
        assert all(one.messages == senders[0].messages for one in senders)
        own = [
            [m["content"] for m in senders[0].messages if m["content"].startswith(f"{n}.")] for n in range(32)
        ]
        assert own == [[f"{number}.{turn}" for turn in range(10)] for number in range(32)]


@pytest.mark.slow
@pytest.mark.stack("full")  # with Redis, whose layer is what kills idle sockets elsewhere
@pytest.mark.timeout(120)
async def test_idle_socket_is_alive_after_a_minute(server: ServerProcess, people: People) -> None:
    async with (
        client(f"{server.ws_url}/ws/chat/123/?token={people.token('ana')}") as ana,
        client(f"{server.ws_url}/ws/notifications/?token={people.token('bruno')}") as bruno,
    ):
        await asyncio.sleep(61)  # the promise is about time, so time has to pass

        await ana.send(message="still here")
        await ana.hears("still here")
        await bruno.until_frames(1)
        assert (ana.closed_with, bruno.closed_with) == (None, None)
