"""After a restored backup, or a failover that lost commits, old positions are recognised, and no client that
can be told misses the events that took the lost places."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from django.db import transaction

from accounts.models import User
from chat import services
from chat.events import conversation_topic
from chat.models import Conversation, Message, Participant
from realtime import log, publishing
from realtime.hub.hub import Hub
from realtime.models import LoggedEvent, Topic
from realtime.testing import ANSWER_SECONDS, position_at
from tests.chat.speaking import aside, chat_path, say, told_until
from tests.factories import make_conversation

SOCKET = "/ws/notifications/"


@pytest.fixture
def spoken(conversation, ana) -> Conversation:
    """A conversation with five messages."""
    for number in range(1, 6):
        say(conversation, ana, f"old {number}")
    return conversation


def place(conversation: Conversation, seq: int) -> str:
    return position_at(conversation_topic(conversation.pk), seq)


def restore(conversation: Conversation, seq: int) -> None:
    """Put the database back to the moment when this was the head."""
    topic = conversation_topic(conversation.pk)
    Message.objects.filter(conversation=conversation, seq__gt=seq).delete()
    LoggedEvent.objects.filter(topic__name=topic, seq__gt=seq).delete()
    Topic.objects.filter(name=topic).update(head=seq)


def say_unheard(conversation: Conversation, sender: User, *contents: str) -> None:
    """Send a message in another process whose bells are lost."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(publishing, "deliver", lambda events: None)
        for content in contents:
            say(conversation, sender, content)


async def look(hub: Hub, topic: str) -> None:
    """Check the head, as the hub does every few seconds."""
    await hub._head_checks._check([topic])


# ── resuming ─────────────────────────────────────────────────────────────────────────────────────────────


async def test_position_of_every_frame_and_every_row_is_one_to_go_on_from(bruno, spoken, connect, api):
    page = (await aside((await aside(api)(bruno)).get)(f"/api/conversations/{spoken.pk}/messages/")).json()
    async with connect(bruno, chat_path(spoken, "?since=0")) as socket:
        frames = [await socket.receive() for _ in range(6)]

    positions = [frame["position"] for frame in frames]
    assert positions[:5] == [row["position"] for row in reversed(page["results"])]
    assert positions[4] == positions[5] == page["last_position"] == await aside(place)(spoken, 5)
    listed = (await aside((await aside(api)(bruno)).get)("/api/conversations/")).json()["results"][0]
    assert listed["last_position"] == listed["last_message"]["position"] == positions[4]
    for seq, position in enumerate(positions[:5], start=1):
        async with connect(bruno, chat_path(spoken, f"?since={position}")) as socket:
            told = [await socket.receive() for _ in range(6 - seq)]
        assert told == [*frames[seq:5], {**frames[5], "resumed": True}]


@pytest.mark.parametrize("head", [3, 4, 5, 9])
@pytest.mark.parametrize("since", [4, 5])
async def test_position_of_what_a_restore_lost_is_answered_with_a_resync(
    ana, bruno, spoken, connect, head, since
):
    position = await aside(place)(spoken, since)
    await aside(restore)(spoken, 3)
    for number in range(4, head + 1):
        await aside(say)(spoken, ana, f"new {number}")

    async with connect(bruno, chat_path(spoken, f"?since={position}")) as socket:
        assert await socket.receive() == {
            "type": "resync",
            "conversation_id": spoken.pk,
            "reason": "unknown_position",
            "url": f"/api/conversations/{spoken.pk}/messages/?after=0",
            "seq": head,
            "position": await aside(place)(spoken, head),
        }
        await aside(say)(spoken, ana, "live")
        live = await socket.receive()
        assert (live["seq"], live["content"]) == (head + 1, "live")
        assert await socket.receives_nothing()
    async with connect(bruno, chat_path(spoken, f"?since={live['position']}")) as again:
        assert (await again.receive())["resumed"] is True


@pytest.mark.parametrize("since", [1, 3])
async def test_position_from_before_the_backup_is_resumed(ana, bruno, spoken, connect, since):
    position = await aside(place)(spoken, since)
    await aside(restore)(spoken, 3)
    for number in range(4, 8):
        await aside(say)(spoken, ana, f"new {number}")

    async with connect(bruno, chat_path(spoken, f"?since={position}")) as socket:
        told = [await socket.receive() for _ in range(8 - since)]

    texts = [f"{'old' if seq < 4 else 'new'} {seq}" for seq in range(since + 1, 8)]
    assert [frame.get("content") for frame in told] == [*texts, None]
    assert (told[-1]["type"], told[-1]["resumed"]) == ("subscribed", True)


async def test_position_of_another_conversation_is_answered_with_a_resync(ana, bruno, spoken, connect):
    other = await aside(make_conversation)(ana, bruno, title="other")
    for number in range(5):
        await aside(say)(other, ana, f"{number}")

    for since in (2, 5):
        position = await aside(place)(other, since)
        async with connect(bruno, chat_path(spoken, f"?since={position}")) as socket:
            assert (await socket.receive())["reason"] == "unknown_position"
            assert await socket.receives_nothing()


async def test_number_without_a_mark_goes_on_as_ever(ana, bruno, spoken, connect):
    await aside(restore)(spoken, 3)
    for number in range(4, 8):
        await aside(say)(spoken, ana, f"new {number}")

    async with connect(bruno, chat_path(spoken, "?since=5")) as socket:
        assert [(await socket.receive()).get("seq") for _ in range(3)] == [6, 7, 7]


