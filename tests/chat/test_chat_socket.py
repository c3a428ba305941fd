"""The chat's socket: the frames of the guide's client, and those of a client that opted in."""

import asyncio
import json
from contextlib import AsyncExitStack
from uuid import uuid4

import pytest

from chat import services
from chat.events import conversation_topic
from chat.models import Message
from realtime.testing import position_at
from tests.chat.speaking import aside, chat_path, contents, say, told_until

NOBODYS_IDS = ["999999", "0", "-1", "1.5", "1e3", "abc", "%20", "٣", "9" * 15, "9" * 17, "9" * 400]


# ── the guide's client ───────────────────────────────────────────────────────────────────────────────────


async def test_message_reaches_everyone_and_its_sender(ana, bruno, conversation, connect):
    async with (
        connect(ana, chat_path(conversation)) as sender,
        connect(bruno, chat_path(conversation)) as receiver,
    ):
        await sender.send({"message": "Bonjour"})

        text = await receiver.receive_text()
        assert await sender.receive_text() == text

    frame = json.loads(text)
    position = await aside(position_at)(conversation_topic(conversation.pk), 1)
    assert frame.pop("created_at").endswith("Z")
    assert frame == {
        "type": "message",
        "message_id": (await Message.objects.aget()).pk,
        "sender_id": ana.pk,
        "sender_username": "ana",
        "content": "Bonjour",
        "is_read": False,
        "conversation_id": conversation.pk,
        "seq": 1,
        "client_id": None,
        "edited_at": None,
        "position": position,
    }


async def test_guides_fields_come_first_and_in_its_order(ana, conversation, connect):
    async with connect(ana, chat_path(conversation)) as socket:
        await socket.send({"message": "Bonjour"})
        frame = await socket.receive()

    guide = ["type", "message_id", "sender_id", "sender_username", "content", "created_at", "is_read"]
    assert list(frame)[:7] == guide


async def test_guide_client_is_told_messages_and_nothing_else(ana, bruno, clara, dora, group, connect):
    """All of it really happens: a v1 socket beside the guide's is told each event."""

    def everything_happens() -> None:
        told = {"conversation_id": group.pk, "by": ana}
        message_id = say(group, ana, "first").message_id
        services.edit_message(message_id=message_id, content="edited", **told)
        services.mark_delivered(user_id=dora.pk, conversation_id=group.pk, up_to_seq=1)
        services.mark_read(user_id=dora.pk, conversation_id=group.pk, up_to_seq=1)
        services.delete_message(message_id=message_id, **told)
        services.add_members(users=[clara], **told)
        services.change_role(user_id=clara.pk, role="admin", **told)
        services.rename_conversation(title="Nouveau", **told)
        services.remove_member(user_id=clara.pk, **told)
        say(group, ana, "last")

    async with connect(bruno, chat_path(group)) as guide, connect(dora, chat_path(group, "?v=1")) as v1:
        await aside(everything_happens)()

        told_to_v1 = [frame["type"] for frame in await told_until(v1, "last")]
        told_to_guide = [frame["type"] for frame in await told_until(guide, "last")]
        assert await guide.receives_nothing()

    assert sorted(told_to_v1) == sorted(
        [
            "subscribed",
            "message",
            "message_edited",
            "receipt",
            "receipt",
            "message_deleted",
            "member_added",
            "member_role_changed",
            "conversation_renamed",
            "member_removed",
            "message",
        ]
    )
    assert told_to_guide == ["message", "message"]


async def test_guide_client_gets_no_ack(ana, conversation, connect):
    async with connect(ana, chat_path(conversation)) as socket:
        await socket.send({"message": "Bonjour"})

        assert (await socket.receive())["type"] == "message"
        assert await socket.receives_nothing()


async def test_unknown_fields_of_a_guide_client_are_ignored(ana, conversation, connect):
    async with connect(ana, chat_path(conversation)) as socket:
        await socket.send(
            {"message": "Bonjour", "type": "message", "colour": "red", "client_id": None, "ref": None}
        )

        assert (await socket.receive())["content"] == "Bonjour"
        assert await socket.receives_nothing()


async def test_message_over_rest_reaches_the_sockets(ana, bruno, conversation, connect, api):
    async with connect(bruno, chat_path(conversation)) as socket:
        answer = await aside((await aside(api)(ana)).post)(
            f"/api/conversations/{conversation.pk}/messages/", {"message": "over HTTP"}
        )
        frame = await socket.receive()

    assert answer.status_code == 201
    assert (frame["content"], frame["message_id"]) == ("over HTTP", answer.json()["message_id"])
    assert frame["created_at"] == answer.json()["created_at"]


async def test_conversations_do_not_hear_each_other(ana, bruno, clara, conversation, connect):
    other = await aside(services.create_conversation)(creator=ana, participants=[clara])
    async with (
        connect(clara, chat_path(other, "?v=1")) as outsider,
        connect(bruno, chat_path(conversation)) as member,
    ):
        await outsider.receive_until("subscribed")
        await aside(say)(conversation, ana, "not for Clara")

        assert (await member.receive())["content"] == "not for Clara"
        assert await outsider.receives_nothing()


