"""One order for everybody: the seqs are 1…n without a hole or a double, whoever sends and in whatever way."""

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack

import pytest
from django.db import connections

from chat import send_queue, services
from chat.models import Message
from chat.services import Draft
from realtime import testing
from tests.chat.speaking import aside, chat_path, contents, logged, send
from tests.factories import make_conversation, make_user

SENDERS, EACH = 32, 5
# So many at a time: the pool has 20 connections, and a send without one after 1.5 s is told that the database
# is away.
THREADS = 16


@pytest.fixture
def crowd(db):
    people = [make_user(f"sender{number}") for number in range(SENDERS)]
    return make_conversation(*people, title="crowd"), people


def assert_in_order(conversation) -> None:
    """Check that the table and the log are one sequence, and agree."""
    rows = list(Message.objects.order_by("seq").values_list("seq", "content"))
    bodies = [json.loads(body) for body in logged(conversation)]
    assert [seq for seq, _ in rows] == list(range(1, SENDERS * EACH + 1))
    assert [(body["seq"], body["content"]) for body in bodies] == rows
    assert len({content for _, content in rows}) == SENDERS * EACH


def test_threads_of_many_senders_make_one_sequence(transactional_db, crowd):
    conversation, people = crowd

    def send_some(sender) -> list[int]:
        try:
            drafts = [Draft(conversation.pk, sender, f"{sender.pk}:{n}") for n in range(EACH)]
            return [send([draft], patience=60)[0].seq for draft in drafts]
        finally:
            connections.close_all()

    with ThreadPoolExecutor(THREADS) as pool:
        seqs = list(pool.map(send_some, people))

    assert sorted(seq for mine in seqs for seq in mine) == list(range(1, SENDERS * EACH + 1))
    assert all(mine == sorted(mine) for mine in seqs)
    assert_in_order(conversation)


async def test_sockets_of_many_senders_are_all_told_the_same_sequence(crowd, connect, patient, monkeypatch):
    # A busy machine needs longer for 5,120 frames in one process than a sender is kept waiting.
    monkeypatch.setattr(send_queue, "QUEUE_SECONDS", 30)
    monkeypatch.setattr(testing, "ANSWER_SECONDS", 30)
    conversation, people = crowd
    async with AsyncExitStack() as stack:
        sockets = [await stack.enter_async_context(connect(user, chat_path(conversation))) for user in people]

        async def talk(socket, number) -> list[str]:
            for n in range(EACH):
                await socket.send({"message": f"{number}:{n}"})
            return [await socket.receive_text() for _ in range(SENDERS * EACH)]

        told = await asyncio.gather(*(talk(socket, number) for number, socket in enumerate(sockets)))

    table = await aside(logged)(conversation)
    assert all(texts == table for texts in told)
    await aside(assert_in_order)(conversation)


def test_all_kinds_of_events_share_the_sequence(transactional_db, crowd):
    """Sends race with edits, deletions, arrivals and renames; the log has no hole and no double."""
    conversation, people = crowd
    owner, by = people[0], {"conversation_id": conversation.pk, "by": people[0]}
    doomed = [send([Draft(conversation.pk, owner, f"{n}")])[0].message_id for n in range(4)]
    latecomers = [make_user(f"late{n}") for n in range(3)]
    work = [
        *[lambda m=m: services.edit_message(message_id=m, content="edited", **by) for m in doomed[:2]],
        *[lambda m=m: services.delete_message(message_id=m, **by) for m in doomed[2:]],
        *[lambda u=u: services.add_members(users=[u], **by) for u in latecomers],
        *[lambda u=u: services.remove_member(user_id=u.pk, **by) for u in people[-3:]],
        *[lambda n=n: services.rename_conversation(title=f"title {n}", **by) for n in range(3)],
        *[lambda u=u: send([Draft(conversation.pk, u, "hello")] * 3, patience=60) for u in people[1:9]],
    ]

    def run(step) -> None:
        try:
            step()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(run, work))

    bodies = [json.loads(body) for body in logged(conversation)]
    assert [body["seq"] for body in bodies] == list(range(1, 4 + 2 + 2 + 3 + 3 + 3 + 24 + 1))
    assert {body["type"] for body in bodies} == {
        "message",
        "message_edited",
        "message_deleted",
        "member_added",
        "member_removed",
        "conversation_renamed",
    }
    assert contents(conversation).count("hello") == 24


def test_batches_over_several_conversations_do_not_lock_each_other_out(transactional_db, ana, bruno, clara):
    """Two writers name the same conversations in opposite orders at once."""
    places = [make_conversation(ana, bruno, clara, title=f"{n}") for n in range(3)]

    def send_in(order) -> None:
        try:
            for n in range(5):
                outcomes = send([Draft(place.pk, ana, f"{n}") for place in order], patience=60)
                assert len({type(outcome) for outcome in outcomes}) == 1
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(send_in, [places, places[::-1], places, places[::-1]]))

    for place in places:
        assert [json.loads(body)["seq"] for body in logged(place)] == list(range(1, 21))
