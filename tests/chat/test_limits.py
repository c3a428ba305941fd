"""The limits of one client: mistakes, frames, messages and sockets, and the answer past each limit."""

import asyncio
import sys
from contextlib import AsyncExitStack

import pytest

from chat import send_queue
from chat.send_queue import SendQueue
from chat.services import Draft
from realtime.defaults import conf
from realtime.errors import OverloadedError, RateLimitedError, RealtimeError
from tests.chat.speaking import aside, chat_path, contents, say, send


async def test_twenty_mistakes_are_too_many(ana, bruno, conversation, connect, relais):
    assert conf.limit_mistakes.burst == 20
    relais(limit_mistakes="20/h:20")  # no mistake is forgiven meanwhile, however busy the machine
    async with (
        connect(ana, chat_path(conversation)) as socket,
        connect(bruno, chat_path(conversation)) as other,
    ):
        for _ in range(20):
            await socket.send_text("nonsense")
            assert (await socket.receive())["code"] == "invalid_json"
        await socket.send({"message": "not yet too many"})
        assert (await socket.receive())["content"] == "not yet too many"

        await socket.send_text("nonsense")
        assert (await socket.receive())["code"] == "invalid_json"
        assert (await socket.receive())["code"] == "too_many_errors"
        assert await socket.receive_close() == 4400
        await aside(say)(conversation, bruno, "others go on")
        assert [(await other.receive())["content"] for _ in range(2)][-1] == "others go on"


async def test_too_many_messages_are_refused_with_a_time_and_the_socket_lives(
    ana, bruno, conversation, connect, relais
):
    relais(limit_sends="1/min:3")
    async with (
        connect(ana, chat_path(conversation)) as socket,
        connect(bruno, chat_path(conversation)) as other,
    ):
        for number in range(5):
            await socket.send({"message": f"{number}", "ref": number})
        frames = [await socket.receive() for _ in range(8)]
        await other.send({"message": "Bruno has a bucket of his own"})
        assert (await socket.receive())["content"] == "Bruno has a bucket of his own"

    refused = [frame for frame in frames if frame["type"] == "error"]
    assert [(frame["code"], frame["ref"], frame["retryable"]) for frame in refused] == [
        ("rate_limited", 3, True),
        ("rate_limited", 4, True),
    ]
    assert all(0 < frame["retry_after_ms"] <= 60_000 for frame in refused)
    assert await aside(contents)(conversation) == ["0", "1", "2", "Bruno has a bucket of his own"]


async def test_sockets_and_rest_share_the_limit_of_messages(ana, conversation, connect, relais, api):
    relais(limit_sends="1/min:2")
    client, url = await aside(api)(ana), f"/api/conversations/{conversation.pk}/messages/"
    async with connect(ana, chat_path(conversation)) as socket:
        await socket.send({"message": "one"})
        await socket.receive()
        statuses = [
            (await aside(client.post)(url, {"message": text})).status_code for text in ("two", "three")
        ]
        await socket.send({"message": "four"})
        assert (await socket.receive_until("error"))["code"] == "rate_limited"

    assert statuses == [201, 429]
    assert await aside(contents)(conversation) == ["one", "two"]


async def test_edits_and_deletions_count_as_messages(ana, conversation, connect, relais, api):
    """Each of them is stored and told to everybody, like a message."""
    sent = await aside(say)(conversation, ana)
    relais(limit_sends="1/min:2")
    client, url = await aside(api)(ana), f"/api/conversations/{conversation.pk}/messages/{sent.message_id}/"
    edit = {"type": "edit", "message_id": sent.message_id, "message": "Bonsoir"}
    async with connect(ana, chat_path(conversation)) as socket:
        await socket.send({**edit, "ref": 1})
        assert (await socket.receive_until("ack"))["ref"] == 1
        assert (await aside(client.patch)(url, {"message": "Salut"})).status_code == 200

        for frame in (edit, {"type": "delete", "message_id": sent.message_id}, {"message": "x"}):
            await socket.send(frame)
            assert (await socket.receive_until("error"))["code"] == "rate_limited"
        for method in (client.patch, client.delete):
            assert (await aside(method)(url, {"message": "Salut"})).status_code == 429
    assert await aside(contents)(conversation) == ["Salut"]


