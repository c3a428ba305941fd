"""Resuming with `?since=`: everything missed comes once and in order, or the client is told that it
cannot."""

import asyncio
import json
import random
from contextlib import AsyncExitStack

import pytest
from django.db import connections

from accounts.models import User
from chat import consumers, selectors, services
from chat.events import conversation_topic
from chat.models import Conversation
from realtime import log, publishing
from realtime.database.batch_loader import BatchLoader
from realtime.testing import position_at
from tests.chat.speaking import aside, chat_path, head_of, logged, say, told_until
from tests.factories import make_user


@pytest.fixture
def spoken(conversation, ana) -> Conversation:
    """Three messages, the first of them edited: four events."""
    first = say(conversation, ana, "one")
    say(conversation, ana, "two")
    services.edit_message(conversation_id=conversation.pk, message_id=first.message_id, by=ana, content="ONE")
    say(conversation, ana, "three")
    return conversation


@pytest.mark.parametrize("since", [0, 1, 3, 4])
async def test_missed_events_come_byte_for_byte_and_then_live_ones(ana, bruno, spoken, connect, since):
    missed = (await aside(logged)(spoken))[since:]
    async with connect(bruno, chat_path(spoken, f"?since={since}")) as socket:
        assert [await socket.receive_text() for _ in missed] == missed
        assert await socket.receive() == {
            "type": "subscribed",
            "conversation_id": spoken.pk,
            "seq": 4,
            "position": await aside(position_at)(conversation_topic(spoken.pk), 4),
            "resumed": True,
        }
        await aside(say)(spoken, ana, "live")
        assert (await socket.receive())["seq"] == 5


async def test_replay_sends_the_same_bytes_as_live_delivery(ana, bruno, conversation, connect):
    async with connect(bruno, chat_path(conversation, "?v=1")) as socket:
        await socket.receive_until("subscribed")
        message = await aside(say)(conversation, ana, "« é » 🎉 \u2028")
        await aside(services.edit_message)(
            conversation_id=conversation.pk, message_id=message.message_id, by=ana, content="</script>"
        )
        live = [await socket.receive_text() for _ in range(2)]

    async with connect(bruno, chat_path(conversation, "?since=0")) as socket:
        assert [await socket.receive_text() for _ in range(2)] == live


async def test_impossible_position_is_answered_with_a_resync_and_is_live(ana, bruno, spoken, connect):
    seq = 4
    for since in ("", "+1", "-1", "abc", "1.0", "0x1", "٣", "1e1", "null", "99", "9" * 16, "9" * 5000, "%00"):
        async with connect(bruno, chat_path(spoken, f"?since={since}")) as socket:
            assert await socket.receive() == {
                "type": "resync",
                "conversation_id": spoken.pk,
                "reason": "unknown_position",
                "url": f"/api/conversations/{spoken.pk}/messages/?after=0",
                "seq": seq,
                "position": await aside(position_at)(conversation_topic(spoken.pk), seq),
            }
            await aside(say)(spoken, ana, "live")
            seq += 1
            assert (await socket.receive())["seq"] == seq


async def test_next_position_is_impossible_and_the_head_is_not(ana, bruno, spoken, connect):
    async with connect(bruno, chat_path(spoken, "?since=5")) as early:
        assert (await early.receive())["type"] == "resync"
        await aside(say)(spoken, ana, "live")

        assert (await early.receive())["seq"] == 5
        assert await early.receives_nothing()


async def test_position_that_was_pruned_away_is_too_old(bruno, ana, spoken, connect):
    await aside(log.prune)(conversation_topic(spoken.pk), up_to=2)
    kept = await aside(logged)(spoken)

    async with connect(bruno, chat_path(spoken, "?since=1")) as late:
        assert (await late.receive())["reason"] == "too_old"
        await aside(say)(spoken, ana, "live")
        assert (await late.receive())["seq"] == 5
    async with connect(bruno, chat_path(spoken, "?since=2")) as just_in_time:
        assert [await just_in_time.receive_text() for _ in kept] == kept


