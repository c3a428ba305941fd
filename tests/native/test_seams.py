"""Writes during a snapshot, answers among events, and what a subscription that ends leaves behind."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any

import pytest

from chat import answers as chat_answers
from chat import services
from chat.errors import NotAParticipantError
from chat.events import conversation_topic
from chat.native import conversation as feed_of_one
from chat.native import mine
from native import pages
from notifications import answers as inbox_answers
from realtime import user_topic
from realtime.errors import UnavailableError
from realtime.hub import pages as hub_pages
from realtime.testing import eventually, position_at
from tests.chat.speaking import aside, say


def topic_of(conversation: Any) -> str:
    return f"conversation.{conversation.pk}"


def just_before(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, write: Any) -> list[str]:
    """Once, let another thread commit something before a function reads; that thread has its own
    connection."""
    import threading

    from django.db import connections

    function, written = getattr(owner, name), []

    def there() -> None:
        try:
            write()
        finally:
            connections.close_all()

    def read(*args: Any, **options: Any) -> Any:
        if not written:
            written.append(name)
            thread = threading.Thread(target=there)
            thread.start()
            thread.join()
        return function(*args, **options)

    monkeypatch.setattr(owner, name, read)
    return written


async def test_message_changed_while_a_page_is_read_is_told_after_it(
    ana, bruno, conversation, page_of, monkeypatch
):

    sent = await aside(say)(conversation, bruno, "as it was")

    def edit() -> None:
        services.edit_message(
            conversation_id=conversation.pk, message_id=sent.message_id, by=bruno, content="edited"
        )

    written = just_before(monkeypatch, chat_answers, "history", edit)
    async with page_of(ana) as page:
        answer = await page.ask("subscribe", topic=topic_of(conversation), snapshot=True)
        assert written
        assert (answer["seq"], answer["snapshot"]["results"][0]["content"]) == (1, "as it was")
        told = await page.receive_until("message_edited")
        assert (told["seq"], told["content"]) == (2, "edited")
        await aside(say)(conversation, bruno, "live")
        assert (await page.receive_until("message"))["seq"] == 3


async def test_conversation_that_moves_while_a_list_is_read_goes_on_from_there(
    ana, bruno, conversation, page_of, monkeypatch
):
    await aside(say)(conversation, bruno, "one")
    written = just_before(
        monkeypatch, mine, "conversations_page", lambda: say(conversation, bruno, "meanwhile")
    )
    async with page_of(ana) as page:
        answer = await page.ask("subscribe", topic="mine", snapshot=True)
        [row] = answer["snapshot"]["results"]
        assert written
        assert (row["last_seq"], row["unread_count"]) == (1, 1)
        assert answer["positions"] == {topic_of(conversation): row["last_position"]}
        assert (await page.receive_until("message"))["seq"] == 2


async def test_entry_that_arrives_while_an_inbox_is_read_is_told_after_it(
    ana, page_of, monkeypatch, tell_inbox
):
    await tell_inbox(ana, 1)
    written = just_before(monkeypatch, inbox_answers, "inbox", lambda: tell_inbox.func(ana, 2))
    async with page_of(ana) as page:
        answer = await page.ask("subscribe", topic="inbox", snapshot=True)
        assert written
        assert [row["data"]["payment_id"] for row in answer["snapshot"]["results"]] == [1]
        assert answer["unread_count"] == answer["snapshot"]["unread_count"] == 1
        assert (await page.receive_until("payment_completed"))["data"] == {"payment_id": 2}


async def test_first_event_after_a_snapshot_is_the_next_one(ana, bruno, conversation, page_of):
    """Whichever way the subscription begins, no event is left out and none comes twice."""
    for number in range(3):
        await aside(say)(conversation, bruno, f"m{number}")
    async with page_of(ana) as page:
        since = await aside(position_at)(conversation_topic(conversation.pk), 3)
        for id_, fields in {"bare": {}, "shown": {"snapshot": True}, "back": {"since": since}}.items():
            await page.find("subscribe", topic=topic_of(conversation), id=id_, with_id=True, **fields)
        for number in range(2):
            await aside(say)(conversation, bruno, f"live {number}")
        heard: dict[str, list[int]] = {"bare": [], "shown": [], "back": []}
        while not all(seqs and seqs[-1] == 5 for seqs in heard.values()):
            told = await page.receive_until("message")
            heard[told["id"]].append(told["seq"])
    assert heard == {"bare": [4, 5], "shown": [4, 5], "back": [4, 5]}


async def test_mine_begins_where_its_list_was_read(ana, bruno, dora, page_of):
    """Conversations that were joined and left since the socket opened are not told again by a later
    subscription."""
    from tests.factories import make_conversation

    group = await aside(make_conversation)(ana, bruno, title="Project")
    async with page_of(dora) as page:
        for _ in range(2):
            await aside(services.add_members)(conversation_id=group.pk, by=ana, users=[dora], role="member")
            await aside(services.remove_member)(conversation_id=group.pk, by=ana, user_id=dora.pk)
        await aside(services.add_members)(conversation_id=group.pk, by=ana, users=[dora], role="member")
        answer = await page.ask("subscribe", topic="mine", snapshot=True)
        assert answer["position"] == await aside(position_at)(user_topic(dora.pk), 5)
        assert list(answer["positions"]) == [topic_of(group)]
        await aside(say)(group, ana, "live")
        assert (await page.receive())["type"] == "message"


async def test_unsubscribe_right_behind_subscribe_ends_the_subscription(
    ana, bruno, conversation, page_of, hub
):
    await aside(say)(conversation, bruno, "one")
    async with page_of(ana) as page:
        refs = []
        for topic in (topic_of(conversation), "mine", "inbox"):
            refs.append(await page.send("subscribe", topic=topic, snapshot=True))
            refs.append(await page.send("unsubscribe", id=topic))
        answers: dict[int, str] = {}
        while len(answers) < len(refs):
            frame = await page.receive()
            if frame.get("ref") in refs:
                answers[frame["ref"]] = frame["type"]
        assert [answers[ref] for ref in refs] == ["subscribed", "unsubscribed"] * 3
        await aside(say)(conversation, bruno, "two")
        assert await page.is_silent()
        assert hub.audience(conversation_topic(conversation.pk)) is None


async def test_two_subscriptions_of_one_topic_end_one_by_one(ana, bruno, conversation, page_of):
    async with page_of(ana) as page:
        for id_ in ("a", 2):
            await page.ask("subscribe", topic=topic_of(conversation), id=id_, with_id=True)
        await aside(say)(conversation, bruno, "one")
        assert {(await page.receive_until("message"))["id"] for _ in range(2)} == {"a", 2}
        await page.find("unsubscribe", id="a")
        await aside(say)(conversation, bruno, "two")
        assert (await page.receive_until("message"))["id"] == 2
        assert await page.is_silent()


async def test_failed_subscription_leaves_nothing(ana, bruno, conversation, page_of, hub, monkeypatch):
    """The database is away: the answer is an error with `ref` and `id`, and the socket and the others go
    on."""

    def away(*args: Any, **options: Any) -> Any:
        raise UnavailableError

    async with page_of(ana) as page:
        await page.ask("subscribe", topic="inbox", id="kept")
        with monkeypatch.context() as patch:
            patch.setattr(chat_answers, "history", away)
            patch.setattr(mine.selectors, "latest_memberships", away)
            for topic in (topic_of(conversation), "mine"):
                answer = await page.ask("subscribe", topic=topic, id=topic, snapshot=True)
                assert (answer["type"], answer["code"]) == ("error", "unavailable")
                assert (answer["id"], answer["retryable"]) == (topic, True)
                assert (await page.ask("unsubscribe", id=topic))["code"] == "unknown_subscription"
        await aside(say)(conversation, bruno, "hello")
        assert (await page.receive_until("message_received"))["topic"] == "inbox"
        assert (await page.find("subscribe", topic=topic_of(conversation), id=1))["type"] == "subscribed"
        await page.find("unsubscribe", id=1)
        await page.find("unsubscribe", id="kept")
        await eventually(lambda: hub.audience(conversation_topic(conversation.pk)) is None)


async def test_closed_socket_leaves_nothing(ana, bruno, conversation, group, page_of, hub):
    async with page_of(ana) as page:
        for topic in (topic_of(conversation), topic_of(group), "mine", "inbox"):
            await page.ask("subscribe", topic=topic, id=f"{topic} again", snapshot=True)
        subscription = hub.audience(conversation_topic(conversation.pk)).subscriptions()[0]
        socket = weakref.ref(subscription.socket)  # every feed of the socket knows it, and it knows its feeds
        del subscription
    topics = [conversation_topic(conversation.pk), conversation_topic(group.pk), user_topic(ana.pk)]
    await eventually(lambda: all(hub.audience(topic) is None for topic in topics))
    gc.collect()
    await eventually(lambda: socket() is None)


async def test_long_pages_are_cut_and_go_on_without_a_gap(ana, bruno, conversation, page_of, monkeypatch):
    monkeypatch.setattr(pages, "MAX_PAGE_BYTES", 4000)
    for number in range(20):
        await aside(say)(conversation, bruno, f"{number} " + "x" * 500)
    async with page_of(ana) as page:
        answer = await page.ask("subscribe", topic=topic_of(conversation), snapshot=20)
        found = answer["snapshot"]
        seqs = [row["seq"] for row in found["results"]]
        assert 0 < len(seqs) < 20
        while found["older_before"] is not None:
            found = (
                await page.find(
                    "messages", conversation_id=conversation.pk, before=found["older_before"], limit=20
                )
            )["result"]
            seqs += [row["seq"] for row in found["results"]]
    assert seqs == list(range(20, 0, -1))


async def test_event_of_an_inbox_has_one_id(ana, bruno, conversation, page_of, tell_inbox):
    """A subscription's id in front of a notification would be a second field with that name."""
    async with page_of(ana) as page:
        await page.ask("subscribe", topic="inbox", id="mine", with_id=True)
        await tell_inbox(ana, 1)
        assert (await page.socket.receive_text()).count('"id":') == 1
        await aside(say)(conversation, bruno, "hello")
        assert "id" not in await page.receive_until("message_received")