# ── who is let in ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("query", ["", "?v=1", "?since=0"])
async def test_stranger_and_unknown_conversation_are_refused_alike(clara, ana, conversation, connect, query):
    await aside(say)(conversation, ana, "not for Clara")
    async with connect(clara, chat_path(conversation, query)) as stranger:
        refusal = await stranger.receive_text()
        assert await stranger.receive_close() == 4404

    assert json.loads(refusal)["code"] == "not_a_participant"
    for name in NOBODYS_IDS:
        async with connect(clara, f"/ws/chat/{name}/{query}") as lost:
            assert await lost.receive_text() == refusal, name
            assert await lost.receive_close() == 4404


async def test_refused_socket_is_neither_obeyed_nor_told_anything(
    clara, ana, bruno, conversation, connect, caplog
):
    async with (
        connect(clara, chat_path(conversation)) as stranger,
        connect(bruno, chat_path(conversation)) as member,
    ):
        assert await stranger.receive_close() == 4404
        await stranger.send({"message": "I am in", "ref": 1})
        await aside(say)(conversation, ana, "among us")

        assert (await member.receive())["content"] == "among us"
        assert await stranger.receives_nothing()

    assert await aside(contents)(conversation) == ["among us"]
    assert "A socket failed" not in caplog.text


# ── opting in ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("query", "options"),
    [("?v=1", {}), ("?since=0", {}), ("?since=nonsense", {}), ("", {"subprotocols": ["relais.v1", "other"]})],
)
async def test_client_opts_in_by_how_it_connects(ana, bruno, conversation, connect, query, options):
    async with connect(bruno, chat_path(conversation, query), **options) as socket:
        assert (await socket.receive())["type"] in ("subscribed", "resync")
        assert socket.subprotocol == ((options and "relais.v1") or None)

        message = await aside(say)(conversation, ana)
        await aside(services.delete_message)(
            conversation_id=conversation.pk, message_id=message.message_id, by=ana
        )

        assert (await socket.receive())["type"] == "message"
        assert (await socket.receive())["type"] == "message_deleted"


async def test_anything_else_in_the_query_is_no_opting_in(ana, bruno, conversation, connect):
    queries = ("?v=2", "?v=", "?version=1", "?client_id=1&ref=2")
    async with AsyncExitStack() as stack:
        sockets = [
            await stack.enter_async_context(
                connect(bruno, chat_path(conversation, query), subprotocols=["relais.v2"])
            )
            for query in queries
        ]
        message_id = (await aside(say)(conversation, ana)).message_id
        await aside(services.delete_message)(conversation_id=conversation.pk, message_id=message_id, by=ana)

        for query, socket in zip(queries, sockets, strict=True):
            assert (await socket.receive())["type"] == "message", query
        assert all(await asyncio.gather(*(socket.receives_nothing() for socket in sockets)))


@pytest.mark.parametrize(
    ("frame", "answer"),
    [
        ({"message": "Bonjour", "client_id": str(uuid4())}, "ack"),
        ({"message": "Bonjour", "ref": 1}, "ack"),
        ({"message": "", "ref": "a"}, "error"),
        ({"type": "ping"}, "pong"),
        ({"type": "read", "up_to_seq": 1}, "receipt"),
        ({"type": "delivered", "up_to_seq": 1}, "receipt"),
    ],
)
async def test_client_opts_in_by_what_it_sends(ana, bruno, conversation, connect, frame, answer):
    """The same socket was not told of an edit a moment before."""
    message_id = (await aside(say)(conversation, ana)).message_id
    edit = {"conversation_id": conversation.pk, "message_id": message_id, "by": ana}
    async with connect(bruno, chat_path(conversation)) as socket:
        await aside(services.edit_message)(content="before", **edit)
        assert await socket.receives_nothing()

        await (socket.send_wrong if answer == "error" else socket.send)(frame)
        await socket.receive_until(answer)
        await aside(services.edit_message)(content="after", **edit)

        assert (await socket.receive_until("message_edited"))["content"] == "after"


@pytest.mark.parametrize(
    ("frame", "event_type"),
    [({"type": "edit", "message": "better"}, "message_edited"), ({"type": "delete"}, "message_deleted")],
)
async def test_client_that_opts_in_by_a_change_is_told_that_very_change(
    ana, conversation, connect, frame, event_type
):
    message_id = (await aside(say)(conversation, ana)).message_id
    async with connect(ana, chat_path(conversation)) as socket:
        await socket.send({**frame, "message_id": message_id})

        answers = {frame["type"]: frame for frame in [await socket.receive(), await socket.receive()]}

    assert answers.keys() == {"ack", event_type}
    assert answers["ack"]["seq"] == answers[event_type]["seq"] == 2


async def test_client_that_opted_in_without_a_position_is_live_from_the_head(
    ana, bruno, conversation, connect
):
    await aside(say)(conversation, ana, "before")
    async with connect(bruno, chat_path(conversation, "?v=1")) as socket:
        assert await socket.receive() == {
            "type": "subscribed",
            "conversation_id": conversation.pk,
            "seq": 1,
            "position": await aside(position_at)(conversation_topic(conversation.pk), 1),
            "resumed": False,
        }
        await aside(say)(conversation, ana, "after")
        assert (await socket.receive())["content"] == "after"


async def test_ping_is_answered(ana, conversation, connect):
    async with connect(ana, chat_path(conversation)) as socket:
        await socket.send({"type": "ping", "ref": "p1"})
        pong = await socket.receive()

    assert pong.pop("server_time").endswith("Z")
    assert pong == {"type": "pong", "ref": "p1"}
