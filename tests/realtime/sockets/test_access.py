"""Accesses: the identities that a socket, or a part of it, speaks for. One under a new check is told
nothing."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest

from realtime import errors
from realtime.errors import RealtimeError
from realtime.events import Delivery
from realtime.hub import reactions
from realtime.hub.hub import Hub
from realtime.hub.reactions import Told
from realtime.hub.rendering import Frame
from realtime.hub.subscription import Subscription
from realtime.log.positions import Position
from realtime.sockets.access import Access
from realtime.sockets.connection import Connection
from realtime.sockets.dialect import JsonErrors, Request
from realtime.topics import user_topic
from tests.realtime.listeners import TOPIC, Log, body, settle


class Talk(JsonErrors):
    """A dialect without commands."""

    def read(self, payload: str | bytes) -> Request:
        raise errors.InvalidJsonError


class Talker(Connection):
    """A socket whose tests subscribe for it."""

    dialect = Talk()


class Line:
    """A real connection on a server without our adapter."""

    def __init__(self) -> None:
        self.socket = Talker()
        self.sent: list[dict[str, Any]] = []
        self._incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._incoming.put_nowait({"type": "websocket.connect"})
        scope = {"type": "websocket", "path": "/ws/talk/", "query_string": b"", "subprotocols": []}
        self.course = asyncio.get_running_loop().create_task(
            self.socket(scope, self._incoming.get, self._send)
        )

    async def _send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)

    async def frames(self) -> list[Any]:
        for subscription in self.socket.subscriptions():
            subscription.audience.write_pending()
        await settle(40)
        return [message["text"] for message in self.sent if "text" in message]

    async def goes(self) -> None:
        self._incoming.put_nowait({"type": "websocket.disconnect", "code": 1001})
        await asyncio.wait([self.course], timeout=5)


class Answer:
    """Renders each event with the name of the question that it answers."""

    def __init__(self, name: str) -> None:
        self.name = name

    def render(self, write: Any) -> list[Any]:
        return [Frame(f"{self.name}{event.seq or 'x'}") for event in write]


def identity(user_id: int, *, session_id: str = "s", seconds: float = 60, authorized_at: int = 0) -> Any:
    return SimpleNamespace(
        user=SimpleNamespace(pk=user_id),
        session_id=session_id,
        expires_at=int(time.time()) + seconds,
        authorized_at=authorized_at,
    )


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Log:
    return Log().stands_in(monkeypatch)


@pytest.fixture
async def quiet_hub(monkeypatch: pytest.MonkeyPatch) -> Hub:
    """A hub that does nothing by itself, in place of the loop's."""
    hub = Hub(asyncio.get_running_loop())
    monkeypatch.setattr(Hub, "current", lambda: hub)
    return hub


@pytest.fixture
async def line(quiet_hub: Hub, log: Log) -> AsyncIterator[Line]:
    line = Line()
    await settle()
    yield line
    await line.goes()


def subscribe(
    line: Line, access: Access, name: str, *, position: int | None = 0, head: int = 0
) -> Subscription:
    durable = position is not None
    return line.socket.subscribe(
        TOPIC,
        Answer(name),
        id=name,
        access=access,
        position=Position(position) if position is not None else None,
        authorized_at=Position(head) if durable else None,
    )


def ring(hub: Hub, log: Log, *seqs: int) -> None:
    hub.receive([(TOPIC, seq, log.bodies[seq]) for seq in seqs])


def of(name: str, frames: list[str]) -> list[str]:
    return [frame.removeprefix(name) for frame in frames if frame.startswith(name)]


# ── an access that is checked again ──────────────────────────────────────────────────────────────────────


async def test_suspended_access_is_told_nothing_and_goes_on_where_it_was(quiet_hub, log, line) -> None:
    one, other = line.socket.admit(identity(1)), line.socket.admit(None)
    first, second = subscribe(line, one, "a"), subscribe(line, one, "b")
    third = subscribe(line, other, "c")
    ring(quiet_hub, log, log.append())

    one.suspend()
    ring(quiet_hub, log, log.append(), log.append())
    frames = await line.frames()
    assert [of(name, frames) for name in "abc"] == [["1"], ["1"], ["1", "2", "3"]]
    assert [each.seq for each in (first, second, third)] == [1, 1, 3]

    one.resume()
    await settle(50)
    ring(quiet_hub, log, log.append())
    frames = await line.frames()

    assert [of(name, frames) for name in "abc"] == [["1", "2", "3", "4"]] * 3
    assert not any(each.is_behind for each in (first, second, third))


