"""Many messages at once and long silences: they break stock Channels sockets, and not ours."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any
from uuid import uuid4

import pytest

from tests.acceptance.clients import Client, client
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

        await asyncio.gather(*[one.until_frames(1) for one in senders])
        at_once = await asyncio.gather(*[say_all(one, contents(n)) for n, one in enumerate(senders)])
        await asyncio.gather(*[one.until_messages(320) for one in senders])

        assert all(one.seqs == list(range(1, 321)) for one in senders)
        assert all(one.messages == senders[0].messages for one in senders)
        heard = [message["content"] for message in senders[0].messages]
        for number, taken in enumerate(at_once):
            own = [content for content in heard if content in contents(number)]
            assert sorted(own) == sorted(contents(number))
            assert [content for content in own if content in taken] == taken


def contents(number: int) -> list[str]:
    """The texts that a sender sends."""
    return [f"{number}.{turn}" for turn in range(10)]


async def say_all(sender: Client, what: list[str]) -> list[str]:
    """Send everything at once, and send again what was refused, as clients do. Return what was accepted the
    first time."""
    waiting = {content: str(uuid4()) for content in what}
    at_once = taken = await taken_of(sender, waiting)
    while waiting := {content: waiting[content] for content in waiting if content not in taken}:
        taken = await taken_of(sender, waiting)
    return at_once


async def taken_of(sender: Client, waiting: dict[str, str]) -> list[str]:
    """The acknowledged ones of these messages, once all of them are answered."""
    already = len(answers(sender))
    for content, client_id in waiting.items():
        await sender.send(message=content, client_id=client_id, ref=content)
    await sender.until(lambda: len(answers(sender)) == already + len(waiting))
    said = answers(sender)[already:]
    assert {answer["code"] for answer in said if answer["type"] == "error"} <= {"unavailable", "overloaded"}
    return [answer["ref"] for answer in said if answer["type"] == "ack"]


def answers(sender: Client) -> list[dict[str, Any]]:
    """The acks and errors that a sender received."""
    return [frame for frame in sender.received if frame["type"] in ("ack", "error")]


@pytest.mark.slow
@pytest.mark.stack("full")  # with Redis, whose layer kills idle sockets elsewhere
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
