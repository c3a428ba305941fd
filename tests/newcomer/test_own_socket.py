"""The event and the socket in the README, as they are printed."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from channels.testing import WebsocketCommunicator

from accounts.models import User
from accounts.tokens import access_token, identify
from realtime.database.threads import run_in_thread
from realtime.testing import ANSWER_SECONDS, TestSocket
from tests.newcomer.documents import blocks

TELL, LISTEN = [block.text for block in blocks("README.md") if block.language == "python"]


@pytest.fixture
def consumer() -> Any:
    printed: dict[str, Any] = {"__name__": "readme"}
    exec(LISTEN, printed)
    return printed["OrdersConsumer"]


@asynccontextmanager
async def opened(consumer: Any, user: User):
    identity = await run_in_thread(lambda: identify(access_token(user)))
    communicator = WebsocketCommunicator(consumer.as_asgi(), "/ws/chat/1/")
    around: dict[str, Any] = {"identity": identity, "auth_error": None}
    communicator.scope.update(around)  # type: ignore[typeddict-item]  # what our middleware adds
    await communicator.connect(timeout=ANSWER_SECONDS)
    yield TestSocket(communicator, None)
    await communicator.disconnect(timeout=ANSWER_SECONDS)


async def test_socket_of_the_readme_is_told_the_event_of_the_readme(hub, ana, consumer):
    saved = []
    order = SimpleNamespace(pk=42, save=lambda: saved.append(42))
    ana.is_staff = True
    await asyncio.to_thread(ana.save)
    async with opened(consumer, ana) as socket:
        await run_in_thread(exec, TELL, {"__name__": "readme", "user": ana, "order": order})

        event = await socket.receive()
        assert (event["type"], event["order_id"], event["seq"]) == ("order_paid", 42, 1)
    assert saved == [42]


async def test_socket_of_the_readme_refuses_who_may_not_listen(hub, bruno, consumer):
    async with opened(consumer, bruno) as socket:
        assert (await socket.receive())["code"] == "not_allowed"
        assert await socket.receive_close() == 4403