async def test_suspended_access_misses_ephemeral_events(quiet_hub, log, line) -> None:
    one, other = line.socket.admit(identity(1)), line.socket.admit(None)
    subscribe(line, one, "a", position=None)
    subscribe(line, other, "c", position=None)

    quiet_hub.receive([(TOPIC, None, body(None))])
    one.suspend()
    quiet_hub.receive([(TOPIC, None, body(None))] * 2)
    one.resume()
    await settle(50)
    quiet_hub.receive([(TOPIC, None, body(None))])
    frames = await line.frames()

    assert (of("a", frames), of("c", frames)) == (["x"] * 2, ["x"] * 4)


async def test_subscription_is_suspended_alone(quiet_hub, log, line) -> None:
    one = line.socket.admit(identity(1))
    alone, other = subscribe(line, one, "a"), subscribe(line, one, "b")
    ring(quiet_hub, log, log.append())

    alone.suspend()
    ring(quiet_hub, log, log.append())
    frames = await line.frames()
    assert (of("a", frames), of("b", frames)) == (["1"], ["1", "2"])
    assert (alone.is_suspended, other.is_suspended) == (True, False)

    one.suspend()
    one.resume()
    await settle(50)
    assert of("a", await line.frames()) == ["1"], "it is still suspended by itself"

    one.suspend()
    alone.resume()
    await settle(50)
    assert of("a", await line.frames()) == ["1"], "its access is suspended"

    one.resume()
    await settle(50)
    ring(quiet_hub, log, log.append())
    frames = await line.frames()

    assert (of("a", frames), of("b", frames)) == (["1", "2", "3"], ["1", "2", "3"])


async def test_subscription_of_a_suspended_access_begins_when_it_is_resumed(quiet_hub, log, line) -> None:
    while log.append() < 4:
        pass
    one = line.socket.admit(identity(1))
    one.suspend()

    subscription = subscribe(line, one, "a", position=2, head=4)
    live = subscribe(line, one, "b", position=4, head=4)
    ring(quiet_hub, log, log.append())
    await settle(50)
    assert await line.frames() == []
    assert subscription.is_behind
    assert live.is_behind

    one.resume()
    await settle(50)
    frames = await line.frames()

    assert (of("a", frames), of("b", frames)) == (["3", "4", "5"], ["5"])


async def test_ephemeral_event_that_comes_while_suspended_replays_nothing(quiet_hub, log, line) -> None:
    while log.append() < 4:
        pass
    one, other = line.socket.admit(identity(1)), line.socket.admit(None)
    subscribe(line, other, "c", position=4, head=4)
    one.suspend()
    subscribe(line, one, "a", position=None)
    one.resume()
    await settle(50)

    ring(quiet_hub, log, log.append())

    assert of("a", await line.frames()) == ["5"]


async def test_access_that_is_suspended_while_it_catches_up_stops_at_its_place(quiet_hub, log, line) -> None:
    log.is_open = False
    while log.append() < 9:
        pass
    one, other = line.socket.admit(identity(1)), line.socket.admit(None)
    subscription = subscribe(line, one, "a", head=9)
    subscribe(line, other, "c", head=9)
    await settle(50)
    log.let_one_through()  # the page of both
    log.let_one_through()
    await settle(50)
    one.suspend()
    while log.let_one_through():
        await settle(50)
    frames = await line.frames()
    assert of("a", frames) == ["1", "2", "3"]
    assert of("c", frames) == [str(seq) for seq in range(1, 10)]
    assert (subscription.seq, subscription.is_behind) == (3, True)

    one.resume()
    await settle(50)
    while log.let_one_through():
        await settle(50)

    assert of("a", await line.frames()) == [str(seq) for seq in range(1, 10)]


async def test_right_that_was_taken_while_suspended_ends_at_its_event(
    quiet_hub, log, line, monkeypatch
) -> None:
    def end_removed(event: Delivery, told: Told) -> None:
        for subscription in told.of_user(event.fields["user_id"]):
            subscription.lose_access()

    monkeypatch.setattr(reactions, "_actions", {"removed": [end_removed]})
    one, other = line.socket.admit(identity(1)), line.socket.admit(identity(2))
    subscribe(line, one, "a")
    subscribe(line, other, "c")

    one.suspend()
    ring(quiet_hub, log, log.append(), log.append("removed", user_id=1), log.append())
    one.resume()
    await settle(50)
    frames = await line.frames()

    assert (of("a", frames), of("c", frames)) == (["1", "2"], ["1", "2", "3"])
    assert line.socket.subscription(TOPIC, "a") is None


