"""Clients of the native socket that keep a replica of the server's state, and writers that change it."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from contract.testing import Witness
from proof.replica import FeedState, Replica
from proof.websocket import WebSocket
from tests.servers import ServerProcess

#: The time that the server has to answer, on a busy machine.
PATIENCE_SECONDS = 60.0
#: Milliseconds before a subscription is asked for again whose refusal says no other time.
RETRY_MS = 500
#: The answer to a command whose connection is closed instead: nobody knows whether it was obeyed.
CLOSED = {"type": "error", "code": "closed", "retryable": True}


class NativeSocket:
    """One user's connections to `/ws/`, one after another."""

    def __init__(self, server: ServerProcess, token: str, *, is_judged: bool) -> None:
        self._port = server.port
        self._path = f"/ws/?token={token}"
        #: Checks incoming frames against the contract; only in small runs, since that costs more than the
        #: server.
        self._is_judged = is_judged
        self._witness: Witness | None = None
        self._socket: WebSocket | None = None
        self._answers: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._refs = 0
        #: Whether `hello` came, and set when it did or when it will not.
        self._is_there = False
        self._is_decided = asyncio.Event()
        self.is_closed = asyncio.Event()

    async def connect(self) -> None:
        """Open it, and wait for `hello`; who is refused because the server is busy asks again."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self._open()
            while not self._is_there:
                await asyncio.sleep(RETRY_MS / 1000)
                await self._open()

    async def _open(self) -> None:
        """Open it, and wait for `hello` or its end."""
        self.is_closed.clear()
        self._is_there = False
        self._is_decided.clear()
        self._witness = Witness(self._path) if self._is_judged else None
        socket = WebSocket(self, self._path)
        self._socket = socket
        await asyncio.get_running_loop().create_connection(lambda: socket, "127.0.0.1", self._port)
        await self._is_decided.wait()

    def cut(self) -> None:
        """Lose the connection."""
        assert self._socket is not None
        self._socket.reset()

    def say(self, frame: dict[str, Any]) -> None:
        """Send a command."""
        assert self._socket is not None
        text = json.dumps(frame)
        if self._witness is not None:
            self._witness.said(text)
        self._socket.say(text.encode())

    async def ask(self, command: str, **fields: Any) -> dict[str, Any]:
        """Send a command and return its answer."""
        self._refs += 1
        ref = f"q{self._refs}"
        answer = self._answers[ref] = asyncio.get_running_loop().create_future()
        self.say({"type": command, "ref": ref, **fields})
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await answer

    # --- what the connection calls --------------------------------------------------------------------

    def opened(self) -> None:
        """Nothing to do: everything begins with `hello`."""

    def heard(self, payload: bytes) -> None:
        """Receive a frame."""
        if self._witness is not None:
            self._witness.told(payload)
        frame = json.loads(payload)
        if frame["type"] == "hello":
            self._is_there = True
            self._is_decided.set()
        answer = self._answers.pop(frame.get("ref") or "", None)
        if answer is None:
            self.take(frame)
        elif not answer.done():
            answer.set_result(frame)

    def ended(self, code: int, *, status: int, retry_after: float) -> None:
        """Note that the connection is over."""
        self.is_closed.set()
        self._is_decided.set()
        answers, self._answers = self._answers, {}
        for answer in answers.values():
            if not answer.done():
                answer.set_result(CLOSED)
        self.take_end()

    def take(self, frame: dict[str, Any]) -> None:
        """Handle a frame that is no answer to a command."""

    def take_end(self) -> None:
        """Handle the end of the connection."""


class Listener(NativeSocket):
    """A client that subscribes, ends its subscriptions, loses its connection, and comes back."""

    def __init__(self, server: ServerProcess, token: str, user_id: int, *, is_judged: bool) -> None:
        super().__init__(server, token, is_judged=is_judged)
        self.replica = Replica(user_id)
        self._news = asyncio.Event()
        self._names = 0
        self._connections = 0

    def subscribe(self, topic: str) -> None:
        """Begin a subscription."""
        self._names += 1
        self.say(self.replica.subscribe(f"{topic}#{self._names}", topic))

    def begin_anew(self, feed: FeedState) -> None:
        """End a subscription, and at once begin another one to its topic."""
        self.say(self.replica.forget(feed.id))
        self.subscribe(feed.topic)

    async def come_back(self) -> None:
        """Lose the connection, connect again, and go on from the last position."""
        self._connections += 1
        self.cut()
        await self.is_closed.wait()
        await self.connect()
        for feed in self.open_feeds():
            self.say(self.replica.subscribe(feed.id, feed.topic))

    def open_feeds(self) -> list[FeedState]:
        """The subscriptions whose right has not ended."""
        return [feed for feed in self.replica.feeds.values() if not feed.is_over]

    async def is_settled(self) -> None:
        """Wait until every subscription is live."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not all(feed.is_live for feed in self.open_feeds()):
                if self.is_closed.is_set():
                    await self.come_back()
                self._news.clear()
                await self._news.wait()

    def take(self, frame: dict[str, Any]) -> None:
        for command in self.replica.hear(frame):
            self.say(command)
        if frame["type"] == "error" and frame["retryable"]:
            seconds = (frame["retry_after_ms"] or RETRY_MS) / 1000
            again = partial(self._ask_again, frame["id"], frame["ref"], self._connections)
            asyncio.get_running_loop().call_later(seconds, again)
        self._news.set()

    def take_end(self) -> None:
        self._news.set()

    def _ask_again(self, id_: str | None, ref: str | None, connection: int) -> None:
        """Repeat what was refused for now, on the same connection: a subscription, or missing parts."""
        if connection != self._connections or self.is_closed.is_set():
            return
        if id_ is not None and (feed := self.replica.feeds.get(id_)) is not None:
            self.say(self.replica.subscribe(id_, feed.topic))
        elif ref is not None and (feed := self.replica.feeds.get(ref)) is not None:
            for command in feed.missing():
                self.say(command)

    async def live(
        self, topics: Sequence[str], until: float, choices: random.Random, *, pauses: tuple[float, float]
    ) -> None:
        """Subscribe to some topics, then change subscriptions and connections at random for a while."""
        clock = asyncio.get_running_loop().time
        await self.connect()
        for topic in topics:
            self.subscribe(topic)
        while (left := until - clock()) > 0:
            await asyncio.sleep(min(left, choices.uniform(*pauses)))
            feeds = self.open_feeds()
            deed = choices.choice(["cut", "anew", "anew", "read", "stay"])
            if deed == "cut" or self.is_closed.is_set():
                await self.come_back()
            elif deed == "anew" and feeds:
                feed = choices.choice(feeds)
                # The events of two inboxes at a time could not be told apart.
                if feed.is_live or feed.topic != "inbox":
                    self.begin_anew(feed)
            elif deed == "read":
                await self._read(choices)
        await self.is_settled()

    async def _read(self, choices: random.Random) -> None:
        """Mark as read what was seen, as a person would."""
        seen = [(topic, seq) for feed in self.open_feeds() for topic, (seq, _) in feed.places.items()]
        if not seen:
            return
        topic, seq = choices.choice(seen)
        if topic.startswith("conversation."):
            with suppress(TimeoutError):
                await self.ask("read", conversation_id=int(topic.partition(".")[2]), up_to_seq=seq)
        elif topic == "inbox":
            page = (await self.ask("notifications", limit=3, unread=True)).get("result")
            if page and choices.random() < 0.7:
                ids = [row["id"] for row in page["results"]]
                if ids:
                    await self.ask("notifications.read", ids=ids)
            else:
                await self.ask("notifications.read_all")
