"""The limits on sockets of a process: in all, from one address, and before they are let in."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from realtime.sockets.handshakes import SocketLimits
from realtime.testing import eventually

SAYS_WHY = {"websocket.http.response": {}}


class Door:
    """An application behind the limits; the test lets its sockets in and ends them."""

    def __init__(self) -> None:
        self.app = SocketLimits(self._serve)
        self._sockets: dict[str, asyncio.Event] = {}

    async def _serve(self, scope: Any, receive: Any, send: Any) -> None:
        let_in, ended = scope["let_in"], scope["ended"]
        await let_in.wait()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": "hello"})
        await ended.wait()
        if scope["fails"]:
            raise ZeroDivisionError

    def knock(self, address: str, *, fails: bool = False) -> Any:
        """A new client: `let_in()`, `end()`, and `told`, the answers it got."""
        told: list[dict[str, Any]] = []
        let_in, ended = asyncio.Event(), asyncio.Event()
        scope = {
            "type": "websocket",
            "client": [address, 1],
            "headers": [],
            "extensions": SAYS_WHY,
            "let_in": let_in,
            "ended": ended,
            "fails": fails,
        }

        async def receive() -> dict[str, Any]:
            return {"type": "websocket.connect"}

        async def send(message: dict[str, Any]) -> None:
            told.append(message)

        async def serve() -> None:
            await self.app(scope, receive, send)

        task = asyncio.ensure_future(serve())

        async def end() -> None:
            let_in.set()
            ended.set()
            await asyncio.gather(task, return_exceptions=True)

        async def enter() -> None:
            let_in.set()
            await eventually(lambda: len(told) == 2)

        return SimpleNamespace(told=told, let_in=enter, end=end)

    async def answers(self, address: str) -> int:
        """The answer to a new client: 101 if it stays, or the status of the refusal."""
        visitor = self.knock(address)
        await asyncio.sleep(0)
        if visitor.told:
            return int(visitor.told[0]["status"])
        await visitor.let_in()
        return 101


async def test_process_holds_so_many_sockets_and_a_place_becomes_free(settings):
    settings.RELAIS = {**settings.RELAIS, "limit_sockets": 2}
    door = Door()
    first = door.knock("a", fails=True)
    await first.let_in()

    assert [await door.answers(address) for address in ("b", "c", "d")] == [101, 503, 503]
    await first.end()
    assert [await door.answers(address) for address in ("e", "f")] == [101, 503]


async def test_address_holds_so_many_sockets_and_others_have_their_own(settings):
    settings.RELAIS = {**settings.RELAIS, "limit_sockets_per_address": 2}
    door = Door()
    first = door.knock("a")
    await first.let_in()

    assert [await door.answers(address) for address in ("a", "a", "b", "b", "b")] == [101, 429, 101, 101, 429]
    await first.end()
    assert [await door.answers("a") for _ in range(2)] == [101, 429]


async def test_so_many_sockets_wait_to_be_let_in(settings):
    """A database that hangs makes handshakes wait; their number is bounded, whatever their users."""
    settings.RELAIS = {**settings.RELAIS, "limit_pending_sockets": 2}
    door = Door()
    waiting = [door.knock(address) for address in "ab"]
    await asyncio.sleep(0)

    assert await door.answers("c") == 503
    await waiting[0].let_in()
    assert await door.answers("c") == 101
    await waiting[1].end()
    assert [await door.answers("d") for _ in range(5)] == [101] * 5


async def test_refusal_says_when_to_come_back(settings):
    settings.RELAIS = {**settings.RELAIS, "limit_sockets": 1}
    door = Door()
    await door.knock("a").let_in()

    visitor = door.knock("b")
    await eventually(lambda: len(visitor.told) == 2)

    assert dict(visitor.told[0]["headers"])[b"retry-after"] == b"10"


async def test_limits_may_be_off(settings):
    off = dict.fromkeys(("limit_sockets", "limit_sockets_per_address", "limit_pending_sockets"), 0)
    settings.RELAIS = {**settings.RELAIS, **off}
    door = Door()

    assert {await door.answers("a") for _ in range(20)} == {101}


async def test_nothing_is_remembered_of_closed_sockets(settings):
    door = Door()
    for number in range(50):
        await door.knock(str(number)).end()

    assert (door.app.open, door.app.pending, door.app.open_from) == (0, 0, {})


async def test_addresses_of_one_subscriber_are_one(settings):
    settings.RELAIS = {**settings.RELAIS, "limit_sockets_per_address": 1}
    door = Door()
    first = door.knock("2001:db8:1:2::1")
    await first.let_in()

    assert await door.answers("2001:db8:1:2:ffff::7") == 429
    assert await door.answers("2001:db8:1:3::1") == 101
    await first.end()