async def test_receipts_that_cannot_be_read_are_told_when_they_can(
    ana, bruno, conversation, page_of, monkeypatch
):
    await aside(say)(conversation, ana, "one")
    await aside(services.mark_read)(user_id=bruno.pk, conversation_id=conversation.pk, up_to_seq=1)
    reads, failures = feed_of_one.receipts_in, [UnavailableError(), UnavailableError()]

    async def sometimes(conversation_id: int) -> Any:
        if failures:
            raise failures.pop()
        return await reads(conversation_id)

    monkeypatch.setattr(feed_of_one, "receipts_in", sometimes)
    monkeypatch.setattr(feed_of_one, "RETRY_SECONDS", 0.01)
    async with page_of(ana) as page:
        await page.ask("subscribe", topic=topic_of(conversation), snapshot=True)
        receipt = await page.receive()

    assert (receipt["type"], receipt["user_id"], receipt["read_seq"]) == ("receipt", bruno.pk, 1)
    assert not failures


async def test_receipt_that_passes_a_subscription_by_while_it_catches_up_is_told_then(
    ana, bruno, conversation, page_of, monkeypatch
):
    """The subscription is behind: something is said between its snapshot and its beginning."""
    read_page, receipts_in, have_looked = hub_pages.read_page, feed_of_one.receipts_in, asyncio.Event()

    async def say_meanwhile(_feed: Any, _snapshot: Any) -> None:
        await aside(say)(conversation, ana, "meanwhile")

    async def look(conversation_id: int) -> Any:
        found = await receipts_in(conversation_id)
        have_looked.set()
        return found

    async def read_while_bruno_reads(key: Any) -> Any:
        await have_looked.wait()
        await aside(services.mark_read)(user_id=bruno.pk, conversation_id=conversation.pk, up_to_seq=1)
        return await read_page(key)

    await aside(say)(conversation, ana, "one")
    async with page_of(ana) as page:
        await page.find("subscribe", topic=topic_of(conversation), id="live")
        monkeypatch.setattr(feed_of_one.ConversationFeed, "room_for", say_meanwhile)
        monkeypatch.setattr(feed_of_one, "receipts_in", look)
        monkeypatch.setattr(hub_pages, "read_page", read_while_bruno_reads)
        await page.find("subscribe", topic=topic_of(conversation), id="late", snapshot=True, with_id=True)
        while "id" not in (receipt := await page.receive_until("receipt")):
            pass

    assert (receipt["id"], receipt["user_id"], receipt["read_seq"]) == ("late", bruno.pk, 1)


