"""A consumer for tests of connections: it listens to the topics in its query, and obeys frames."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from channels.testing import WebsocketCommunicator

from guide_dialect.consumer import GuideConsumer
from guide_dialect.dialect import GuideDialect
from realtime import errors
from realtime.events import Event
from realtime.hub.hub import Hub
from realtime.hub.rendering import EVERYTHING, NOTHING, Rendering
from realtime.hub.subscription import Subscription
from realtime.log.positions import Position
from realtime.sockets.commands import Command, named_command
from realtime.sockets.dialect import Request
from realtime.testing import ANSWER_SECONDS, TestSocket


class Said(Event, frozen=True, tag="said"):
    words: str
    seq: int = 0


class Whispered(Event, frozen=True, tag="whispered"):
    words: str


@dataclass
class Somebody:
    """As much of an identity as the core knows."""

    user_id: int = 1
    expires_in: float = 3600
    session_id: str | None = "session"
    authorized_at: int = 0
    user: Any = field(init=False)
    expires_at: float = field(init=False)

    def __post_init__(self) -> None:
        self.user = SimpleNamespace(pk=self.user_id)
        self.expires_at = time.time() + self.expires_in


class Talk(GuideConsumer):
    """Listens to the topics in its query, and obeys the frames of a test."""

    seen: list[Talk] = []

    async def authorize(self) -> None:
        Talk.seen.append(self)
        self.handled: list[dict[str, Any]] = []
        self.times_left = 0
        if "refuse" in self.query:
            raise errors.NotFoundError
        if "fail" in self.query:
            raise ZeroDivisionError
        if "wait" in self.query:
            await asyncio.Event().wait()
        if "position" in self.query:
            position = Position(int(self.query["position"]))
            head = Position(int(self.query.get("head", position.seq)))
            self.join("talk.1", position=position, authorized_at=head, on_live=self.live)
        elif "listen" in self.query:
            self.join("talk.1")

    def live(self, place: Position) -> None:
        self.push({"type": "live", "seq": place.seq})

    def rendering_of(self, topic: str) -> Rendering:
        return EVERYTHING if topic == "talk.1" else NOTHING

    def on_access_lost(self, subscription: Subscription) -> None:
        self.push({"type": "detached", "topic": subscription.topic})

    def on_request(self, request: Request) -> Any:
        if named_command(GuideConsumer.commands, request.name) is None:
            self.handled.append(request.fields)
        return super().on_request(request)

    def _do_echo(self, frame: dict[str, Any], _ref: Any) -> None:
        self.push(frame)

    async def _do_database(self, frame: dict[str, Any], _ref: Any) -> None:
        self.push({"type": "answer", "value": await self.run(lambda: frame["value"])})

    def _do_mistake(self, *_) -> None:
        raise errors.NotAllowedError

    async def _do_retry(self, *_) -> None:
        raise errors.UnavailableError(retry_after_ms=1000)

    def _do_fault(self, *_) -> None:
        raise errors.RealtimeError  # the answer to what could not be stored

    async def _do_bug(self, *_) -> None:
        raise ZeroDivisionError

    def _do_refuse(self, *_) -> None:
        self.refuse(errors.NotFoundError())

    def _do_beside(self, frame: dict[str, Any], _ref: Any) -> None:
        self.spawn(self.beside(frame["what"]))

    def _do_rejoin(self, frame: dict[str, Any], _ref: Any) -> None:
        place = Position(frame["position"])
        self.join("talk.1", position=place, authorized_at=place, on_live=self.live)

    commands = {
        **GuideConsumer.commands,
        "echo": Command(dict, _do_echo),
        "database": Command(dict, _do_database),
        "mistake": Command(dict, _do_mistake),
        "retry": Command(dict, _do_retry),
        "fault": Command(dict, _do_fault),
        "bug": Command(dict, _do_bug),
        "refuse": Command(dict, _do_refuse),
        "beside": Command(dict, _do_beside),
        "rejoin": Command(dict, _do_rejoin),
    }

    async def beside(self, what: str) -> None:
        if what == "bug":
            raise ZeroDivisionError
        raise errors.UnavailableError

    async def left(self) -> None:
        self.times_left += 1
        if "stumble" in self.query:
            raise ZeroDivisionError


class Quiet(Talk):
    guide = GuideDialect(tells_errors=False)


@pytest.fixture(autouse=True)
def nobody_yet() -> None:
    Talk.seen = []


@pytest.fixture
def talk(hub: Hub) -> Callable[..., Any]:
    """`async with talk("?listen=1") as (socket, consumer)`: a socket with nothing around it."""

    @asynccontextmanager
    async def opened(
        query: str = "", kind: type[Talk] = Talk, **scope: Any
    ) -> AsyncIterator[tuple[TestSocket, Talk | None]]:
        communicator = WebsocketCommunicator(kind.as_asgi(), f"/ws/talk/{query}")
        around: dict[str, Any] = {"identity": Somebody(), "auth_error": None} | scope
        communicator.scope.update(around)  # type: ignore[typeddict-item]  # what our middleware adds
        accepted, _ = await communicator.connect(timeout=ANSWER_SECONDS)
        assert accepted
        try:
            yield TestSocket(communicator, None), Talk.seen[-1] if Talk.seen else None
        finally:
            await communicator.disconnect(timeout=ANSWER_SECONDS)

    return opened


def error_frame(error: errors.RealtimeError, ref: Any = None) -> dict[str, Any]:
    return {"type": "error", **error.as_fields(), "ref": ref}


async def refused_with(socket: TestSocket) -> tuple[Any, int]:
    """The code in the error frame, and the close code."""
    frame = await socket.receive()
    return frame["code"], await socket.receive_close()
