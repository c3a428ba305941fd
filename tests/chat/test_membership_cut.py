"""A removal cuts exactly at its seq: the member is told up to and including it, nothing after, on every
path."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connections

from chat import cursors, selectors, services
from chat.events import conversation_topic
from chat.models import Participant
from chat.services import Draft
from realtime import log
from realtime.models import LoggedEvent
from realtime.publishing import announcing
from tests.chat.speaking import aside, chat_path, contents, head_of, say, send, share_of, told_until


def remove(group, by, user) -> None:
    services.remove_member(conversation_id=group.pk, by=by, user_id=user.pk)


@pytest.mark.parametrize("query", ["", "?v=1"])
async def test_removed_member_is_told_up_to_the_removal_and_nothing_after(
    ana, bruno, dora, group, connect, query
):
    async with (
        connect(bruno, chat_path(group, query)) as removed,
        connect(dora, chat_path(group, "?v=1")) as stays,
    ):

        def happens() -> None:
            say(group, ana, "before")
            remove(group, ana, bruno)
            say(group, ana, "after")

        await aside(happens)()
        everything = [frame["type"] for frame in await told_until(stays, "after")]
        frames = [await removed.receive() for _ in range(4 if query else 2)]
        assert await removed.receive_close() == 4404
        assert await removed.receives_nothing()

    assert everything[-3:] == ["message", "member_removed", "message"]
    told = [
        (frame["type"], frame.get("content") or frame.get("user_id") or frame.get("code")) for frame in frames
    ]
    if query:
        assert told[:1] == [("subscribed", None)]
        assert told[1:3] == [("message", "before"), ("member_removed", bruno.pk)]
    else:
        assert told[:1] == [("message", "before")]
    assert told[-1] == ("error", "not_a_participant")


async def test_every_device_of_the_removed_member_is_cut_and_no_one_elses(ana, bruno, dora, group, connect):
    async with (
        connect(bruno, chat_path(group)) as phone,
        connect(bruno, chat_path(group, "?v=1")) as laptop,
        connect(bruno, f"/ws/typing/{group.pk}/") as typing,
        connect(dora, chat_path(group)) as stays,
    ):
        await aside(remove)(group, ana, bruno)
        for socket in (phone, laptop, typing):
            assert await socket.receive_close() == 4404
        await aside(say)(group, ana, "without Bruno")

        assert (await stays.receive())["content"] == "without Bruno"
        for socket in (phone, laptop, typing):
            assert await socket.receives_nothing()


async def test_leaving_closes_ones_own_sockets(ana, bruno, group, connect):
    async with connect(bruno, chat_path(group)) as socket:
        await aside(remove)(group, bruno, bruno)

        assert await socket.receive_close() == 4404


@pytest.mark.parametrize(
    "delete", [Participant.delete, lambda row: Participant.objects.filter(pk=row.pk).delete()]
)
async def test_membership_that_other_hands_delete_ends_its_sockets_too(
    ana, bruno, dora, group, connect, delete
):
    async with (
        connect(bruno, chat_path(group, "?v=1")) as removed,
        connect(dora, chat_path(group, "?v=1")) as stays,
    ):
        await aside(delete)(await aside(share_of)(bruno, group))
        await aside(say)(group, ana, "after")
        told = await stays.receive_until("member_removed")
        assert await removed.receive_until("member_removed") == told
        assert await removed.receive_close() == 4404
        assert await removed.receives_nothing()
    [frame] = await told_until(stays, "after")

    assert (told["user_id"], told["removed_by"]) == (bruno.pk, None)
    assert frame["seq"] == told["seq"] + 1


def test_conversation_that_is_deleted_announces_nobody(db, ana, group):
    say(group, ana)
    before = LoggedEvent.objects.count()

    group.delete()

    assert LoggedEvent.objects.count() == before
    assert not Participant.objects.filter(user=ana).exists()


async def test_removal_while_catching_up_cuts_at_the_same_seq(
    ana, bruno, group, connect, relais, monkeypatch
):
    """The removal is committed while the socket reads its first page."""
    relais(replay_page=2)
    for number in range(5):
        await aside(say)(group, ana, f"missed {number}")
    replay = log.replay

    def replay_and_remove(name, **page):
        if name == conversation_topic(group.pk):
            monkeypatch.undo()
            relais(replay_page=2)
            remove(group, ana, bruno)
            say(group, ana, "not for Bruno")
        return replay(name, **page)

    monkeypatch.setattr(log, "replay", replay_and_remove)

    async with connect(bruno, chat_path(group, "?since=0")) as socket:
        told = [await socket.receive() for _ in range(7)]
        assert await socket.receive_close() == 4404
        assert await socket.receives_nothing()

    assert [frame["type"] for frame in told] == [*["message"] * 5, "member_removed", "error"]
    assert [frame["seq"] for frame in told[:6]] == [1, 2, 3, 4, 5, 6]
    assert await aside(head_of)(group) == 7


async def test_removed_member_cannot_come_back(ana, bruno, group, connect, api):
    await aside(say)(group, ana, "while he was here")
    async with connect(bruno, chat_path(group)) as socket:
        await aside(remove)(group, ana, bruno)
        assert await socket.receive_close() == 4404
    for query in ("", "?since=0"):
        async with connect(bruno, chat_path(group, query)) as socket:
            assert (await socket.receive())["code"] == "not_a_participant"
            assert await socket.receive_close() == 4404
    client = await aside(api)(bruno)
    assert (await aside(client.get)(f"/api/conversations/{group.pk}/messages/")).status_code == 404


@pytest.mark.parametrize("opens_history", [False, True])
async def test_member_who_was_added_again_reads_from_there_and_is_live(
    ana, bruno, clara, connect, opens_history
):
    """With an open history the log they read holds their own old removal: it cuts nothing now."""
    group = await aside(services.create_conversation)(
        creator=ana, participants=[bruno], title="t", opens_history=opens_history
    )

    def happens() -> None:
        say(group, ana, "first time")
        remove(group, ana, bruno)
        say(group, ana, "in his absence")
        services.add_members(conversation_id=group.pk, by=ana, users=[bruno])
        say(group, ana, "second time")

    await aside(happens)()
    async with connect(bruno, chat_path(group, "?since=0")) as socket:
        told = []
        while (frame := await socket.receive())["type"] not in ("subscribed", "resync"):
            told.append(frame.get("content") or frame["type"])
        await aside(say)(group, ana, "live")
        assert (await socket.receive_until("message"))["content"] == "live"

    opened = ["first time", "member_removed", "in his absence", "member_added", "second time"]
    assert (frame["type"], told) == (("subscribed", opened) if opens_history else ("resync", []))
    rows = (
        await aside(selectors.history)(
            await aside(selectors.membership_for)(user_id=bruno.pk, conversation_id=group.pk),
            before=None,
            after=None,
            limit=50,
        )
    ).messages
    assert [row.content for row in rows] == [
        "live",
        "second time",
        *(["in his absence", "first time"] if opens_history else []),
    ]


def test_membership_is_checked_under_the_lock(transactional_db, ana, bruno, group):
    """A send that waits for a removal in progress is refused once that is committed."""
    removed, release = threading.Event(), threading.Event()

    def removal() -> None:
        with announcing():
            remove(group, ana, bruno)
            removed.set()
            release.wait(40)
        connections.close_all()

    def send_both():
        try:
            drafts = [Draft(group.pk, bruno, "too late"), Draft(group.pk, ana, "in time")]
            return send(drafts, patience=30)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(2) as threads:
        removing = threads.submit(removal)
        assert removed.wait(10)
        sending = threads.submit(send_both)
        with pytest.raises(TimeoutError):
            sending.result(timeout=0.3)
        release.set()
        too_late, in_time = sending.result(timeout=30)
        removing.result()

    assert too_late.code == "not_a_participant"
    assert in_time.seq == 2
    assert contents(group) == ["in time"]


async def test_frame_on_its_way_when_the_removal_arrives_is_not_stored(ana, bruno, dora, group, connect):
    async with connect(bruno, chat_path(group, "?v=1")) as removed, connect(dora, chat_path(group)) as stays:
        await aside(remove)(group, ana, bruno)
        assert await removed.receive_close() == 4404
        for frame in (
            {"message": "still here"},
            {"type": "read", "up_to_seq": 1},
            {"type": "ping", "ref": 1},
        ):
            await removed.send(frame)
        await aside(say)(group, ana, "without Bruno")

        assert (await stays.receive())["content"] == "without Bruno"
        assert await removed.receives_nothing()
    assert await aside(contents)(group) == ["without Bruno"]


@pytest.mark.parametrize("query", ["", "?v=1"])
async def test_removal_of_a_busy_member_is_no_incident(
    ana, bruno, group, connect, caplog, monkeypatch, query
):
    """Cursors that waited to be written and frames that came too late are no faults of the server."""
    monkeypatch.setattr(cursors, "PERIOD_SECONDS", 60)
    await aside(say)(group, ana, "unread")
    async with connect(bruno, chat_path(group, query)) as socket:
        await socket.send({"type": "read", "up_to_seq": 1})
        await socket.send({"type": "ping"})
        await socket.receive_until("pong")
        await aside(remove)(group, ana, bruno)
        for frame in ({"type": "read", "up_to_seq": 1}, {"type": "ping", "ref": 1}, {"message": "late"}):
            await socket.send(frame)
        assert await socket.receive_close() == 4404

    assert not [record for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")]


async def test_cursor_that_waits_when_the_socket_closes_is_written(ana, bruno, conversation, connect):
    await aside(say)(conversation, ana, "read and gone")
    async with connect(bruno, chat_path(conversation)) as socket:
        await socket.send({"type": "read", "up_to_seq": 1})

    share = await aside(share_of)(bruno, conversation)
    assert (share.delivered_seq, share.read_seq) == (1, 1)


async def test_cursors_are_written_even_if_the_socket_closes_between_the_two(
    ana, bruno, conversation, connect, monkeypatch
):
    """`delivered` is being written when the client goes; `read` is not forgotten."""
    await aside(say)(conversation, ana, "read and gone")
    writing, loop = asyncio.Event(), asyncio.get_running_loop()
    move_cursors = services.move_cursors

    def told(moves):
        loop.call_soon_threadsafe(writing.set)
        return move_cursors(moves)

    monkeypatch.setattr(services, "move_cursors", told)
    async with connect(bruno, chat_path(conversation)) as socket:
        await socket.send({"type": "delivered", "up_to_seq": 1})
        await writing.wait()
        await socket.send({"type": "read", "up_to_seq": 1})

    assert (await aside(share_of)(bruno, conversation)).read_seq == 1
