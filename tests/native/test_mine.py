"""The subscription to all one's own conversations, and the inbox."""

import pytest

from chat import selectors, services
from chat.events import conversation_topic
from chat.native import mine
from chat.native.mine import conversations_now
from notifications.services import notify
from realtime import UnavailableError, user_topic
from realtime.hub.window import Window
from realtime.testing import eventually, position_at
from tests.chat.speaking import aside, say
from tests.factories import make_conversation


async def test_snapshot_has_conversations_with_unread_counts(ana, bruno, conversation, group, page_of):
    await aside(say)(conversation, bruno, "one")
    await aside(say)(group, bruno, "two")
    await aside(say)(group, bruno, "three")
    async with page_of(ana) as page:
        answer = await page.ask("subscribe", topic="mine", snapshot=True)
        rows = answer["snapshot"]["results"]
        assert {row["id"]: row["unread_count"] for row in rows} == {group.pk: 2, conversation.pk: 1}
        assert answer["positions"] == {f"conversation.{row['id']}": row["last_position"] for row in rows}
        await aside(say)(conversation, bruno, "live")
        told = await page.receive()
        assert (told["topic"], told["content"]) == (f"conversation.{conversation.pk}", "live")


async def test_follows_its_user_in_and_out(ana, bruno, dora, conversation, page_of):
    async with page_of(dora) as page:
        answer = await page.ask("subscribe", topic="mine")
        assert answer["positions"] == {}
        group = await aside(make_conversation)(ana, bruno, title="Project")
        await aside(services.add_members)(conversation_id=group.pk, by=ana, users=[dora], role="member")
        joined = await page.receive_until("conversation_joined")
        assert (joined["topic"], joined["conversation_id"]) == ("mine", group.pk)
        await aside(say)(group, ana, "welcome")
        assert (await page.receive_until("message"))["topic"] == f"conversation.{group.pk}"
        await aside(services.remove_member)(conversation_id=group.pk, by=ana, user_id=dora.pk)
        await page.receive_until("member_removed")
        await aside(say)(group, ana, "secret")
        left = await page.receive_until("conversation_left")
        assert (left["topic"], left["conversation_id"]) == ("mine", group.pk)
        assert await page.is_silent()


@pytest.mark.parametrize("since", [None, {"mine": "0"}], ids=["anew", "resumed"])
async def test_conversation_joined_while_the_answer_is_made_follows_it(
    ana, bruno, dora, page_of, monkeypatch, since
):
    group = await aside(make_conversation)(ana, bruno, title="Project")

    def read_and_join(*arguments):
        now = conversations_now(*arguments)
        services.add_members(conversation_id=group.pk, by=ana, users=[dora], role="member")
        return now

    monkeypatch.setattr(mine, "conversations_now", read_and_join)
    async with page_of(dora) as page:
        answer = await page.ask("subscribe", topic="mine", **({"since": since} if since else {}))
        topic = conversation_topic(group.pk)
        assert answer["positions"] == {}
        joined = await page.receive_until("conversation_joined")
        assert (joined["conversation_id"], joined["conversation_seq"]) == (group.pk, 1)
        await aside(say)(group, ana, "welcome")
        told = await page.receive_until("message")
        assert (told["topic"], told["seq"]) == (topic, 2)


async def test_conversation_left_and_joined_again_while_it_is_resumed_ends_and_begins(
    ana, bruno, dora, page_of, monkeypatch
):
    group = await aside(make_conversation)(ana, bruno, title="Project")
    topic = conversation_topic(group.pk)
    join = aside(services.add_members)
    await join(conversation_id=group.pk, by=ana, users=[dora], role="member")

    def read_leave_and_join(*arguments):
        now = conversations_now(*arguments)
        services.remove_member(conversation_id=group.pk, by=ana, user_id=dora.pk)
        services.add_members(conversation_id=group.pk, by=ana, users=[dora], role="member")
        return now

    monkeypatch.setattr(mine, "conversations_now", read_leave_and_join)
    async with page_of(dora) as page:
        since = {"mine": await aside(position_at)(user_topic(dora.pk), 1)}
        since |= {topic: await aside(position_at)(topic, 1)}
        await page.send("subscribe", topic="mine", since=since)
        frames = [await page.receive()]
        while frames[-1]["type"] != "conversation_joined":
            frames.append(await page.receive())
        await aside(say)(group, ana, "welcome")
        told = await page.receive_until("message")

    own = [(frame["type"], frame["seq"]) for frame in frames if frame["topic"] == "mine"]
    assert own == [("subscribed", 1), ("conversation_left", 2), ("conversation_joined", 3)]
    # As far as it was told before: the removal may have been, and what follows has not.
    said = next(frame for frame in frames if frame["type"] == "subscribed")["positions"]
    assert said in ({}, {topic: since[topic]})
    assert (told["topic"], told["seq"]) == (topic, 4)