async def test_suspended_access_hears_of_its_own_end_all_the_same(quiet_hub, log, line, monkeypatch) -> None:
    def revoke(event: Delivery, told: Told) -> None:
        for access in told.accesses():
            access.lose(errors.UnauthenticatedError())

    monkeypatch.setattr(reactions, "_actions", {"revoked": [revoke]})
    lost: list[RealtimeError] = []
    one = line.socket.admit(identity(1), on_lost=lambda _, error: lost.append(error))
    one.suspend()

    quiet_hub.receive([(user_topic(1), 1, body(1, "revoked"))])

    assert [type(error) for error in lost] == [errors.UnauthenticatedError]
    assert not line.course.done()


# ── one or several ───────────────────────────────────────────────────────────────────────────────────────


async def test_equal_identities_share_one_access_until_the_last_holder_goes(quiet_hub, log, line) -> None:
    one = line.socket.admit(identity(1))
    audience = quiet_hub.audience(user_topic(1))
    assert line.socket.admit(identity(1)) is one
    assert line.socket.admit(identity(1, session_id="another")) is not one
    assert len(audience.subscriptions()) == 2
    subscription = subscribe(line, one, "a")

    line.socket.dismiss(one)
    ring(quiet_hub, log, log.append())
    line.socket.dismiss(one)
    ring(quiet_hub, log, log.append())

    assert await line.frames() == ["a1"]
    assert len(audience.subscriptions()) == 1
    assert subscription not in line.socket.subscriptions()


async def test_end_of_an_access_ends_its_subscriptions_and_no_others(quiet_hub, log, line) -> None:
    ended: list[RealtimeError] = []

    def lost(access: Access, error: RealtimeError) -> None:
        ended.append(error)
        assert [each.id for each in access.subscriptions()] == ["a"]

    one = line.socket.admit(identity(1), on_lost=lost)
    other = line.socket.admit(None)
    subscribe(line, one, "a")
    subscribe(line, other, "c")
    ring(quiet_hub, log, log.append())

    one.expire()
    ring(quiet_hub, log, log.append())
    frames = await line.frames()

    assert [type(error) for error in ended] == [errors.TokenExpiredError]
    assert (of("a", frames), of("c", frames)) == (["1"], ["1", "2"])
    assert not line.course.done()


async def test_lost_access_is_over_for_everybody_who_used_it(quiet_hub, log, line) -> None:
    def move_one(access: Access, error: RealtimeError) -> None:
        line.socket.dismiss(access)  # its holder, who knows nothing of the other, does not wait for the end
        subscribe(line, nobody, "a", position=1, head=1)

    nobody = line.socket.admit(None)
    one = line.socket.admit(identity(1), on_lost=move_one)
    assert line.socket.admit(identity(1)) is one
    subscribe(line, one, "a")
    subscribe(line, one, "b")
    ring(quiet_hub, log, log.append())

    one.lose(errors.SessionRevokedError())
    ring(quiet_hub, log, log.append())
    frames = await line.frames()

    assert (of("a", frames), of("b", frames)) == (["1", "2"], ["1"])
    assert one.is_over
    assert quiet_hub.audience(user_topic(1)) is None
    assert not line.course.done()


async def test_ended_access_subscribes_to_nothing(quiet_hub, log, line) -> None:
    one = line.socket.admit(identity(1), on_lost=lambda *_: None)
    one.lose(errors.SessionRevokedError())

    with pytest.raises(errors.UnauthenticatedError):
        subscribe(line, one, "a")
    assert list(quiet_hub.topics()) == []


async def test_access_without_a_word_for_its_end_closes_the_socket_with_it(quiet_hub, log, line) -> None:
    one, other = line.socket.admit(identity(1)), line.socket.admit(None)
    subscribe(line, one, "a")
    subscribe(line, other, "c")

    one.expire()
    await settle(40)

    assert json.loads(line.sent[-2]["text"])["code"] == "token_expired"
    assert line.sent[-1] == {"type": "websocket.close", "code": errors.TokenExpiredError.close_with}
    assert line.socket.subscriptions() == ()


async def test_socket_that_goes_takes_its_accesses_along(quiet_hub, log, line) -> None:
    one = line.socket.admit(identity(1, seconds=60))
    subscribe(line, one, "a")

    await line.goes()

    assert list(quiet_hub.topics()) == []
    assert not any(quiet_hub.expiries._ending.values())


async def test_log_line_of_an_access_names_its_socket(quiet_hub, log, line) -> None:
    access = line.socket.admit(identity(1))

    assert line.socket.socket_id in repr(access)
    access.expire()  # the socket is closed, and its accesses let go of it
    await line.goes()
    assert repr(access) == "<Access of user 1 that is over>"


async def test_identity_that_has_ended_is_admitted_by_nobody(quiet_hub, log, line) -> None:
    with pytest.raises(errors.TokenExpiredError):
        line.socket.admit(identity(1, seconds=-1))

    assert list(quiet_hub.topics()) == []