async def test_resync_leads_to_what_is_missing(bruno, spoken, connect, api):
    async with connect(bruno, chat_path(spoken, "?since=77")) as socket:
        resync = await socket.receive()
    page = (await aside((await aside(api)(bruno)).get)(resync["url"])).json()

    assert [row["content"] for row in page["results"]] == ["three", "two", "ONE"]
    assert page["last_seq"] == resync["seq"]


async def test_receipts_are_told_after_a_resume(ana, bruno, spoken, connect):
    await aside(services.mark_read)(user_id=ana.pk, conversation_id=spoken.pk, up_to_seq=2)
    await aside(services.mark_read)(user_id=bruno.pk, conversation_id=spoken.pk, up_to_seq=1)
    async with connect(bruno, chat_path(spoken, "?since=4")) as socket:
        await socket.receive_until("subscribed")
        assert await socket.receive() == {
            "type": "receipt",
            "user_id": ana.pk,
            "delivered_seq": 2,
            "read_seq": 2,
            "conversation_id": spoken.pk,
        }
        assert await socket.receives_nothing()


@pytest.mark.parametrize("opens_history", [False, True])
async def test_member_reads_from_where_they_joined_unless_history_is_open(
    ana, bruno, clara, connect, opens_history
):
    conversation = await aside(services.create_conversation)(
        creator=ana, participants=[bruno], title="Project", opens_history=opens_history
    )
    await aside(say)(conversation, ana, "before Clara")
    await aside(services.add_members)(conversation_id=conversation.pk, by=ana, users=[clara])
    await aside(say)(conversation, ana, "after Clara")

    for since in ("0", "1"):
        async with connect(clara, chat_path(conversation, f"?since={since}")) as socket:
            seqs = [frame.get("seq") for frame in await told_until(socket, "after Clara")]
        assert seqs == ([1, 2, 3][int(since) :] if opens_history else [3])


@pytest.mark.parametrize("seen", [0, 1, 2, 3, 4, 5])
async def test_member_who_left_and_came_back_is_not_told_that_they_missed_nothing(
    ana, bruno, group, connect, api, seen
):
    """The position is any before their return: from while they were a member, the removal itself, or their
    absence."""

    def happens() -> None:
        say(group, ana, "1: here")
        say(group, ana, "2: here, and offline")
        services.remove_member(conversation_id=group.pk, by=ana, user_id=bruno.pk)
        say(group, ana, "4: in his absence")
        services.add_members(conversation_id=group.pk, by=ana, users=[bruno])
        say(group, ana, "6: here again")

    await aside(happens)()
    async with connect(bruno, chat_path(group, f"?since={seen}")) as socket:
        answer = await socket.receive()
        if seen == 5:  # the seq of their return: nothing between is missing
            assert (answer["content"], (await socket.receive())["resumed"]) == ("6: here again", True)
        else:
            assert answer == {
                "type": "resync",
                "conversation_id": group.pk,
                "reason": "rejoined",
                "url": f"/api/conversations/{group.pk}/messages/?after=5",
                "seq": 6,
                "position": await aside(position_at)(conversation_topic(group.pk), 6),
            }
            page = (await aside((await aside(api)(bruno)).get)(answer["url"])).json()
            assert [row["content"] for row in page["results"]] == ["6: here again"]
            assert (page["has_more"], page["previous"], page["last_seq"]) == (False, None, 6)
        await aside(say)(group, ana, "7: live")
        assert (await socket.receive_until("message"))["seq"] == 7


async def test_member_who_left_twice_starts_over_from_either_time(ana, bruno, group, connect):
    def comes_and_goes() -> None:
        for _ in range(2):
            say(group, ana)
            services.remove_member(conversation_id=group.pk, by=ana, user_id=bruno.pk)
            services.add_members(conversation_id=group.pk, by=ana, users=[bruno])

    await aside(comes_and_goes)()
    for since in (0, 1, 3, 4, 5):
        async with connect(bruno, chat_path(group, f"?since={since}")) as socket:
            assert (await socket.receive())["reason"] == "rejoined"
    async with connect(bruno, chat_path(group, "?since=6")) as socket:
        assert (await socket.receive())["resumed"] is True


