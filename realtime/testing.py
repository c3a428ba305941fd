"""The testing kit of every app: opens sockets as a user, and records what was published.

Load it with `pytest_plugins = ["realtime.testing"]`. Three promises, three ways to test them:
a socket receives a frame, `published` holds an event that was announced, and the tables hold a row.
"""

from __future__ import annotations

import asyncio
import ipaddress
import itertools
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Literal, Protocol

import pytest
from asgiref.sync import sync_to_async
from channels.routing import get_default_application
from channels.testing import WebsocketCommunicator

from realtime import log
from realtime.bells import local_hubs
from realtime.database.threads import close_threads
from realtime.hub.hub import Hub
from realtime.sockets.dialect import Refusal

#: Seconds that a socket may take to answer before the test fails; only a failure waits that long.
ANSWER_SECONDS = 5.0
#: Seconds of silence that `receives_nothing` waits for: enough for a delivery on its way to arrive.
SILENCE_SECONDS = 0.3

_addresses = itertools.cycle(ipaddress.ip_network("127.0.0.0/8").hosts())


#: The kinds of sent frames: one that a client should send, one of a wrong shape, or anything.
Manner = Literal["right", "wrong", "any"]


class Witness(Protocol):
    """An observer of one socket; it is shown all frames in the order in which the test reads them."""

    def said(self, payload: str | bytes, manner: Manner, /) -> None:
        """Take note of a frame from the client, and of its kind."""

    def told(self, payload: str | bytes, /) -> None:
        """Take note of a frame from the server."""


#: Makes the witness of each socket that `open_socket` opens, from its path and its subprotocols.
witness_of: Callable[[str, Sequence[str]], Witness] | None = None


class TestSocket:
    """A client's end of a socket."""

    __test__ = False

    def __init__(
        self, communicator: WebsocketCommunicator, subprotocol: str | None, witness: Witness | None = None
    ) -> None:
        self._communicator = communicator
        self.subprotocol = subprotocol
        self._witness = witness

    async def send(self, frame: Any) -> None:
        """Send a frame as JSON."""
        await self._say(json.dumps(frame), "right")

    async def send_wrong(self, frame: Any) -> None:
        """Send as JSON a frame that no client should send: a field is missing, or of the wrong type."""
        await self._say(json.dumps(frame), "wrong")

    async def send_text(self, text: str) -> None:
        """Send a text frame unchanged."""
        await self._say(text, "any")

    async def _say(self, text: str, manner: Manner) -> None:
        if self._witness is not None:
            self._witness.said(text, manner)
        await self._communicator.send_to(text_data=text)

    async def send_bytes(self, data: bytes) -> None:
        """Send a binary frame."""
        await self._communicator.send_to(bytes_data=data)

    async def receive_text(self) -> str:
        """Receive the next frame as text."""
        message = await self._next()
        assert message["type"] == "websocket.send", f"expected a frame, got {message}"
        return str(message["text"])

    async def receive_bytes(self) -> bytes:
        """Receive the next frame, which must be binary."""
        message = await self._next()
        assert message["type"] == "websocket.send", f"expected a frame, got {message}"
        assert isinstance(message.get("bytes"), bytes), f"expected a binary frame, got {message}"
        return bytes(message["bytes"])

    async def receive(self) -> dict[str, Any]:
        """Receive the next frame, parsed."""
        return dict(json.loads(await self.receive_text()))

    async def receive_until(self, event_type: str) -> dict[str, Any]:
        """Receive the next frame of a type; others are skipped."""
        while (frame := await self.receive())["type"] != event_type:
            pass
        return frame

    async def receive_close(self) -> int:
        """Wait for the close and return its code; frames before it are skipped."""
        while (message := await self._next())["type"] != "websocket.close":
            pass
        return int(message.get("code", 1000))

    async def receives_nothing(self) -> bool:
        """Whether the socket stays silent."""
        return bool(await self._communicator.receive_nothing(SILENCE_SECONDS, 0.02))

    async def leave(self) -> None:
        """Close the socket, and show the witness the frames that the test has not read and still may."""
        await self._communicator.disconnect(timeout=ANSWER_SECONDS)
        unread = self._communicator.output_queue
        for _ in range(unread.qsize()):
            self._show(message := unread.get_nowait())
            unread.put_nowait(message)
        self._witness = None

    async def _next(self) -> Any:
        message = await self._communicator.receive_output(ANSWER_SECONDS)
        self._show(message)
        return message

    def _show(self, message: Any) -> None:
        if self._witness is not None and message["type"] == "websocket.send":
            text = message.get("text")
            self._witness.told(message["bytes"] if text is None else text)


