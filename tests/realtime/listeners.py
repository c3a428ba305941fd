"""Subscribers without a connection, and a log without a database: to drive an audience step by step."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from typing import Any

import pytest

from realtime.events import Delivery
from realtime.hub.catch_up import Page, Place
from realtime.hub.hub import Hub
from realtime.hub.rendering import EVERYTHING, Framing
from realtime.hub.subscription import Subscriber
from realtime.log.positions import Position
from realtime.wire.batch import Batch

TOPIC = "talk.1"


def body(seq: int | None, kind: str = "said", **fields: Any) -> str:
    """The text of an event, as the log keeps it."""
    return json.dumps({"type": kind, **fields, "seq": seq}, separators=(",", ":"))


def delivery(seq: int | None, kind: str = "said", **fields: Any) -> Delivery:
    """An event on its way."""
    return Delivery(TOPIC, seq, body(seq, kind, **fields))


class Listener:
    """As much of a JsonSocket as an audience sees; remembers what it was told."""

    def __init__(self, user_id: int = 1) -> None:
        self.user_id = user_id
        self._told: list[str] = []
        self.detached_from: list[str] = []
        self.misled_by: list[str] = []
        self.has_room = asyncio.Event()
        self.has_room.set()
        self.subscriber: Subscriber | None = None
        self.live_at: int | None = None

    def join(
        self,
        hub: Hub,
        *,
        position: int | None = None,
        as_of: int = 0,
        framing: Framing = EVERYTHING,
        mark: str = "",
        as_of_mark: str = "",
    ) -> asyncio.Task[None] | None:
        """What JsonSocket.join does; the task that catches up, if there is anything to."""
        socket: Any = self
        place = None if position is None else Position(position, mark)
        self.subscriber = hub.join(socket, TOPIC, framing, position=place, as_of=Position(as_of, as_of_mark))
        if self.subscriber in self.subscriber.audience.behind:
            return asyncio.get_running_loop().create_task(self._catch_up(self.subscriber))
        self.live_at = position
        return None

    async def _catch_up(self, subscriber: Subscriber) -> None:
        await subscriber.catch_up()
        if self.subscriber is subscriber:
            self.live_at = subscriber.position

    def leave(self) -> None:
        if self.subscriber is not None:
            self.subscriber.audience.remove(self.subscriber)
            self.subscriber = None

    @property
    def told(self) -> list[str]:
        """The frames it was told, those included that wait to be written together."""
        if self.subscriber is not None:
            self.subscriber.audience.flush()
        return self._told

    @property
    def seqs(self) -> list[int]:
        return [json.loads(frame)["seq"] for frame in self.told]

    # What an audience calls.

    def push(self, frame: str) -> None:
        self._told.append(frame)

    def push_batch(self, batch: Batch) -> bool:
        if self.has_room.is_set():
            self._told += map(str, batch.payloads(self.user_id))
        return self.has_room.is_set()

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self._work = asyncio.get_running_loop().create_task(work)

    async def room_for(self, size: int) -> None:
        while not self.has_room.is_set():  # somebody may have taken it before our turn
            await self.has_room.wait()

    async def drained(self) -> None:
        await self.has_room.wait()

    def forget(self, subscriber: Subscriber) -> None:
        if self.subscriber is subscriber:
            self.subscriber = None

    def was_misled(self, topic: str, seq: int) -> None:
        self.misled_by.append(topic)

    def detached(self, topic: str) -> None:
        self.detached_from.append(topic)


class Log:
    """Committed events; every reading waits until it is let through, early or late."""

    def __init__(self, head: int = 0) -> None:
        self.bodies = {seq: body(seq) for seq in range(1, head + 1)}
        self.head = head
        self.page = 3
        self.readings = 0
        self.is_away = False
        self._waiting: list[asyncio.Future[None]] = []
        self.is_open = True

    def append(self, kind: str = "said", **fields: Any) -> int:
        self.head += 1
        self.bodies[self.head] = body(self.head, kind, **fields)
        return self.head

    def prune(self, up_to: int) -> None:
        self.bodies = {seq: text for seq, text in self.bodies.items() if seq > up_to}

    def read_on(self, after: int) -> tuple[list[tuple[str, int, str]], int]:
        page = [(TOPIC, seq, text) for seq, text in sorted(self.bodies.items()) if seq > after][: self.page]
        return page, page[-1][1] if page else self.head

    async def read_page(self, place: Place) -> Page:
        """Stands for `realtime.hub.catch_up.read_page`."""
        self.readings += 1
        if not self.is_open:
            gate = asyncio.get_running_loop().create_future()
            self._waiting.append(gate)
            await gate
        else:
            await asyncio.sleep(0)
        if self.is_away:
            raise ConnectionError("the database is away")
        rows, reached = self.read_on(place.after)
        return Page([Delivery(*row) for row in rows], reached)

    def let_one_through(self) -> bool:
        """Whether there was a reading to answer."""
        while self._waiting:
            gate = self._waiting.pop(0)
            if not gate.done():
                gate.set_result(None)
                return True
        return False


async def settle(turns: int = 20) -> None:
    """Let everything run that can run."""
    for _ in range(turns):
        await asyncio.sleep(0)


class StillClock:
    """The clock of the running loop, moved by a test alone: on a busy machine nobody is late."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        loop = asyncio.get_running_loop()
        self._now = loop.time()
        monkeypatch.setattr(loop, "time", lambda: self._now)

    async def passes(self, milliseconds: int) -> None:
        """So much time, one by one, so that everything happens in its order."""
        for _ in range(milliseconds):
            self._now += 0.001
            await settle(5)
