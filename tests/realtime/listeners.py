"""Sockets without a connection, and a log without a database, which drive an audience step by step."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Hashable
from typing import Any, Self

import pytest

from realtime.database import outages
from realtime.errors import RealtimeError
from realtime.events import Delivery
from realtime.hub import pages
from realtime.hub.catch_up import CatchUp
from realtime.hub.hub import Hub
from realtime.hub.pages import Page, PageKey
from realtime.hub.rendering import EVERYTHING, Rendering
from realtime.hub.subscription import ONLY, Subscription
from realtime.log.positions import START, Position
from realtime.metrics.outages import Outage
from realtime.wire.batch import FrameBatch
from realtime.wire.frames import payloads_in
from realtime.wire.outbox import Outbox

TOPIC = "talk.1"


def body(seq: int | None, kind: str = "said", **fields: Any) -> str:
    """The text of an event, as the log keeps it."""
    return json.dumps({"type": kind, **fields, "seq": seq}, separators=(",", ":"))


def delivery(seq: int | None, kind: str = "said", **fields: Any) -> Delivery:
    """An event on its way."""
    return Delivery(TOPIC, seq, body(seq, kind, **fields))


class Person:
    """As much of an access as the hub sees."""

    user: Any = None
    session_id: str | None = None

    def __init__(self, user_id: int | None = 1) -> None:
        self.user_id = user_id
        self.who: tuple[Hashable, ...] = () if user_id is None else (user_id,)
        self.is_suspended = False
        self.lost: list[RealtimeError] = []

    def lose(self, error: RealtimeError) -> None:
        self.lost.append(error)


class Listener:
    """As much of a Connection as the hub sees; remembers what it was told."""

    def __init__(self, user_id: int = 1) -> None:
        self.user_id = user_id
        self.access = Person(user_id)
        #: It takes its frames itself.
        self.outbox: Any = self
        self._told: list[Any] = []
        #: The topics whose right was taken away, and those whose log is not the one that was told.
        self.lost: list[str] = []
        #: The topics of which events that no log keeps may have passed by.
        self.missed: list[str] = []
        self.misled_by: list[str] = []
        self.has_room = asyncio.Event()
        self.has_room.set()
        #: The subscription that `join` made, and all that the listener has.
        self.subscription: Subscription | None = None
        self.subscriptions: list[Subscription] = []
        self.live_at: int | None = None
        self._catching_up: CatchUp | None = None

    def join(
        self,
        hub: Hub,
        *,
        position: int | None = None,
        authorized_at: int = 0,
        rendering: Rendering = EVERYTHING,
        mark: str = "",
        authorized_mark: str = "",
    ) -> asyncio.Task[None] | None:
        """Subscribe to the usual topic; the task that catches up, if there is something to read."""
        self.subscription = subscription = self.subscribe(
            hub,
            position=position,
            authorized_at=authorized_at,
            rendering=rendering,
            mark=mark,
            authorized_mark=authorized_mark,
        )
        return self.work if subscription.is_behind else None

    def subscribe(
        self,
        hub: Hub,
        topic: str = TOPIC,
        *,
        position: int | None = None,
        authorized_at: int = 0,
        rendering: Rendering = EVERYTHING,
        mark: str = "",
        authorized_mark: str = "",
        access: Person | None = None,
        id: Hashable = ONLY,  # noqa: A002 - the word of every dialect
        name: Hashable = None,
    ) -> Subscription:
        """Do what Connection.subscribe does."""
        subscription = Subscription(
            self,
            access or self.access,
            rendering,
            id=id,
            position=START if position is None else Position(position, mark),
            authorized_at=authorized_at,
            name=name,
            on_live=self._is_live,
        )
        of_right = None if position is None else Position(authorized_at, authorized_mark)
        hub.subscribe(subscription, topic, authorized_at=of_right)
        self.subscriptions.append(subscription)
        if not subscription.is_behind:
            subscription.announce_live()
        elif not subscription.is_suspended:
            self.catch_up(subscription)
        return subscription

    def _is_live(self, position: Position) -> None:
        self.live_at = position.seq

    def leave(self) -> None:
        if self.subscription is not None:
            self.subscription.end()

    @property
    def told(self) -> list[Any]:
        """The frames it was told, and those that wait to be written together."""
        for subscription in list(self.subscriptions):
            subscription.audience.write_pending()
        return self._told

    @property
    def seqs(self) -> list[int]:
        return [json.loads(frame)["seq"] for frame in self.told]

    # Methods that the hub calls.

    def push_batch(self, batch: FrameBatch) -> bool:
        if self.has_room.is_set():
            assert batch.data  # as a server writes it
            self._told += batch.payloads
        return self.has_room.is_set()

    async def room_for(self, size: int) -> None:
        while not self.has_room.is_set():  # another one may have taken the room before our turn
            await self.has_room.wait()

    async def drained(self) -> None:
        await self.has_room.wait()

    def begin_joining(self) -> None: ...

    def end_joining(self) -> None: ...

    def catch_up(self, subscription: Subscription) -> None:
        if self._catching_up is None:
            self._catching_up = CatchUp(self)
            self.work = asyncio.get_running_loop().create_task(self._catch_up(self._catching_up))
        self._catching_up.add(subscription)

    async def _catch_up(self, catching_up: CatchUp) -> None:
        try:
            await catching_up.run()
        finally:
            self._catching_up = None

    def forget(self, subscription: Subscription) -> None:
        if subscription in self.subscriptions:
            self.subscriptions.remove(subscription)
        if self.subscription is subscription:
            self.subscription = None

    def on_missed(self, subscription: Subscription) -> None:
        self.missed.append(subscription.topic)

    def on_misled(self, subscription: Subscription, seq: int) -> None:
        self.misled_by.append(subscription.topic)

    def on_access_lost(self, subscription: Subscription) -> None:
        self.lost.append(subscription.topic)

    def restart(self) -> None: ...


class PatientOutbox(Outbox):
    """An outbox whose methods a test may replace."""


class Wired(Listener):
    """A listener over an outbox, as on our servers; remembers each write to its wire."""

    def __init__(self, user_id: int = 1) -> None:
        super().__init__(user_id)
        self.writes: list[list[Any]] = []
        self.outbox = PatientOutbox(self._nowhere, self, lambda: None)
        self.outbox.open()

    async def _nowhere(self, message: dict[str, object]) -> None: ...

    def push(self, payload: str) -> None:
        self.outbox.push(payload)

    # Methods that the outbox calls.

    def write(self, data: bytes) -> None:
        self.writes.append([payload for payload, _ in payloads_in(data)])

    def waiting(self) -> int:
        return 0

    def heard_at(self) -> float:
        return 0.0

    def abort(self) -> None: ...

    def abandon(self) -> None: ...


class Log:
    """Committed events; every reading waits until the test lets it through, early or late."""

    def __init__(self, head: int = 0) -> None:
        self.bodies = {seq: body(seq) for seq in range(1, head + 1)}
        self.head = head
        self.page = 3
        self.readings = 0
        self.is_away = False
        self._waiting: list[asyncio.Future[None]] = []
        self.is_open = True

    def stands_in(self, monkeypatch: pytest.MonkeyPatch) -> Self:
        """Put this log in place of the real one; a failed reading is tried again at once."""
        monkeypatch.setattr(pages, "read_page", self.read_page)
        monkeypatch.setattr(pages, "RETRY_SECONDS", 0)
        monkeypatch.setattr(outages, "DATABASE", Outage("The database"))
        return self

    def append(self, kind: str = "said", **fields: Any) -> int:
        self.head += 1
        self.bodies[self.head] = body(self.head, kind, **fields)
        return self.head

    def prune(self, up_to: int) -> None:
        self.bodies = {seq: text for seq, text in self.bodies.items() if seq > up_to}

    def read_on(self, after: int) -> tuple[list[tuple[str, int, str]], int]:
        page = [(TOPIC, seq, text) for seq, text in sorted(self.bodies.items()) if seq > after][: self.page]
        return page, page[-1][1] if page else self.head

    async def read_page(self, place: PageKey) -> Page:
        """Stands in for `realtime.hub.pages.read_page`."""
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
        """Let one reading through; whether there was one."""
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
    """The clock of the running loop, which only a test moves: on a busy machine nothing is late."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        loop = asyncio.get_running_loop()
        # Counted, not added up: after nine hours of the machine's clock, 2,000 sums of 0.001 are short of 2.
        began, self._ticks = loop.time(), 0
        monkeypatch.setattr(loop, "time", lambda: began + self._ticks / 1000)

    def jumps(self, seconds: int) -> None:
        """Pass so much time at once, as if the loop stood still."""
        self._ticks += seconds * 1000

    async def passes(self, milliseconds: int) -> None:
        """Pass so much time in steps of a millisecond, so that everything happens in its order."""
        for _ in range(milliseconds):
            self._ticks += 1
            await settle(5)