async def test_own_cursors_that_move_while_mine_is_behind_are_told_then(
    ana, bruno, conversation, page_of, hub
):
    """An access that is looked at again is told nothing meanwhile."""
    for text in ("one", "two"):
        await aside(say)(conversation, bruno, text)
    async with page_of(ana) as page:
        await page.find("subscribe", topic="mine", snapshot=True)
        [own] = [
            each
            for each in hub.audience(user_topic(ana.pk)).subscriptions()
            if isinstance(each.id, mine.MineFeed)
        ]
        own.suspend()
        await aside(services.mark_read)(user_id=ana.pk, conversation_id=conversation.pk, up_to_seq=1)
        await page.receive_until("receipt")  # told on the conversation, after what passed by
        own.resume()
        told = await page.receive_until("conversation_read")

    assert (told["conversation_id"], told["read_seq"], told["unread_count"]) == (conversation.pk, 1, 1)


async def test_subscription_that_is_given_up_while_it_opens_is_answered_with_why(
    ana, conversation, page_of, monkeypatch
):
    look_up = feed_of_one.ConversationFeed._look_up

    async def lost_meanwhile(feed: Any) -> Any:
        feed.give_up(NotAParticipantError())
        return await look_up(feed)

    monkeypatch.setattr(feed_of_one.ConversationFeed, "_look_up", lost_meanwhile)
    async with page_of(ana) as page:
        answer = await page.ask("subscribe", topic=topic_of(conversation))
        assert (answer["type"], answer["code"]) == ("error", "not_a_participant")
        monkeypatch.undo()
        assert (await page.ask("subscribe", topic=topic_of(conversation)))["type"] == "subscribed"
        assert await page.is_silent()


async def test_unread_counts_that_cannot_be_read_are_told_when_they_can(
    ana, bruno, conversation, page_of, monkeypatch
):
    await aside(say)(conversation, bruno, "one")
    reads, failures = mine.unread_in, [UnavailableError(), UnavailableError()]

    async def sometimes(share: Any) -> Any:
        if failures:
            raise failures.pop()
        return await reads(share)

    monkeypatch.setattr(mine, "unread_in", sometimes)
    monkeypatch.setattr(mine, "RETRY_SECONDS", 0.01)
    async with page_of(ana) as page:
        await page.ask("subscribe", topic="mine", snapshot=True)
        await aside(services.mark_read)(user_id=ana.pk, conversation_id=conversation.pk, up_to_seq=1)
        told = await page.receive_until("conversation_read")

    assert (told["read_seq"], told["unread_count"], failures) == (1, 0, [])