@asynccontextmanager
async def open_socket(
    path: str,
    *,
    token: str | None = None,
    headers: list[tuple[bytes, bytes]] | None = None,
    subprotocols: list[str] | None = None,
) -> AsyncIterator[TestSocket]:
    """Open a socket on the whole application, middleware included."""
    if token is not None:
        path += f"{'&' if '?' in path else '?'}token={token}"
    communicator = _communicator(path, headers, subprotocols)
    accepted, answer = await communicator.connect(timeout=ANSWER_SECONDS)
    assert accepted, f"refused before accept: {answer}"
    witness = None if witness_of is None else witness_of(path, subprotocols or ())
    socket = TestSocket(communicator, answer if isinstance(answer, str) else None, witness)
    try:
        yield socket
    finally:
        await socket.leave()


async def refusal_of(
    path: str,
    *,
    headers: list[tuple[bytes, bytes]] | None = None,
    subprotocols: list[str] | None = None,
) -> Refusal:
    """The refusal of a handshake before accept, from a server that can say more than 403."""
    communicator = _communicator(path, headers, subprotocols)
    communicator.scope["extensions"] = {"websocket.http.response": {}}
    await communicator.send_input({"type": "websocket.connect"})
    start = await communicator.receive_output(ANSWER_SECONDS)
    assert start["type"] == "websocket.http.response.start", f"expected a refusal, got {start}"
    body = await communicator.receive_output(ANSWER_SECONDS)
    await communicator.wait(ANSWER_SECONDS)
    return Refusal(start["status"], start["headers"], body["body"])


def _communicator(
    path: str, headers: list[tuple[bytes, bytes]] | None, subprotocols: list[str] | None
) -> WebsocketCommunicator:
    communicator = WebsocketCommunicator(
        get_default_application(),
        path,
        headers=[(b"host", b"testserver"), *(headers or [])],
        subprotocols=subprotocols,
    )
    # An address of its own, so that no test uses up another's handshakes.
    communicator.scope["client"] = (str(next(_addresses)), 0)
    return communicator


@pytest.fixture
async def hub(transactional_db: None) -> AsyncIterator[Hub]:
    """The hub of one test; everything that it started ends with the test."""
    running = Hub.current()
    yield running
    await running.drain(seconds=2)
    await running.stop()
    from channels.layers import channel_layers

    layer = channel_layers.backends.pop("default", None)
    if layer is not None and hasattr(layer, "flush"):
        await layer.flush()
    await asyncio.to_thread(close_threads)


@pytest.fixture
def connect(hub: Hub, token_of: Callable[[Any], str]) -> Callable[..., Any]:
    """`async with connect(ana, "/ws/chat/1/") as socket`: a socket signed in as a user.

    This package knows no users: `token_of`, a fixture of the project, makes the tokens.
    """

    @asynccontextmanager
    async def connect_as(user: Any, path: str, **options: Any) -> AsyncIterator[TestSocket]:
        token = await sync_to_async(token_of)(user) if user is not None else None
        async with open_socket(path, token=token, **options) as socket:
            yield socket

    return connect_as


class Published(list[tuple[str, dict[str, Any]]]):
    """The events that were announced: (topic, event) pairs, in order, without the positions of the log."""

    def deliver(self, events: Any, *, also_others: bool) -> None:
        for topic, _, body in events:
            event = json.loads(body)
            event.pop("position", None)
            self.append((topic, event))

    def of_type(self, event_type: str) -> list[dict[str, Any]]:
        return [event for _, event in self if event["type"] == event_type]


@pytest.fixture
def published() -> Iterator[Published]:
    """Record everything that any topic is told during the test, once it is committed."""
    heard = Published()
    local_hubs.register(heard)
    yield heard
    local_hubs.unregister(heard)


def position_at(topic: str, seq: int) -> str:
    """The position of an event as clients are told it. Uses the database."""
    return str(log.floor_and_places(topic, [seq])[1][0])


async def eventually(condition: Callable[[], Any], *, within: float = ANSWER_SECONDS) -> Any:
    """Wait until a condition holds, and return its value; for what no frame announces."""
    deadline = time.monotonic() + within
    while True:
        value = condition()
        if asyncio.iscoroutine(value):
            value = await value
        if value:
            return value
        assert time.monotonic() < deadline, f"still not true after {within} s: {condition}"
        await asyncio.sleep(0.01)
