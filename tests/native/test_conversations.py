"""Subscribing to a conversation on the native socket, and the commands in it."""

import uuid

import pytest

from chat import services
from chat.events import conversation_topic
from realtime.testing import position_at
from tests.chat.speaking import aside, say


def topic_of(conversation):
    return f"conversation.{conversation.pk}"


async def test_messages_come_with_their_topic(ana, bruno, conversation, page_of):
    topic = topic_of(conversation)
    async with page_of(ana) as mine, page_of(bruno) as theirs:
        answer = await mine.ask("subscribe", topic=topic)
        assert answer == {
            "type": "subscribed",
            "ref": 1,
            "id": topic,
            "topic": topic,
            "seq": 0,
            "position": "0",
            "resumed": False,
            "reason": None,
            "snapshot": None,
        }
        await theirs.ask("subscribe", topic=topic, id=7, with_id=True)
        name = str(uuid.uuid4())
        await mine.send("send", conversation_id=conversation.pk, message="Bonjour", client_id=name)
        frames = [await mine.receive(), await mine.receive()]
        ack = next(frame for frame in frames if frame["type"] == "ack")
        told = next(frame for frame in frames if frame["type"] == "message")
        assert list(told)[:3] == ["topic", "type", "message_id"]
        assert (told["topic"], told["content"], told["seq"]) == (topic, "Bonjour", 1)
        assert (ack["ref"], ack["client_id"], ack["message_id"], ack["duplicate"]) == (
            2,
            name,
            told["message_id"],
            False,
        )
        heard = await theirs.receive()
        assert list(heard)[:3] == ["id", "topic", "type"]
        assert (heard["id"], heard["message_id"]) == (7, told["message_id"])

        again = await mine.ask("send", conversation_id=conversation.pk, message="Bonjour", client_id=name)
        assert (again["message_id"], again["duplicate"]) == (told["message_id"], True)
        edited = await mine.find(
            "edit", conversation_id=conversation.pk, message_id=told["message_id"], message="Bonsoir"
        )
        assert edited == {"type": "ack", "ref": 4, "seq": 2, "message_id": told["message_id"]}
        event = await theirs.receive_until("message_edited")
        assert (event["id"], event["content"]) == (7, "Bonsoir")
        deleted = await mine.find("delete", conversation_id=conversation.pk, message_id=told["message_id"])
        assert deleted["seq"] == 3
        event = await theirs.receive_until("message_deleted")
        assert (event["message_seq"], event["sender_id"]) == (1, ana.pk)


async def test_snapshot_and_what_follows_have_no_seam(ana, bruno, conversation, page_of):
    for number in range(5):
        await aside(say)(conversation, bruno, f"m{number}")
    async with page_of(ana) as page:
        answer = await page.ask("subscribe", topic=topic_of(conversation), snapshot=3)
        assert [row["content"] for row in answer["snapshot"]["results"]] == ["m4", "m3", "m2"]
        assert answer["snapshot"]["has_more"]
        assert answer["seq"] == answer["snapshot"]["last_seq"] == 5
        assert answer["position"] == await aside(position_at)(conversation_topic(conversation.pk), 5)
        await aside(say)(conversation, bruno, "live")
        assert (await page.receive_until("message"))["seq"] == 6


async def test_resumes_and_receipts_come_along(ana, bruno, conversation, page_of):
    for number in range(5):
        await aside(say)(conversation, bruno, f"m{number}")
    await aside(services.mark_read)(user_id=bruno.pk, conversation_id=conversation.pk, up_to_seq=5)
    since = await aside(position_at)(conversation_topic(conversation.pk), 2)
    async with page_of(ana) as page:
        await page.send("subscribe", topic=topic_of(conversation), since=since)
        assert [(await page.receive())["seq"] for _ in range(3)] == [3, 4, 5]
        answer = await page.receive()
        assert (answer["type"], answer["ref"], answer["resumed"]) == ("subscribed", 1, True)
        receipt = await page.receive()
        assert (receipt["topic"], receipt["type"], receipt["read_seq"]) == (
            topic_of(conversation),
            "receipt",
            5,
        )


@pytest.mark.parametrize("since", ["99", "-1", "abc", "1-0123456789", ""])
async def test_impossible_position_is_a_resync_or_the_snapshot(ana, bruno, conversation, page_of, since):
    await aside(say)(conversation, bruno, "one")
    async with page_of(ana) as page:
        answer = await page.ask("subscribe", topic=topic_of(conversation), since=since, id="a")
        assert answer == {
            "type": "resync",
            "ref": 1,
            "id": "a",
            "topic": topic_of(conversation),
            "reason": "unknown_position",
            "url": f"/api/conversations/{conversation.pk}/messages/?after=0",
            "seq": 1,
            "position": await aside(position_at)(conversation_topic(conversation.pk), 1),
        }
        answer = await page.ask(
            "subscribe", topic=topic_of(conversation), since=since, id="b", snapshot=True, typing=False
        )
        assert (answer["type"], answer["resumed"], answer["reason"]) == (
            "subscribed",
            False,
            "unknown_position",
        )
        assert len(answer["snapshot"]["results"]) == 1
        await aside(say)(conversation, bruno, "two")
        told = [await page.receive() for _ in range(2)]
        assert [frame["seq"] for frame in told if frame["type"] == "message"] == [2, 2]