async def test_membership_that_other_hands_ended_is_remembered_as_well(ana, bruno, dora, group, connect):
    def happens() -> None:
        say(group, ana)
        group.participants.filter(user=bruno).delete()
        services.add_members(conversation_id=group.pk, by=ana, users=[bruno])

    await aside(happens)()
    async with connect(bruno, chat_path(group, "?since=0")) as returned:
        assert (await returned.receive())["reason"] == "rejoined"
    async with connect(dora, chat_path(group, "?since=0")) as stayed:
        assert (await stayed.receive_until("subscribed"))["resumed"] is True


async def test_resuming_under_live_traffic_leaves_no_gap_and_doubles_nothing(
    ana, bruno, dora, group, connect, relais
):
    """The pages are so small that the log grows while it is read; each reader comes at another moment."""
    relais(replay_page=3)
    rounds, senders = 10, [ana, bruno, dora]
    total = rounds * len(senders) * 3

    def write(sender: User) -> None:
        for _ in range(3):
            say(group, sender)
        connections.close_all()

    async def read(since: int) -> list[str]:
        async with connect(dora, chat_path(group, f"?since={since}")) as socket:
            texts = []
            while len(texts) < total - since:
                text = await socket.receive_text()
                if '"type":"message"' in text:
                    texts.append(text)
            return texts

    readers = []
    for _ in range(rounds):
        head = await aside(head_of)(group)
        readers.append(asyncio.create_task(read(random.randrange(head + 1))))
        await asyncio.gather(*(asyncio.to_thread(write, sender) for sender in senders))

    table = await aside(logged)(group)
    assert len(table) == total
    for texts in await asyncio.gather(*readers):
        assert texts == table[-len(texts) :]


async def test_live_members_see_one_order_whoever_sends(ana, bruno, conversation, connect, relais):
    relais(limit_sends="off", limit_frames="off")
    total = 60
    async with (
        connect(ana, chat_path(conversation)) as first,
        connect(bruno, chat_path(conversation)) as second,
    ):
        for number in range(total // 2):
            await first.send({"message": f"a{number}"})
            await second.send({"message": f"b{number}"})
        told = [[await socket.receive_text() for _ in range(total)] for socket in (first, second)]

    assert told[0] == told[1] == await aside(logged)(conversation)
    assert [json.loads(text)["seq"] for text in told[0]] == list(range(1, total + 1))
    said_by_ana = [c for c in (json.loads(text)["content"] for text in told[0]) if c.startswith("a")]
    assert said_by_ana == [f"a{number}" for number in range(total // 2)]


async def test_first_listener_of_a_process_misses_nothing_between_its_query_and_its_joining(
    ana, bruno, conversation, connect, monkeypatch
):
    """A message is committed elsewhere in that moment, and its bell is lost: the head check finds it."""

    def and_then_someone_speaks(shares):
        memberships = selectors.memberships_for(shares)
        monkeypatch.setattr(publishing, "deliver", lambda events: None)
        say(conversation, ana, "in between")
        monkeypatch.undo()
        return memberships

    monkeypatch.setattr(consumers, "membership_of", BatchLoader(and_then_someone_speaks))

    async with connect(bruno, chat_path(conversation)) as socket:
        assert (await socket.receive())["content"] == "in between"


async def test_twenty_sockets_of_one_user_are_all_told(ana, conversation, connect):
    async with AsyncExitStack() as stack:
        sockets = [await stack.enter_async_context(connect(ana, chat_path(conversation))) for _ in range(20)]
        await sockets[0].send({"message": "to all my devices"})

        assert len({await socket.receive_text() for socket in sockets}) == 1


async def test_sender_with_an_unusual_name_is_read_back(conversation, connect, ana):
    group = await aside(services.create_conversation)(
        creator=ana, participants=[await aside(make_user)("éλ-ユーザー.+@_")], title="t"
    )
    other = await aside(lambda: group.members.exclude(pk=ana.pk).get())()
    async with connect(other, chat_path(group)) as socket:
        await socket.send({"message": "Bonjour"})
        assert (await socket.receive())["sender_username"] == "éλ-ユーザー.+@_"
