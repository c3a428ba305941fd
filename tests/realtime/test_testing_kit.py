"""The kit that other tests use must see what happens, and fail where nothing does."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from realtime import testing as kit
from realtime.bells import local_hubs
from realtime.events import Event
from realtime.hub.hub import Hub
from realtime.publishing import publish_now, publish_on_commit
from realtime.testing import Published, TestSocket, eventually, open_socket
from realtime.topics import user_topic
from tests.factories import make_conversation


class Said(Event, frozen=True, tag="said"):
    words: str
    seq: int = 0


class Whispered(Event, frozen=True, tag="whispered"):
    words: str


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kit, "SILENCE_SECONDS", 0.05)


class Line:
    """A communicator with a script."""

    def __init__(self, *messages: dict[str, Any]) -> None:
        self.messages = list(messages)

    async def receive_output(self, seconds: float) -> dict[str, Any]:
        return self.messages.pop(0)


def frame(**fields: Any) -> dict[str, Any]:
    return {"type": "websocket.send", "text": json.dumps(fields)}


def socket_with(*messages: dict[str, Any]) -> TestSocket:
    line: Any = Line(*messages)
    return TestSocket(line, None)


async def test_binary_frame_is_received_as_it_came_and_no_text_is_one():
    socket = socket_with({"type": "websocket.send", "bytes": b"\x93"}, frame(type="a"))

    assert await socket.receive_bytes() == b"\x93"
    with pytest.raises(AssertionError, match="expected a binary frame"):
        await socket.receive_bytes()


async def test_refusal_before_accept_is_shown_in_full(hub):
    refusal = await kit.refusal_of("/ws/nowhere/")

    assert refusal.status == 404
    assert json.loads(refusal.body)["code"] == "not_found"
    assert (b"content-length", str(len(refusal.body)).encode()) in list(refusal.headers)


async def test_frames_are_received_one_by_one():
    close = {"type": "websocket.close", "code": 4404}
    socket = socket_with(frame(type="a"), frame(type="b", n=1), frame(type="c"), close)

    assert await socket.receive() == {"type": "a"}
    assert await socket.receive_until("c") == {"type": "c"}
    assert await socket.receive_close() == 4404


async def test_close_is_no_frame():
    socket = socket_with({"type": "websocket.close"})

    with pytest.raises(AssertionError, match="expected a frame"):
        await socket.receive()


async def test_close_without_a_code_is_1000_and_frames_before_it_are_skipped():
    assert await socket_with(frame(type="a"), {"type": "websocket.close"}).receive_close() == 1000


@pytest.mark.django_db(transaction=True)
async def test_socket_is_signed_in_as_somebody(ana, bruno, connect):
    conversation = await sync_to_async(make_conversation)(ana, bruno)
    async with connect(ana, f"/ws/chat/{conversation.pk}/") as socket:
        await socket.send({"message": "Bonjour"})

        assert (await socket.receive())["sender_username"] == "ana"
        assert await socket.receives_nothing()
        await socket.send({"message": "Salut"})
        assert not await _soon_silent(socket)


async def _soon_silent(socket: TestSocket) -> bool:
    await eventually(lambda: not socket._communicator.output_queue.empty())
    return await socket.receives_nothing()


async def test_socket_as_nobody_is_refused(connect):
    async with connect(None, "/ws/notifications/?v=1") as socket:
        assert (await socket.receive())["code"] == "unauthenticated"
        assert await socket.receive_close() == 4401


async def test_query_and_token_go_together(connect, ana):
    async with connect(ana, "/ws/notifications/?v=1") as socket:
        assert (await socket.receive())["type"] == "subscribed"


async def test_socket_refused_before_accept_fails_the_test(hub):
    with pytest.raises(AssertionError, match="refused before accept"):
        async with open_socket("/ws/nowhere/"):
            pass


async def test_many_sockets_do_not_meet_the_limit_of_an_address(hub, settings):
    settings.RELAIS = {**settings.RELAIS, "limit_handshakes": "1/h:1"}
    for _ in range(3):
        async with open_socket("/ws/notifications/"):
            pass


@pytest.mark.django_db(transaction=True)
def test_published_sees_what_was_told(published):
    publish_on_commit(user_topic(1), Said(words="a"))
    publish_now("talk.1", Whispered(words="b"))

    assert published == [
        ("user.1", {"type": "said", "words": "a", "seq": 1}),
        ("talk.1", {"type": "whispered", "words": "b"}),
    ]
    assert published.of_type("whispered") == [{"type": "whispered", "words": "b"}]


@pytest.mark.django_db(transaction=True)
async def test_published_and_hub_do_not_push_each_other_out(published, hub):
    publish_now("talk.1", Whispered(words="b"))

    assert len(published) == 1
    assert hub in local_hubs.registered()


def test_nothing_is_left_of_published():
    assert not [other for other in local_hubs.registered() if isinstance(other, Published)]


async def test_hub_of_the_test_before_is_gone():
    assert asyncio.get_running_loop() not in Hub._hubs


async def test_eventually_waits_for_a_value_or_fails():
    values = iter([None, 0, "", 7])

    assert await eventually(lambda: next(values)) == 7
    with pytest.raises(AssertionError, match="still not true"):
        await eventually(lambda: False, within=0.02)


async def test_eventually_awaits_what_must_be_awaited():
    answers = iter([False, True])

    async def ask() -> bool:
        return next(answers)

    assert await eventually(ask) is True
