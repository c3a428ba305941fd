"""The limits of one client on the native socket, so that others notice nothing."""

import asyncio
import threading

import pytest

from native import turns
from native.feeds import MAX_FOLLOWING
from realtime.testing import eventually
from tests.chat.speaking import aside


@pytest.mark.parametrize("topic", ["mine", "inbox"])
async def test_subscriptions_that_follow_their_user_are_few(ana, page_of, topic):
    async with page_of(ana) as page:
        for number in range(MAX_FOLLOWING):
            assert (await page.ask("subscribe", topic=topic, id=number))["type"] == "subscribed"
        answer = await page.ask("subscribe", topic=topic, id="more")
        assert (answer["code"], answer["id"], answer["retryable"]) == ("rate_limited", "more", True)
        await page.ask("unsubscribe", id=0)
        assert (await page.ask("subscribe", topic=topic, id="more"))["type"] == "subscribed"


async def test_subscriptions_that_follow_their_user_are_few_also_when_asked_for_at_once(ana, page_of):
    async with page_of(ana) as page:
        for number in range(40):
            await page.send("subscribe", topic="mine", id=number)
        answers = [await page.receive() for _ in range(40)]
    assert sorted(answer["type"] for answer in answers) == ["error"] * 36 + ["subscribed"] * MAX_FOLLOWING


async def test_pages_and_snapshots_count_with_what_is_asked_over_rest(
    ana, bruno, conversation, page_of, relais, api
):
    relais(limit_rest="1/h:6")

    def over_rest():
        return api(ana).get("/api/conversations/").status_code

    topic = f"conversation.{conversation.pk}"
    async with page_of(ana) as page, page_of(bruno) as other:
        assert await aside(over_rest)() == 200
        assert (await page.ask("conversations"))["type"] == "ack"
        assert (await page.ask("notifications"))["type"] == "ack"
        assert (await page.ask("subscribe", topic=topic, id=1, snapshot=1))["type"] == "subscribed"
        assert (await page.ask("subscribe", topic="mine"))["type"] == "subscribed"
        assert (await page.ask("subscribe", topic="inbox"))["type"] == "subscribed"
        for command, fields in (
            ("conversations", {}),
            ("messages", {"conversation_id": conversation.pk}),
            ("subscribe", {"topic": topic, "id": 2, "snapshot": True}),
            ("subscribe", {"topic": "mine", "id": 3}),
        ):
            answer = await page.ask(command, **fields)
            assert (answer["code"], answer["retryable"]) == ("rate_limited", True), command
            assert answer["retry_after_ms"] > 0
        assert await aside(over_rest)() == 429
        # Commands that cost next to nothing do not count, and another user has a limit of their own.
        assert (await page.ask("subscribe", topic=topic, id=2))["type"] == "subscribed"
        assert (await other.ask("conversations"))["type"] == "ack"


@pytest.mark.usefixtures("unjudged")  # the test adds a command of its own
async def test_work_of_one_user_leaves_threads_to_others(ana, bruno, page_of, patient, monkeypatch):
    """This holds however many sockets the user has, and however much they ask at once."""
    from native.commands import COMMANDS, in_thread

    under_way, most, go_on = set(), [0], threading.Event()

    @in_thread("slow", type(COMMANDS["ping"].fields()))
    def slow(user, wish):
        under_way.add(threading.get_ident())
        most[0] = max(most[0], len(under_way))
        go_on.wait(20)
        under_way.discard(threading.get_ident())

    try:
        async with page_of(ana) as one, page_of(ana) as two, page_of(bruno) as other:
            for page in (one, two):
                for number in range(20):
                    await page.socket.send({"type": "slow", "id": number, "ref": number})
            await eventually(lambda: len(under_way) == turns.AT_ONCE)
            assert (await asyncio.wait_for(other.ask("conversations"), 15))["type"] == "ack"
            go_on.set()
            for page in (one, two):
                assert {(await page.receive())["ref"] for _ in range(20)} == set(range(20))
        assert most == [turns.AT_ONCE]
    finally:
        go_on.set()
        del COMMANDS["slow"]
