"""A client of the Directus dialect on its socket."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from changes import allow, reader, signed_in
from directus.defaults import conf
from realtime.hub.hub import Hub
from realtime.testing import TestSocket, open_socket
from tests.changes.conftest import declare, run, table

__all__ = ["declare", "table"]

PATH = "/websocket"


class Client:
    """One socket."""

    def __init__(self, socket: TestSocket) -> None:
        self.socket = socket

    async def say(self, kind: str, **members: Any) -> None:
        """Send a frame."""
        await self.socket.send({"type": kind, **members})

    async def hear(self) -> dict[str, Any]:
        """The next frame."""
        return dict(json.loads(await self.socket.receive_text()))

    async def ask(self, kind: str, **members: Any) -> dict[str, Any]:
        """Send a frame, and return the next one."""
        await self.say(kind, **members)
        return await self.hear()

    async def subscribe(self, collection: str = "tasks", **members: Any) -> dict[str, Any]:
        """Subscribe; returns the `init`."""
        init = await self.ask("subscribe", collection=collection, **members)
        assert (init["type"], init["event"]) == ("subscription", "init"), init
        return init

    async def is_silent(self) -> bool:
        """Whether nothing more came: the answer to a ping is next."""
        return await self.ask("ping", uid="silent") == {"type": "pong", "uid": "silent"}


@pytest.fixture
def mode(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """`mode("public")`: how sockets are authenticated."""
    return lambda name: monkeypatch.setattr(conf, "websockets_rest_auth", name)


@pytest.fixture
def directus(hub: Hub, token_of: Callable[[Any], str]) -> Callable[..., Any]:
    """`async with directus(ana) as client`: signed in by its address; of nobody in the mode that is set."""

    @asynccontextmanager
    async def opened(user: Any = None, **options: Any) -> AsyncIterator[Client]:
        token = "" if user is None else f"?access_token={await sync_to_async(token_of)(user)}"
        async with open_socket(PATH + token, **options) as socket:
            yield Client(socket)

    return opened


@pytest.fixture
def tasks(table: Callable[..., Any]) -> Any:
    return table(
        "tasks",
        "id integer PRIMARY KEY, title text, owner integer, secret text",
        rights=[
            allow("read", to=signed_in, fields=["id", "title", "owner"]),
            allow("read", to=signed_in, rows={"owner": "$CURRENT_USER"}),
        ],
    )


@pytest.fixture
def written(tasks: Any) -> Callable[..., Any]:
    """`await written("INSERT …")`: runs SQL, and moves what it changed into the log."""

    def write(*statements: str) -> None:
        for statement in statements:
            run(statement)
        while reader.read_some():
            pass

    return sync_to_async(write)


def insert(number: int, title: str = "a", owner: int = 0, secret: str = "s") -> str:
    return f"INSERT INTO tasks VALUES ({number}, '{title}', {owner}, '{secret}')"


def row(number: int, title: str = "a", owner: int = 0) -> dict[str, Any]:
    return {"id": number, "title": title, "owner": owner}