async def test_position_at_the_floor_is_too_old_and_one_before_the_members_time_another_pasts(
    ana, bruno, clara, group, connect
):
    for number in range(5):
        await aside(say)(group, ana, f"{number}")
    early, floor, kept = [await aside(place)(group, seq) for seq in (1, 2, 3)]
    await aside(log.prune)(conversation_topic(group.pk), up_to=2)
    for position in (early, floor):
        async with connect(bruno, chat_path(group, f"?since={position}")) as socket:
            assert (await socket.receive())["reason"] == "too_old"
    async with connect(bruno, chat_path(group, f"?since={kept}")) as socket:
        assert [(await socket.receive())["seq"] for _ in range(3)] == [4, 5, 5]
    await aside(services.add_members)(conversation_id=group.pk, by=ana, users=[clara])

    async with connect(clara, chat_path(group, f"?since={kept}")) as socket:
        assert (await socket.receive())["reason"] == "unknown_position"
        assert await socket.receives_nothing()


async def test_tombstone_keeps_the_position_of_its_message(ana, bruno, spoken, connect):
    before = await aside(place)(spoken, 2)
    message_id = await aside(Message.objects.values_list("pk", flat=True).get)(conversation=spoken, seq=2)
    await aside(services.delete_message)(conversation_id=spoken.pk, message_id=message_id, by=ana)

    async with connect(bruno, chat_path(spoken, "?since=1")) as socket:
        tombstone = await socket.receive()
    assert (tombstone["type"], tombstone["position"]) == ("message_deleted", before)
    async with connect(bruno, chat_path(spoken, f"?since={before}")) as socket:
        assert (await socket.receive())["seq"] == 3


# ── while sockets stay open ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("new", [1, 2, 5])
@pytest.mark.parametrize("is_found_by", ["the heads", "a bell"])
async def test_open_socket_that_opted_in_is_told_to_load_the_history(
    ana, bruno, spoken, connect, hub, new, is_found_by
):
    async with connect(bruno, chat_path(spoken, "?v=1")) as socket:
        assert (await socket.receive())["seq"] == 5

        @aside
        @transaction.atomic  # otherwise the hub may look in between
        def begin_another_past() -> None:
            restore(spoken, 3)
            if is_found_by == "a bell":
                for number in range(new):
                    say(spoken, ana, f"new {number}")
            else:
                say_unheard(spoken, ana, *(f"new {number}" for number in range(new)))

        await begin_another_past()
        await look(hub, conversation_topic(spoken.pk))

        resync = await socket.receive()
        assert (resync["type"], resync["reason"]) == ("resync", "unknown_position")
        assert resync["position"] == await aside(place)(spoken, resync["seq"])
        await aside(say)(spoken, ana, "live")
        told = await told_until(socket, "live")
        assert [frame["seq"] for frame in told] == list(range(resync["seq"] + 1, 3 + new + 2))


async def test_open_page_of_the_guide_is_told_what_comes(ana, bruno, spoken, connect, hub):
    async with connect(bruno, chat_path(spoken)) as socket:

        @aside
        @transaction.atomic  # otherwise the hub may look in between
        def begin_another_past() -> None:
            restore(spoken, 3)
            say_unheard(spoken, ana, "new 4", "new 5", "new 6")

        await begin_another_past()
        await look(hub, conversation_topic(spoken.pk))

        assert [(await socket.receive())["content"] for _ in range(2)] == ["new 5", "new 6"]
        await aside(say)(spoken, ana, "live")
        assert (await socket.receive())["content"] == "live"
        assert await socket.receives_nothing()


@pytest.mark.parametrize("path", ["/ws/chat/{}/", "/ws/chat/{}/?v=1", "/ws/typing/{}/"])
async def test_right_that_ended_in_a_lost_place_ends_the_socket(ana, bruno, group, connect, hub, path):
    for number in range(1, 6):
        await aside(say)(group, ana, f"old {number}")

    def remove_unheard() -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(publishing, "deliver", lambda events: None)
            services.remove_member(conversation_id=group.pk, by=ana, user_id=bruno.pk)
        say_unheard(group, ana, "not for Bruno", "nor this")

    async with connect(bruno, path.format(group.pk)) as socket:
        await aside(restore)(group, 3)
        await aside(remove_unheard)()
        await look(hub, conversation_topic(group.pk))

        await aside(say)(group, ana, "nor what is said live")
        told, message = [], await socket._communicator.receive_output(ANSWER_SECONDS)
        while message["type"] == "websocket.send":
            told.append(json.loads(message["text"])["type"])
            message = await socket._communicator.receive_output(ANSWER_SECONDS)

        assert message["code"] in (4404, 1012)
        assert "message" not in told
    assert not await Participant.objects.filter(user=bruno, conversation=group).aexists()


async def test_storm_of_old_positions_is_answered_by_few_questions(ana, bruno, spoken, connect, monkeypatch):
    """Clients that come back together ask together, whatever is wrong with their positions."""
    position = await aside(place)(spoken, 4)
    await aside(restore)(spoken, 3)
    for number in range(4, 8):
        await aside(say)(spoken, ana, f"new {number}")
    readings: list[int] = []
    read_on = log.read_on

    def counted(name: str, **page: Any) -> Any:
        readings.append(page["after"])
        return read_on(name, **page)

    monkeypatch.setattr(log, "read_on", counted)

    async def come_back() -> str:
        async with connect(bruno, chat_path(spoken, f"?since={position}")) as socket:
            return str((await socket.receive())["type"])

    assert set(await asyncio.gather(*(come_back() for _ in range(12)))) == {"resync"}
    assert len(readings) <= 12
