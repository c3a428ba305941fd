"""Receipts that come with a subscription on the native socket: about whom, and until when."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from chat import services
from chat.events import conversation_topic
from chat.native import conversation as feed_of_one
from realtime.testing import position_at
from realtime.wire.outbox import Outbox
from tests.chat.speaking import aside, chat_path, say


def topic_of(conversation: Any) -> str:
    return f"conversation.{conversation.pk}"


async def read(user: Any, conversation: Any, up_to_seq: int) -> None:
    await aside(services.mark_read)(user_id=user.pk, conversation_id=conversation.pk, up_to_seq=up_to_seq)


@pytest.mark.parametrize("while_", ["they are read", "there is no room for them"])
async def test_receipts_that_are_on_their_way_are_not_told_after_unsubscribed(
    ana, bruno, conversation, page_of, monkeypatch, while_
):
    await aside(say)(conversation, ana, "one")
    await read(bruno, conversation, 1)
    receipts_in, room_for = feed_of_one.receipts_in, Outbox.room_for
    tell = feed_of_one.ConversationFeed._tell_receipts
    are_read, waits, go_on, is_over = (asyncio.Event() for _ in range(4))

    async def held_back() -> None:
        waits.set()
        await go_on.wait()

    async def look(conversation_id: int) -> Any:
        found = await receipts_in(conversation_id)
        are_read.set()
        if while_ == "they are read":
            await held_back()
        return found

    async def room(outbox: Outbox, size: int) -> None:
        if while_ == "there is no room for them" and are_read.is_set():
            await held_back()
        await room_for(outbox, size)

    async def told(feed: Any) -> None:
        await tell(feed)
        is_over.set()

    monkeypatch.setattr(feed_of_one, "receipts_in", look)
    monkeypatch.setattr(Outbox, "room_for", room)
    monkeypatch.setattr(feed_of_one.ConversationFeed, "_tell_receipts", told)
    async with page_of(ana) as page:
        await page.ask("subscribe", topic=topic_of(conversation), snapshot=True)
        await waits.wait()
        assert (await page.ask("unsubscribe", id=topic_of(conversation)))["type"] == "unsubscribed"
        go_on.set()
        await is_over.wait()
        assert await page.is_silent()
        # One that does not end meanwhile is told them.
        await page.ask("subscribe", topic=topic_of(conversation), snapshot=True)
        assert (await page.receive_until("receipt"))["user_id"] == bruno.pk


@pytest.mark.parametrize("begins", ["snapshot", "since"])
async def test_ones_own_cursors_do_not_come_along_as_they_do_not_on_the_chat_socket(
    ana, bruno, dora, group, page_of, connect, begins
):
    """Live they do, on both: another device of the same user has read."""
    for number in range(3):
        await aside(say)(group, bruno, f"m{number}")
    for member in (ana, bruno, dora):
        await read(member, group, 2)
    since = await aside(position_at)(conversation_topic(group.pk), 3)
    async with page_of(ana) as page, connect(ana, chat_path(group, f"?since={since}")) as guide:
        await guide.receive_until("subscribed")
        wish = {"snapshot": True} if begins == "snapshot" else {"since": since}
        assert (await page.ask("subscribe", topic=topic_of(group), **wish))["type"] == "subscribed"
        # The members stand in the order of their arrival, so that Ana's would have come first.
        for receive in (page.receive, guide.receive):
            assert [(await receive())["user_id"] for _ in range(2)] == [bruno.pk, dora.pk]
        assert await page.is_silent()
        assert await guide.receives_nothing()

        await read(ana, group, 3)
        for receive in (page.receive, guide.receive):
            told = await receive()
            assert (told["type"], told["user_id"], told["read_seq"]) == ("receipt", ana.pk, 3)
