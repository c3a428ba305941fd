"""A frame outside of the contract fails the test in which it was sent, whichever side sent it."""

from __future__ import annotations

import pytest

from chat.consumers import ChatConsumer
from contract import testing
from realtime import Ref, events
from tests.factories import make_conversation


@pytest.fixture
def flaws() -> list[str]:
    """The flaws found in this test, taken out so that it does not fail for them."""
    return testing._flaws


@pytest.fixture
def conversation(ana, bruno):
    return make_conversation(ana, bruno)


def taken(flaws: list[str]) -> str:
    found = "\n".join(flaws)
    flaws.clear()
    return found


async def test_field_that_the_contract_does_not_know_is_found(
    ana, conversation, connect, flaws, monkeypatch: pytest.MonkeyPatch
):
    def pong(socket: ChatConsumer, _frame: object, ref: Ref) -> None:
        socket.push({"type": "pong", "ref": ref, "server_time": events.now(), "more": 1})

    known = ChatConsumer.commands["ping"]
    monkeypatch.setitem(ChatConsumer.commands, "ping", known._replace(obey=pong))
    async with connect(ana, f"/ws/chat/{conversation.pk}/?v=1") as socket:
        await socket.send({"type": "ping"})
        await socket.receive_until("pong")

    assert "more" in taken(flaws)


async def test_frame_that_no_test_reads_is_looked_at_too(ana, conversation, connect, flaws, monkeypatch):
    async with connect(ana, f"/ws/chat/{conversation.pk}/?v=1") as socket:
        consumer = next(iter(socket_consumers()))
        consumer.push({"type": "unheard_of"})
        await socket.receive_until("subscribed")

    assert "unheard_of" in taken(flaws)


def socket_consumers():
    from realtime import Hub

    return Hub.current().sockets


async def test_client_that_means_well_says_nothing_else_than_the_contract(ana, conversation, connect, flaws):
    async with connect(ana, f"/ws/chat/{conversation.pk}/") as socket:
        await socket.send_text('{"message":7}')
        assert (await socket.receive())["code"] == "invalid_frame"
        assert taken(flaws) == ""

        await socket.send({"message": 7})
        assert (await socket.receive())["code"] == "invalid_frame"
        assert "a client said" in taken(flaws)


async def test_guide_client_is_told_nothing_that_the_guide_does_not_know(ana, conversation, connect, flaws):
    async with connect(ana, f"/ws/chat/{conversation.pk}/") as socket:
        next(iter(socket_consumers())).push(
            '{"type":"receipt","user_id":1,"delivered_seq":1,"read_seq":1,"conversation_id":1}'
        )
        assert (await socket.receive())["type"] == "receipt"

    assert "does not know receipt" in taken(flaws)