@pytest.mark.parametrize(
    ("method", "path", "wish"),
    [
        ("patch", "", {"title": "New"}),
        ("patch", "members/{bruno}/", {"role": "admin"}),
        ("delete", "members/{bruno}/", None),
    ],
)
def test_change_that_every_member_is_told_counts_as_a_message(
    db, ana, bruno, group, relais, api, method, path, wish
):
    relais(limit_sends="1/min:1")
    url = f"/api/conversations/{group.pk}/"
    say(group, ana)
    assert api(ana).post(f"{url}messages/", {"message": "one"}).status_code == 201

    refused = getattr(api(ana), method)(url + path.format(bruno=bruno.pk), wish, format="json")

    assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")


def test_conversations_and_additions_are_limited_together(db, ana, bruno, clara, group, relais, api):
    relais(limit_invitations="1/min:2")
    client, url = api(ana), f"/api/conversations/{group.pk}/members/"

    statuses = [
        client.post("/api/conversations/", {"participants": ["bruno"], "title": "One"}).status_code,
        client.post(url, {"participants": ["clara"]}).status_code,
        client.post("/api/conversations/", {"participants": ["bruno"], "title": "Two"}).status_code,
        client.post(url, {"participants": ["clara"]}).status_code,
    ]

    assert statuses == [201, 201, 429, 429]
    assert api(bruno).post("/api/conversations/", {"participants": ["clara"]}).status_code == 201


async def test_mistakes_cost_no_messages(ana, conversation, connect, relais):
    relais(limit_sends="1/min:1")
    async with connect(ana, chat_path(conversation)) as socket:
        for text in ("", "x" * 8001, "\x00"):
            await socket.send_wrong({"message": text})
            assert (await socket.receive())["code"] != "rate_limited"
        await socket.send({"message": "Bonjour"})
        assert (await socket.receive())["content"] == "Bonjour"


async def test_flood_of_frames_is_refused_then_closed(ana, bruno, conversation, connect, relais):
    relais(limit_frames="1/min:3")
    async with (
        connect(ana, chat_path(conversation)) as socket,
        connect(bruno, chat_path(conversation)) as other,
    ):
        for _ in range(420):
            await socket.send({"message": "flood"})
        assert await socket.receive_close() == 4429
        await aside(say)(conversation, ana, "others go on")
        assert [(await other.receive())["content"] for _ in range(4)][-1] == "others go on"

    assert await aside(contents)(conversation) == ["flood"] * 3 + ["others go on"]


async def test_client_that_comes_back_after_the_named_time_is_served(ana, conversation, connect, relais):
    relais(limit_frames="1/s:2")  # a second to send six
    async with connect(ana, chat_path(conversation)) as socket:
        for _ in range(6):
            await socket.send({"type": "delivered", "up_to_seq": 0})
        errors = [await socket.receive() for _ in range(4)]
        assert {(error["code"], error["retryable"]) for error in errors} == {("rate_limited", True)}

        await asyncio.sleep((errors[-1]["retry_after_ms"] + 5) / 1000)
        await socket.send({"type": "ping"})
        assert (await socket.receive())["type"] == "pong"


async def test_one_user_may_not_hold_too_many_sockets(ana, bruno, conversation, connect, relais):
    relais(limit_sockets_per_user=3)
    async with AsyncExitStack() as stack:
        sockets = [await stack.enter_async_context(connect(ana, chat_path(conversation))) for _ in range(3)]
        async with connect(ana, chat_path(conversation)) as one_too_many:
            error = await one_too_many.receive()
            assert (error["code"], error["retryable"]) == ("rate_limited", True)
            assert await one_too_many.receive_close() == 4429
        async with connect(bruno, chat_path(conversation)) as somebody_else:
            await sockets[0].send({"message": "the others live"})
            for socket in (*sockets, somebody_else):
                assert (await socket.receive())["content"] == "the others live"


async def test_place_of_a_closed_socket_is_free_again(ana, conversation, connect, relais):
    relais(limit_sockets_per_user=1)
    for number in range(3):
        async with connect(ana, chat_path(conversation)) as socket:
            await socket.send({"message": f"{number}"})
            assert (await socket.receive())["content"] == f"{number}"


# ── the send queue ──────────────────────────────────────────────────────────────────────────────────────────


