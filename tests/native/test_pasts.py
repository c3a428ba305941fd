"""Subscriptions where the log is another one, goes back less far, or was closed to the member for a while."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import transaction

from chat import services
from chat.events import conversation_topic
from realtime import log, user_topic
from realtime.models import LoggedEvent, Topic
from realtime.testing import eventually, position_at
from tests.chat.speaking import aside, say
from tests.chat.test_another_past import look, restore, say_unheard


def topic_of(conversation: Any) -> str:
    return f"conversation.{conversation.pk}"


@pytest.fixture
def spoken(conversation, bruno):
    """A conversation with five messages."""
    for number in range(1, 6):
        say(conversation, bruno, f"old {number}")
    return conversation


async def is_looked_at(hub: Any, topic: str) -> None:
    """Wait until the hub knows where a topic stands, and can tell another past from that."""
    await eventually(lambda: (there := hub.audience(topic)) and there.mark != "")


async def replace_past(hub: Any, conversation: Any, sender: Any) -> None:
    """Restore the database, and send other messages, which take the places of the lost ones."""
    topic = conversation_topic(conversation.pk)
    await is_looked_at(hub, topic)

    @aside
    @transaction.atomic  # otherwise the hub may look in between
    def begin_another_past() -> None:
        restore(conversation, 3)
        say_unheard(conversation, sender, "new 4", "new 5", "new 6")

    await begin_another_past()
    await look(hub, topic)


@pytest.mark.parametrize("wished", [{}, {"snapshot": True}])
async def test_open_conversation_is_told_to_load_its_history(bruno, ana, spoken, page_of, hub, wished):
    async with page_of(ana) as page:
        await page.ask("subscribe", topic=topic_of(spoken), id="a", **wished)
        await page.ask("subscribe", topic="inbox")
        await replace_past(hub, spoken, bruno)
        resync = await page.receive_until("resync")
        assert (resync["ref"], resync["id"], resync["topic"]) == (None, "a", topic_of(spoken))
        assert (resync["reason"], resync["seq"]) == ("unknown_position", 6)
        assert resync["position"] == await aside(position_at)(conversation_topic(spoken.pk), 6)
        await aside(say)(spoken, bruno, "live")
        assert (await page.receive_until("message"))["seq"] == 7
        assert (await page.find("unsubscribe", id="a"))["type"] == "unsubscribed"
    assert hub.audience(conversation_topic(spoken.pk)) is None


async def test_open_mine_is_told_which_conversation_to_load(bruno, ana, spoken, group, page_of, hub):
    async with page_of(ana) as page:
        await page.ask("subscribe", topic="mine", id="m")
        await replace_past(hub, spoken, bruno)
        resync = await page.receive_until("resync")
        assert (resync["ref"], resync["id"], resync["topic"]) == (None, "m", topic_of(spoken))
        assert (resync["reason"], resync["seq"]) == ("unknown_position", 6)
        await aside(say)(spoken, bruno, "live")
        told = await page.receive_until("message")
        assert (told["topic"], told["seq"]) == (topic_of(spoken), 7)
        await aside(say)(group, bruno, "elsewhere")
        assert (await page.receive_until("message"))["topic"] == topic_of(group)


@pytest.mark.parametrize("topic", ["conversation", "mine"])
async def test_subscription_that_ends_while_another_past_is_found_hears_nothing_more(
    bruno, ana, spoken, page_of, hub, monkeypatch, topic
):
    """The client ends it while the server asks whose log the other one is."""
    name = topic_of(spoken) if topic == "conversation" else topic
    async with page_of(ana) as page:
        await page.ask("subscribe", topic=name)
        [feed] = [kept for kept in _feeds_of(hub, spoken) if kept.topic == name]
        run, ended = type(feed.socket).run, []

        async def ended_meanwhile(socket: Any, *args: Any) -> Any:
            found = await run(socket, *args)
            socket.forget_feed(feed)
            ended.append(feed)
            return found

        async def looked_up(feed: Any) -> Any:
            found = await look_up(feed)
            feed.socket.forget_feed(feed)
            ended.append(feed)
            return found

        if topic == "mine":
            monkeypatch.setattr(type(feed.socket), "run", ended_meanwhile)
        else:
            look_up = type(feed)._look_up
            monkeypatch.setattr(type(feed), "_look_up", looked_up)
        await replace_past(hub, spoken, bruno)
        await eventually(lambda: ended)
        assert await page.is_silent()
        assert hub.audience(conversation_topic(spoken.pk)) is None


def _feeds_of(hub: Any, conversation: Any) -> list[Any]:
    audience = hub.audience(conversation_topic(conversation.pk))
    return list({subscription.id for subscription in audience.subscriptions()}) if audience else []


@pytest.mark.parametrize("since", [4, 5])
async def test_position_that_a_restore_lost_is_a_resync_or_the_snapshot(
    bruno, ana, spoken, group, page_of, since
):
    lost = await aside(position_at)(conversation_topic(spoken.pk), since)
    await aside(restore)(spoken, 3)
    for number in range(4, 8):
        await aside(say)(spoken, bruno, f"new {number}")
    async with page_of(ana) as page:
        answer = await page.ask("subscribe", topic=topic_of(spoken), since=lost, id=1)
        assert (answer["type"], answer["reason"], answer["seq"]) == ("resync", "unknown_position", 7)
        answer = await page.ask("subscribe", topic=topic_of(spoken), since=lost, snapshot=2, id=2)
        assert (answer["type"], answer["reason"], answer["resumed"]) == (
            "subscribed",
            "unknown_position",
            False,
        )
        assert [row["content"] for row in answer["snapshot"]["results"]] == ["new 7", "new 6"]
        ref = await page.send("subscribe", topic="mine", since={topic_of(spoken): lost}, id=3)
        resync = await page.receive_until("resync")
        assert (resync["ref"], resync["id"], resync["topic"]) == (None, 3, topic_of(spoken))
        answer = await page.receive()
        assert (answer["type"], answer["ref"], answer["resumed"]) == ("subscribed", ref, True)
        assert answer["positions"][topic_of(spoken)] == resync["position"]


async def test_pruned_position_is_too_old(bruno, ana, spoken, page_of):
    since = await aside(position_at)(conversation_topic(spoken.pk), 2)
    await aside(log.prune)(conversation_topic(spoken.pk), up_to=3)
    async with page_of(ana) as page:
        answer = await page.ask("subscribe", topic=topic_of(spoken), since=since, id=1)
        assert (answer["type"], answer["reason"], answer["seq"]) == ("resync", "too_old", 5)
        answer = await page.ask("subscribe", topic=topic_of(spoken), since=since, snapshot=True, id=2)
        assert (answer["type"], answer["reason"]) == ("subscribed", "too_old")
        await page.send("subscribe", topic="mine", since={topic_of(spoken): since}, id=3)
        assert (await page.receive_until("resync"))["reason"] == "too_old"


async def test_inbox_of_another_past_begins_anew(ana, page_of, tell_inbox):
    for number in range(3):
        await tell_inbox(ana, number)
    lost = await aside(position_at)(user_topic(ana.pk), 3)
    pruned = await aside(position_at)(user_topic(ana.pk), 1)

    def restored() -> None:
        LoggedEvent.objects.filter(topic__name=user_topic(ana.pk), seq__gt=1).delete()
        Topic.objects.filter(name=user_topic(ana.pk)).update(head=1)

    await aside(restored)()
    for number in range(10, 13):
        await tell_inbox(ana, number)
    async with page_of(ana) as page:
        answer = await page.ask("subscribe", topic="inbox", since=lost, id=1)
        assert (answer["type"], answer["reason"], answer["url"]) == (
            "resync",
            "unknown_position",
            "/api/notifications/",
        )
        answer = await page.ask("subscribe", topic="inbox", since=lost, snapshot=True, id=2)
        assert (answer["type"], answer["reason"], answer["resumed"]) == (
            "subscribed",
            "unknown_position",
            False,
        )
        await aside(log.prune)(user_topic(ana.pk), up_to=2)
        answer = await page.ask("subscribe", topic="inbox", since=pruned, id=3)
        assert (answer["type"], answer["reason"]) == ("resync", "too_old")
        await tell_inbox(ana, 99)
        told = [await page.receive() for _ in range(3)]
        assert [frame["data"] for frame in told] == [{"payment_id": 99}] * 3


async def test_member_who_left_and_came_back_begins_anew(ana, bruno, dora, group, page_of):
    await aside(say)(group, ana, "one")
    since = await aside(position_at)(conversation_topic(group.pk), 1)
    await aside(services.remove_member)(conversation_id=group.pk, by=ana, user_id=dora.pk)
    await aside(say)(group, ana, "in their absence")
    await aside(services.add_members)(conversation_id=group.pk, by=ana, users=[dora], role="member")
    await aside(say)(group, ana, "back")
    async with page_of(dora) as page:
        answer = await page.ask("subscribe", topic=topic_of(group), since=since, id=1)
        assert (answer["type"], answer["reason"]) == ("resync", "rejoined")
        answer = await page.ask("subscribe", topic=topic_of(group), since=since, snapshot=True, id=2)
        assert (answer["type"], answer["reason"]) == ("subscribed", "rejoined")
        assert [row["content"] for row in answer["snapshot"]["results"]] == ["back"]
        await page.send("subscribe", topic="mine", since={topic_of(group): since}, id=3)
        assert (await page.receive_until("resync"))["reason"] == "rejoined"


async def test_newcomer_with_a_number_from_before_is_told_everything_since(ana, bruno, clara, group, page_of):
    await aside(say)(group, ana, "not for Clara")
    await aside(services.add_members)(conversation_id=group.pk, by=ana, users=[clara], role="member")
    await aside(say)(group, ana, "welcome")
    async with page_of(clara) as page:
        ref = await page.send("subscribe", topic=topic_of(group), since=0)
        told = []
        while (frame := await page.receive()).get("ref") != ref:
            told.append((frame["type"], frame.get("content")))
        assert ("message", "welcome") in told
        assert ("message", "not for Clara") not in told
        assert (frame["type"], frame["resumed"], frame["seq"]) == ("subscribed", True, 3)


async def test_right_that_ended_on_the_way_ends_a_resume(ana, bruno, dora, group, page_of, hub):
    """The member is removed while the missed events are told: they are told up to the removal, and nothing
    after it."""
    await aside(say)(group, ana, "one")
    since = await aside(position_at)(conversation_topic(group.pk), 1)
    await aside(say)(group, ana, "two")
    async with page_of(dora) as page:
        await page.send("subscribe", topic=topic_of(group), since=since)
        await page.send("subscribe", topic="mine", since={topic_of(group): since}, id="m")
        await aside(services.remove_member)(conversation_id=group.pk, by=ana, user_id=dora.pk)
        await aside(say)(group, ana, "secret")
        told = []
        while not _is_settled(told):
            told.append(await page.receive())
        ref = await page.send("ping")
        while (frame := await page.receive()).get("ref") != ref:
            # `conversation_left` comes where the answer of `mine` was already without the conversation.
            told.append(frame)
    assert not [frame for frame in told if frame.get("content") == "secret"]
    assert hub.audience(conversation_topic(group.pk)) is None


def _is_settled(told: list[dict[str, Any]]) -> bool:
    """Whether both subscriptions are answered, and the one to the conversation is over."""
    mine = [frame for frame in told if frame.get("id") == "m" and frame["type"] == "subscribed"]
    left = [frame for frame in told if frame["type"] == "conversation_left"]
    over = [frame for frame in told if frame["type"] in ("unsubscribed", "error")]
    names = mine[0]["positions"] if mine else {}
    return bool(mine and over and (left or not names))