async def test_resumes_each_conversation(ana, bruno, dora, conversation, group, page_of):
    for where in (conversation, group):
        for number in range(3):
            await aside(say)(where, bruno, f"m{number}")
    since = {
        conversation_topic(conversation.pk): await aside(position_at)(conversation_topic(conversation.pk), 1)
    }
    since[conversation_topic(group.pk)] = "99"
    async with page_of(ana) as page:
        await page.send("subscribe", topic="mine", since=since, snapshot=1)
        frames = [await page.receive() for _ in range(4)]
        resync = next(frame for frame in frames if frame["type"] == "resync")
        assert (resync["topic"], resync["reason"], resync["id"]) == (
            f"conversation.{group.pk}",
            "unknown_position",
            "mine",
        )
        assert [frame["seq"] for frame in frames if frame["type"] == "message"] == [2, 3]
        answer = frames[-1]
        assert (answer["type"], answer["resumed"]) == ("subscribed", True)
        assert set(answer["positions"]) == {f"conversation.{each.pk}" for each in (conversation, group)}
        assert len(answer["snapshot"]["results"]) == 1


async def test_own_reading_is_told_to_all_devices(ana, bruno, conversation, page_of):
    ana.shares_receipts = False
    await aside(ana.save)()
    for number in range(3):
        await aside(say)(conversation, bruno, f"m{number}")
    async with page_of(ana) as phone, page_of(ana) as desk:
        for page in (phone, desk):
            await page.ask("subscribe", topic="mine")
        await phone.send("read", conversation_id=conversation.pk, up_to_seq=2)
        for page in (phone, desk):
            told = await page.receive_until("conversation_read")
            assert told == {
                "topic": "mine",
                "type": "conversation_read",
                "conversation_id": conversation.pk,
                "read_seq": 2,
                "delivered_seq": 2,
                "unread_count": 1,
                "last_seq": 3,
            }


async def test_inbox_has_a_snapshot_and_goes_on(ana, bruno, conversation, page_of):
    await aside(notify)(user=ana, kind="payment_completed", data={"payment_id": 1})
    async with page_of(ana) as page:
        answer = await page.ask("subscribe", topic="inbox", snapshot=5)
        assert answer["unread_count"] == answer["snapshot"]["unread_count"] == 1
        [entry] = answer["snapshot"]["results"]
        assert entry["type"] == "payment_completed"
        await aside(notify)(user=ana, kind="payment_completed", data={"payment_id": 2})
        told = await page.receive()
        assert (told["topic"], told["type"], told["data"]) == (
            "inbox",
            "payment_completed",
            {"payment_id": 2},
        )
        await aside(say)(conversation, bruno, "hello")
        notice = await page.receive_until("message_received")
        assert (notice["topic"], notice["data"]) == ("inbox", {"conversation_id": conversation.pk})
        answer = await page.find("notifications.read", ids=[entry["id"]])
        assert answer["result"]["unread_count"] >= 1
        listed = await page.find("notifications", limit=1)
        assert len(listed["result"]["results"]) == 1
        assert (await page.find("notifications.read_all"))["result"]["unread_count"] == 0
        assert (await page.find("notifications.unread_count"))["result"] == {"unread_count": 0}


async def test_inbox_resumes(ana, page_of):
    for number in range(3):
        await aside(notify)(user=ana, kind="payment_completed", data={"payment_id": number})
    async with page_of(ana) as page:
        await page.send("subscribe", topic="inbox", since="1", notices=False)
        assert [(await page.receive())["seq"] for _ in range(2)] == [2, 3]
        answer = await page.receive()
        assert (answer["type"], answer["resumed"], answer["unread_count"]) == ("subscribed", True, 3)
        refused = await page.ask("subscribe", topic="inbox", id="b", since="77")
        assert (refused["type"], refused["url"]) == ("resync", "/api/notifications/")


