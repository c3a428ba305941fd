"""Notices of the chat on notifications sockets: every message of others, for as long as one is a member."""

import pytest

from accounts.models import User
from chat import services
from notifications import consumers
from notifications.models import Notification
from tests.chat.speaking import aside, chat_path, say
from tests.factories import make_conversation, make_user

PATH = "/ws/notifications/"


@pytest.fixture
def mallory(db: None) -> User:
    return make_user("mallory")


async def test_members_are_told_that_somebody_wrote_and_the_sender_is_not(
    ana, bruno, clara, conversation, connect
):
    async with (
        connect(ana, PATH) as sender,
        connect(bruno, PATH) as receiver,
        connect(clara, PATH) as stranger,
    ):
        await aside(say)(conversation, ana, "secret words")

        notice = await receiver.receive()
        assert (notice["type"], notice["data"]) == ("message_received", {"conversation_id": conversation.pk})
        assert "ana" in notice["message"]
        assert "secret words" not in str(notice)
        assert await sender.receives_nothing()
        assert await stranger.receives_nothing()


async def test_other_events_of_a_conversation_are_no_notice(ana, bruno, group, connect):
    sent = await aside(say)(group, ana)
    change = {"conversation_id": group.pk, "by": ana}
    async with connect(bruno, PATH) as socket:
        await aside(services.edit_message)(message_id=sent.message_id, content="new", **change)
        await aside(services.rename_conversation)(title="new", **change)
        await aside(services.delete_message)(message_id=sent.message_id, **change)
        await aside(say)(group, ana)

        assert (await socket.receive())["type"] == "message_received"
        assert await socket.receives_nothing()


async def test_conversations_that_others_begin_crowd_out_nobody(
    ana, bruno, mallory, conversation, connect, monkeypatch
):
    """Neither an open socket nor the next one loses a conversation to them."""
    monkeypatch.setattr(consumers, "MAX_TOPICS", 3)
    await aside(say)(conversation, bruno, "we talk here")

    def crowd() -> None:
        for number in range(5):
            make_conversation(mallory, ana, title=f"{number}")

    async with connect(ana, PATH) as before:
        await aside(crowd)()
        async with connect(ana, PATH) as after:
            await aside(say)(conversation, bruno)

            for socket in (before, after):
                assert (await socket.receive())["data"] == {"conversation_id": conversation.pk}


async def test_notices_begin_and_end_with_the_membership(ana, bruno, clara, group, connect):
    """On an open socket: Clara joins and is told, is removed and is told nothing more."""
    async with connect(clara, PATH) as socket, connect(bruno, PATH) as member:
        await aside(services.add_members)(conversation_id=group.pk, by=ana, users=[clara])
        await aside(say)(group, ana)
        assert (await socket.receive())["data"] == {"conversation_id": group.pk}
        await aside(services.remove_member)(conversation_id=group.pk, by=ana, user_id=clara.pk)
        await aside(say)(group, ana)

        assert [(await member.receive())["type"] for _ in range(2)] == ["message_received"] * 2
        assert await socket.receives_nothing()
    assert not await Notification.objects.filter(
        user=clara, data__conversation_id=group.pk, count__gt=1
    ).aexists()


async def test_cursor_that_cannot_be_written_any_more_is_told(ana, bruno, group, connect, monkeypatch):
    """The membership ended in another process, and this one has not heard of it yet."""
    await aside(say)(group, ana)
    async with connect(bruno, chat_path(group)) as socket:
        await aside(group.participants.filter(user=bruno).delete)()
        await socket.send({"type": "read", "up_to_seq": 1})

        assert (await socket.receive())["code"] == "not_a_participant"