async def test_queue_is_full_of_bytes_before_it_is_full_of_messages(ana, conversation, hub, monkeypatch):
    """The messages have 32 KB each; a thousand of them would be 32 MB."""
    stored = asyncio.Event()

    async def store(self, sends, *, patience):
        await stored.wait()
        return [RealtimeError() for _ in sends]

    monkeypatch.setattr(SendQueue, "_store", store)
    monkeypatch.setattr(send_queue, "QUEUE_SECONDS", send_queue.ANSWER_SECONDS)  # however slow the machine is
    queue, answers = SendQueue(), []
    draft = Draft(conversation.pk, ana, "🙂" * 8_000)
    for _ in range(send_queue.MAX_WAITING_BYTES // sys.getsizeof(draft.content)):
        answers += [queue.submit(draft)]

    assert len(answers) < send_queue.MAX_WAITING / 2
    with pytest.raises(OverloadedError) as refused:
        queue.submit(draft)
    assert refused.value.retry_after_ms
    stored.set()
    await asyncio.wait(answers)
    assert queue._unanswered_bytes == 0


async def test_full_queue_says_so_and_loses_nothing_it_took(ana, conversation, connect, monkeypatch, relais):
    relais(limit_sends="off")
    monkeypatch.setattr(send_queue, "MAX_WAITING", 5)
    async with connect(ana, chat_path(conversation, "?v=1")) as socket:
        await socket.receive_until("subscribed")
        box, drafts = SendQueue.current(), [Draft(conversation.pk, ana, f"{number}") for number in range(5)]
        taken = [box.submit(draft) for draft in drafts]
        with pytest.raises(OverloadedError):
            box.submit(drafts[0])
        outcomes = [await future for future in taken]
        await socket.send({"message": "after", "ref": 1})
        await socket.receive_until("ack")

    assert [outcome.seq for outcome in outcomes] == [1, 2, 3, 4, 5]
    assert await aside(contents)(conversation) == ["0", "1", "2", "3", "4", "after"]


async def test_overload_is_an_error_frame_with_a_time(ana, conversation, connect, monkeypatch):
    monkeypatch.setattr(send_queue, "MAX_WAITING", 0)
    async with connect(ana, chat_path(conversation)) as socket:
        await socket.send({"message": "Bonjour", "ref": 1})
        error = await socket.receive()

    assert (error["code"], error["ref"], error["retryable"], error["retry_after_ms"]) == (
        "overloaded",
        1,
        True,
        1000,
    )


async def test_queue_commits_what_waits_together_and_no_more_than_a_batch(
    ana, conversation, hub, transactional_db, monkeypatch
):
    sizes = []

    def count_and_send(drafts, **_):
        sizes.append(len(drafts))
        return send(drafts)

    monkeypatch.setattr(send_queue, "send_messages", count_and_send)
    monkeypatch.setattr(send_queue, "MAX_BATCH", 10)

    futures = [SendQueue.current().submit(Draft(conversation.pk, ana, f"{number}")) for number in range(25)]
    outcomes = [await future for future in futures]

    assert sizes == [10, 10, 5]
    assert [outcome.seq for outcome in outcomes] == list(range(1, 26))


async def test_queue_answers_everybody_when_a_batch_fails(
    ana, conversation, hub, transactional_db, monkeypatch
):
    failures = iter([RateLimitedError(retry_after_ms=5), RuntimeError("disk full")])

    def fail(drafts, **_):
        if (failure := next(failures, None)) is not None:
            raise failure
        return send(drafts)

    monkeypatch.setattr(send_queue, "send_messages", fail)
    draft = Draft(conversation.pk, ana, "Bonjour")

    answers = [await SendQueue.current().submit(draft) for _ in range(3)]

    assert [getattr(answer, "code", "sent") for answer in answers] == [
        "rate_limited",
        "internal_error",
        "sent",
    ]


async def test_message_whose_sender_gave_up_waiting_is_stored_all_the_same(
    ana, conversation, hub, transactional_db
):
    """The sender's socket closed meanwhile, after its draft was taken."""
    given_up, kept = (
        SendQueue.current().submit(Draft(conversation.pk, ana, text)) for text in ("given up", "kept")
    )
    given_up.cancel()
    await kept

    assert await aside(contents)(conversation) == ["given up", "kept"]