async def test_foreign_and_unknown_conversations_look_alike(ana, bruno, dora, conversation, page_of):
    async with page_of(dora) as page:
        answers = []
        for topic in (topic_of(conversation), "conversation.999999", "conversation.x", "conversation."):
            answer = await page.ask("subscribe", topic=topic, id="i")
            answers.append({**answer, "ref": None})
        assert [answer["code"] for answer in answers] == ["not_a_participant"] * 4
        assert all(answer == answers[0] for answer in answers)
        for topic in ("user.1", "nothing", "", "conversation", "inbox.1", "mine.1", "Conversation.1"):
            answer = await page.ask("subscribe", topic=topic)
            expected = "not_a_participant" if topic == "conversation" else "unknown_topic"
            assert (answer["code"], answer["id"]) == (expected, topic)
        assert await page.is_silent()


async def test_id_of_a_subscription_is_used_once_at_a_time(ana, conversation, page_of):
    topic = topic_of(conversation)
    async with page_of(ana) as page:
        assert (await page.ask("unsubscribe", id="a"))["code"] == "unknown_subscription"
        await page.ask("subscribe", topic=topic)
        again = await page.ask("subscribe", topic=topic)
        assert (again["code"], again["id"]) == ("id_in_use", topic)
        over = await page.ask("unsubscribe", id=topic)
        assert over == {"type": "unsubscribed", "ref": 4, "id": topic, "topic": topic, "code": None}
        assert (await page.ask("subscribe", topic=topic))["type"] == "subscribed"
        assert (await page.ask_wrong("subscribe", topic=topic, id=[]))["code"] == "invalid_frame"


async def test_ended_subscription_is_told_no_more_and_its_neighbour_is(ana, bruno, conversation, page_of):
    topic = topic_of(conversation)
    async with page_of(ana) as page:
        await page.ask("subscribe", topic=topic)
        await page.ask("subscribe", topic=topic, id="other", with_id=True)
        await page.ask("unsubscribe", id=topic)
        await aside(say)(conversation, bruno, "hello")
        told = await page.receive()
        assert (told["id"], told["content"]) == ("other", "hello")
        assert await page.is_silent()


async def test_so_many_subscriptions_and_no_more(ana, conversation, page_of, unlimited):
    async with page_of(ana) as page:
        for number in range(200):
            assert (await page.ask("subscribe", topic=topic_of(conversation), id=number))[
                "type"
            ] == "subscribed"
        answer = await page.ask("subscribe", topic=topic_of(conversation), id=200)
        assert (answer["code"], answer["id"]) == ("rate_limited", 200)
        await page.ask("unsubscribe", id=0)
        assert (await page.ask("subscribe", topic="inbox"))["type"] == "subscribed"


async def test_removed_member_is_told_so_and_keeps_the_socket(ana, bruno, dora, group, page_of):
    async with page_of(dora) as page:
        await page.ask("subscribe", topic=topic_of(group))
        await page.ask("subscribe", topic="inbox")
        await aside(services.remove_member)(conversation_id=group.pk, by=ana, user_id=dora.pk)
        assert (await page.receive_until("member_removed"))["user_id"] == dora.pk
        over = await page.receive()
        assert over == {
            "type": "unsubscribed",
            "ref": None,
            "id": topic_of(group),
            "topic": topic_of(group),
            "code": "not_a_participant",
        }
        await aside(say)(group, ana, "secret")
        assert await page.is_silent()


async def test_typing_is_told_to_the_others(ana, bruno, conversation, page_of):
    async with page_of(ana) as mine, page_of(bruno) as theirs, page_of(bruno) as quiet:
        for page in (mine, theirs):
            await page.ask("subscribe", topic=topic_of(conversation))
        await quiet.ask("subscribe", topic=topic_of(conversation), typing=False)
        assert (await mine.ask("typing", conversation_id=conversation.pk, is_typing=True))["type"] == "ack"
        told = await theirs.receive()
        assert (told["topic"], told["type"], told["is_typing"]) == (topic_of(conversation), "typing", True)
        assert await quiet.is_silent()
        assert await mine.is_silent()
    # A client that goes while typing says nothing more.


async def test_acts_need_no_subscription_but_membership(ana, bruno, dora, conversation, page_of):
    async with page_of(ana) as page, page_of(dora) as stranger:
        for who, code in ((page, None), (stranger, "not_a_participant")):
            for command, fields in (
                ("send", {"message": "a"}),
                ("read", {"up_to_seq": 1}),
                ("delivered", {"up_to_seq": 1}),
                ("typing", {"is_typing": True}),
                ("conversation", {}),
                ("messages", {}),
                ("members", {}),
            ):
                answer = await who.ask(command, conversation_id=conversation.pk, **fields)
                assert answer.get("code") == code, (command, answer)
