"""Channels of two processes are one: broadcasts, presence, and what is left of a process that dies."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from websockets.asyncio.client import connect

from presence.tracker import BEAT_SECONDS, LOST_SECONDS
from tests.servers import ServerProcess, manage
from tests.services import RedisServer

pytestmark = [pytest.mark.acceptance, pytest.mark.stack("full"), pytest.mark.timeout(120)]

ROOM = "realtime:room"


class Fleet:
    """Two processes, and the address of a channel's socket on each."""

    def __init__(self, one: ServerProcess, other: ServerProcess, key: str) -> None:
        self.one, self.other, self.key = one, other, key

    @contextlib.asynccontextmanager
    async def joined(self, server: ServerProcess, key: str = "") -> AsyncIterator[Any]:
        """A member of the room; with a key it tracks itself."""
        address = f"{server.ws_url}/realtime/v1/websocket?vsn=2.0.0&apikey={self.key}"
        async with connect(address) as socket:
            config = {"presence": {"key": key, "enabled": True}}
            await socket.send(json.dumps(["1", "1", ROOM, "phx_join", {"config": config}]))
            if key:
                said = {"event": "track", "payload": {"name": key}}
                await socket.send(json.dumps(["1", "2", ROOM, "presence", said]))
            yield socket


@pytest.fixture
def fleet(new_database: Callable[[], str]) -> Iterator[Fleet]:
    database_url = new_database()
    with (
        RedisServer() as redis,
        ServerProcess("daphne", database_url=database_url, redis_url=redis.url) as one,
        ServerProcess("uvicorn", database_url=database_url, redis_url=redis.url) as other,
    ):
        yield Fleet(one, other, manage("anon_key", database_url=database_url).strip())


async def heard(socket: Any, wanted: Callable[[str, Any], bool], *, seconds: float = 10) -> Any:
    """The payload of the next frame that is wanted."""
    async with asyncio.timeout(seconds):
        while True:
            frame = json.loads(await socket.recv())
            if wanted(frame[3], frame[4]):
                return frame[4]


def joins(key: str) -> Callable[[str, Any], bool]:
    return lambda event, payload: (
        (event == "presence_diff" and key in payload["joins"])
        or (event == "presence_state" and key in payload)
    )


def leaves(key: str) -> Callable[[str, Any], bool]:
    return lambda event, payload: event == "presence_diff" and key in payload["leaves"]


async def test_who_is_there_by_one_process_is_seen_by_the_other(fleet: Fleet) -> None:
    async with fleet.joined(fleet.one) as watcher:
        async with fleet.joined(fleet.other, "zoe"):
            await heard(watcher, joins("zoe"))
            async with fleet.joined(fleet.one, "max") as late:
                await heard(late, joins("zoe"))
        await heard(watcher, leaves("zoe"))


async def test_who_comes_to_a_fresh_process_is_told_who_was_there(fleet: Fleet) -> None:
    async with fleet.joined(fleet.one, "zoe"), fleet.joined(fleet.other) as watcher:
        state = await heard(watcher, lambda event, _: event == "presence_state")

    assert list(state) == ["zoe"]


async def test_broadcast_passes_from_one_to_the_other(fleet: Fleet) -> None:
    async with fleet.joined(fleet.one) as here, fleet.joined(fleet.other) as there:
        for socket in here, there:
            await heard(socket, lambda event, _: event == "presence_state")
        await here.send(json.dumps(["1", "3", ROOM, "broadcast", {"event": "vu", "payload": {"n": 1}}]))
        told = await heard(there, lambda event, _: event == "broadcast")

    assert told["payload"] == {"n": 1}


async def test_process_that_is_killed_takes_its_people_with_it(fleet: Fleet) -> None:
    async with fleet.joined(fleet.one, "max") as watcher:
        with contextlib.suppress(Exception):  # its socket dies with it
            async with fleet.joined(fleet.other, "zoe"):
                await heard(watcher, joins("zoe"))
                fleet.other.kill()
                killed = time.monotonic()
                gone = await heard(watcher, leaves("zoe"), seconds=LOST_SECONDS + 2 * BEAT_SECONDS + 5)
        took = time.monotonic() - killed
        async with fleet.joined(fleet.one) as late:
            state = await heard(late, lambda event, _: event == "presence_state")

    assert list(gone["leaves"]) == ["zoe"]
    assert took <= 40
    assert list(state) == ["max"]