async def test_commands_do_what_rest_does(ana, bruno, dora, page_of, hub):
    async with page_of(ana) as page:
        made = (await page.ask("conversation.create", participants=["bruno"], title="Project"))["result"]
        assert (made["kind"], made["title"]) == ("group", "Project")
        where = {"conversation_id": made["id"]}
        assert (await page.ask("conversation.rename", **where, title="Plan"))["result"]["title"] == "Plan"
        [added] = (await page.ask("members.add", **where, participants=["dora"]))["result"]
        assert added["username"] == "dora"
        changed = (await page.ask("members.role", **where, user_id=dora.pk, role="admin"))["result"]
        assert changed["role"] == "admin"
        assert len((await page.ask("members", **where))["result"]) == 3
        assert (await page.ask("members.remove", **where, user_id=dora.pk))["result"] is None
        listed = (await page.ask("conversations", limit=1))["result"]
        assert [row["id"] for row in listed["results"]] == [made["id"]]
        assert (await page.ask_wrong("conversations", cursor="nonsense"))["code"] == "invalid_frame"
        assert (await page.ask("members.add", **where, participants=["nobody"]))["code"] == "unknown_user"
        history = (await page.ask("messages", **where))["result"]
        assert history["results"] == []
        await eventually(lambda: True)


@pytest.mark.parametrize("behind", [0, 1])
async def test_all_that_was_missed_comes_before_the_answer(ana, bruno, conversation, group, page_of, behind):
    topics = [conversation_topic(conversation.pk), conversation_topic(group.pk)]
    for where in (conversation, group):
        for number in range(3):
            await aside(say)(where, bruno, f"m{number}")
    since = {topic: await aside(position_at)(topic, 3) for topic in topics}
    since[topics[behind]] = await aside(position_at)(topics[behind], 1)
    async with page_of(ana) as page:
        await page.send("subscribe", topic="mine", since=since)
        told = [await page.receive() for _ in range(3)]

    assert [(frame["topic"], frame["seq"]) for frame in told[:2]] == [
        (topics[behind], 2),
        (topics[behind], 3),
    ]
    assert told[2]["type"] == "subscribed"


async def test_resume_that_cannot_be_read_is_answered_with_the_error(
    ana, bruno, conversation, page_of, monkeypatch
):
    await aside(say)(conversation, bruno, "one")

    def away(*_: object) -> None:
        raise UnavailableError

    monkeypatch.setattr(selectors, "memberships_of", away)
    async with page_of(ana) as page:
        since = {conversation_topic(conversation.pk): "1-0123456789"}
        answer = await page.ask("subscribe", topic="mine", since=since)
        assert (answer["code"], answer["id"]) == ("unavailable", "mine")
        assert (await page.ask("subscribe", topic="mine"))["type"] == "subscribed"


async def test_message_that_waits_to_be_written_counts_as_told_when_all_is_resumed(
    ana, bruno, conversation, page_of, hub, monkeypatch
):
    """It comes before the answer, whose `positions` it is part of: a client goes on after those."""
    topic = conversation_topic(conversation.pk)
    await aside(say)(conversation, bruno, "one")
    since = {topic: await aside(position_at)(topic, 1)}

    async def say_meanwhile(_feed, _page):
        with monkeypatch.context() as patch:
            patch.setattr(Window, "wait", lambda *_: 600.0)  # the topic is busy: what is said waits for more
            await aside(say)(conversation, bruno, "meanwhile")
            await eventually(lambda: hub.audience(topic).position == 2)

    monkeypatch.setattr(mine.MineFeed, "room_for", say_meanwhile)
    async with page_of(ana) as page:
        await page.send("subscribe", topic="mine", since=since, snapshot=True)
        told, answer = [await page.receive() for _ in range(2)]

    assert (told["type"], told["content"]) == ("message", "meanwhile")
    assert (answer["type"], answer["positions"]) == (
        "subscribed",
        {topic: await aside(position_at)(topic, 2)},
    )


@pytest.mark.parametrize("own", [None, "0", "1-0123456789", "999", "nonsense"])
async def test_what_was_joined_and_left_is_said_by_positions_whatever_since_says_of_mine(
    ana, bruno, dora, group, page_of, own
):
    """Dora was in one conversation, and is in another one now; each stands in one of the two."""
    topic = conversation_topic(group.pk)
    since = {topic: await aside(position_at)(topic, 0)} | ({} if own is None else {"mine": own})
    await aside(services.remove_member)(conversation_id=group.pk, by=ana, user_id=dora.pk)
    joined = await aside(make_conversation)(ana, dora)
    async with page_of(dora) as page:
        answer = await page.ask("subscribe", topic="mine", since=since)
        assert (answer["type"], answer["resumed"]) == ("subscribed", True)
        assert list(answer["positions"]) == [conversation_topic(joined.pk)]
        assert await page.is_silent()
        await aside(services.add_members)(conversation_id=group.pk, by=ana, users=[dora], role="member")
        assert (await page.receive_until("conversation_joined"))["seq"] == answer["seq"] + 1
