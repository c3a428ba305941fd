"""The send queue: one locked conversation delays no other, every send is answered, and what waits is
bounded."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection, connections

from accounts.models import User
from chat import send_queue
from chat.events import conversation_topic
from chat.models import Conversation, Message
from chat.send_queue import SendQueue
from chat.services import Draft, Outcome, Sent, edit_message
from chat.services.sends import _send_each
from realtime import events, log
from realtime.database import threads
from realtime.database.threads import close_threads, run_in_thread
from realtime.errors import BusyError, OverloadedError, UnavailableError, UncertainError
from realtime.publishing import announcing
from tests.chat.speaking import aside, contents, say, send
from tests.factories import make_conversation

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def elsewhere(ana: User, bruno: User) -> Conversation:
    return make_conversation(ana, bruno, title="elsewhere")


@contextmanager
def held(*conversations: Conversation) -> Iterator[Callable[[], None]]:
    """Another transaction locks these conversations until the end, or until the yielded function is
    called."""
    has_it, release = threading.Event(), threading.Event()

    def hold() -> None:
        try:
            with announcing():
                log.lock([conversation_topic(conversation.pk) for conversation in conversations])
                has_it.set()
                release.wait(40)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as threads:
        holding = threads.submit(hold)
        try:
            assert has_it.wait(10)
            yield release.set
        finally:
            release.set()
            holding.result()


def submit(conversation: Conversation, sender: User, *texts: str) -> list[asyncio.Future[Outcome]]:
    return [SendQueue.current().submit(Draft(conversation.pk, sender, text)) for text in texts]


def seq_of(outcome: Outcome) -> int:
    assert isinstance(outcome, Sent), outcome
    return outcome.seq


# ── a conversation that another transaction holds ────────────────────────────────────────────────────────


@pytest.mark.stack("full")
async def test_held_conversation_does_not_hold_the_others(ana, conversation, elsewhere, hub, patient):
    with held(conversation) as release:
        waiting = submit(conversation, ana, "one")
        for number in range(3):
            [told] = submit(elsewhere, ana, f"{number}")
            assert seq_of(await told) == number + 1
        assert not waiting[0].done()
        release()

        assert seq_of(await waiting[0]) == 1


@pytest.mark.stack("full")
async def test_sends_to_a_held_conversation_keep_their_order(ana, conversation, elsewhere, hub, patient):
    with held(conversation) as release:
        waiting = []
        for number in range(12):
            waiting += submit(conversation, ana, f"{number}")
            if number % 3 == 0:  # some come with a batch, some while it is in flight, some long after
                await asyncio.gather(*submit(elsewhere, ana, f"{number}"))
        release()
        waiting += submit(conversation, ana, "12", "13")
        outcomes = await asyncio.gather(*waiting)
    outcomes += await asyncio.gather(*submit(conversation, ana, "14"))

    assert [seq_of(outcome) for outcome in outcomes] == list(range(1, 16))
    assert await aside(contents)(conversation) == [f"{number}" for number in range(15)]


@pytest.mark.stack("full")
async def test_conversation_that_stays_held_is_an_answer_in_time_and_recovers(
    ana, conversation, hub, patient, monkeypatch
):
    monkeypatch.setattr(send_queue, "LOCK_SECONDS", 0.2)
    with held(conversation):
        first = submit(conversation, ana, "first")
        await asyncio.sleep(0)
        later = submit(conversation, ana, "later")
        async with asyncio.timeout(10):  # far below the 30 s after which they would be answered anyway
            outcomes = await asyncio.gather(*first, *later)
    again = await asyncio.gather(*submit(conversation, ana, "again"))

    assert [(type(outcome), outcome.retry_after_ms) for outcome in outcomes] == [(BusyError, 1000)] * 2
    assert outcomes[0].code == "overloaded"
    assert seq_of(again[0]) == 1


@pytest.mark.stack("full")
async def test_send_that_no_longer_waits_for_a_conversation_is_not_told_that_it_is_held(
    ana, conversation, elsewhere, hub, patient, monkeypatch
):
    monkeypatch.setattr(send_queue, "SHORT_LOCK_SECONDS", 20)  # no later send joins the wait of the first
    may_go_on = threading.Event()

    def hang_elsewhere(drafts: Any, **options: Any) -> Any:
        if drafts[0].conversation_id == elsewhere.pk:
            may_go_on.wait(40)
        return send(drafts, **options)

    with held(conversation) as release:
        first = submit(conversation, ana, "first")
        await asyncio.gather(*submit(elsewhere, ana, "free"))
        monkeypatch.setattr(send_queue, "send_messages", hang_elsewhere)
        late = submit(conversation, ana, "late") + submit(elsewhere, ana, "hangs")
        release()
        assert seq_of(await first[0]) == 1
        [behind] = SendQueue.current()._waiting  # the batch that hangs
        behind._give_up()  # as when its time is over
        refused = await late[0]
    may_go_on.set()
    await asyncio.gather(*submit(elsewhere, ana, "after"))  # sent when the batch that hung is over

    assert type(refused) is UnavailableError


@pytest.mark.stack("full")
async def test_caller_that_gives_up_a_held_conversation_leaves_nothing_waiting_in_the_database(
    ana, conversation, hub, patient, monkeypatch
):
    # The server gives up after 1 s, and has plenty of time to say so.
    monkeypatch.setattr(log, "LOCK_MARGIN_SECONDS", 24)

    def waiting() -> int:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
            return int(cursor.fetchone()[0])

    with held(conversation):
        edit = partial(edit_message, conversation_id=conversation.pk, message_id=1, by=ana, content="later")
        with pytest.raises(BusyError):
            await run_in_thread(edit)

        assert await aside(waiting)() == 0


@pytest.mark.stack("full")
async def test_conversation_that_is_free_first_goes_first(
    ana, conversation, elsewhere, hub, patient, monkeypatch
):
    monkeypatch.setattr(send_queue, "SHORT_LOCK_SECONDS", 0.05)
    with held(conversation), held(elsewhere) as release:
        waiting = submit(conversation, ana, "long")
        briefly = submit(elsewhere, ana, "short")
        await asyncio.sleep(0.2)  # longer than the queue waits for them together
        release()

        assert seq_of(await briefly[0]) == 1
        assert not waiting[0].done()
    assert seq_of(await waiting[0]) == 1


@pytest.mark.stack("full")
async def test_conversation_that_is_free_again_does_not_wait_for_those_that_stay_held(
    ana, bruno, conversation, hub, patient, monkeypatch
):
    """More of them stay locked than may wait for long at the same time."""
    monkeypatch.setattr(send_queue, "SHORT_LOCK_SECONDS", 0.05)
    others = [
        await aside(make_conversation)(ana, bruno, title=f"{number}")
        for number in range(send_queue.MAX_LONG_WAITS + 1)
    ]
    with held(*others) as release_others, held(conversation) as release:
        waiting = [submit(other, ana, "long")[0] for other in others]
        [free] = submit(conversation, ana, "short")
        await asyncio.gather(*submit(await aside(make_conversation)(ana, bruno, title="x"), ana, "aside"))
        release()
        async with asyncio.timeout(10):  # half of the time for which the queue waits for the others
            assert seq_of(await free) == 1
        assert not any(each.done() for each in waiting)
        release_others()
        assert [seq_of(outcome) for outcome in await asyncio.gather(*waiting)] == [1] * len(others)


@pytest.mark.stack("full")
async def test_sends_of_held_conversations_are_stored_once_where_they_can_be(
    ana, conversation, elsewhere, hub, patient, monkeypatch
):
    """The database refuses one of several: each is tried alone, and then one is free and one still locked."""
    send_all, stored = send_queue.send_messages, []

    def one_by_one(drafts, *, patience):
        if patience == 0:
            return send_all(drafts, patience=0)
        outcomes = _send_each(drafts, patience)
        stored.extend(outcome for outcome in outcomes if isinstance(outcome, Sent))
        return outcomes

    monkeypatch.setattr(send_queue, "SHORT_LOCK_SECONDS", 0.2)
    monkeypatch.setattr(send_queue, "send_messages", one_by_one)
    with held(conversation) as release, held(elsewhere) as release_elsewhere:
        waiting, free = (
            submit(conversation, ana, "held", "held too"),
            submit(elsewhere, ana, "free", "free too"),
        )
        await asyncio.sleep(0.1)
        release_elsewhere()
        assert [seq_of(await sent) for sent in free] == [1, 2]
        free += submit(elsewhere, ana, "later")
        assert seq_of(await free[-1]) == 3
        assert not waiting[0].done()
        release()
        assert [seq_of(await sent) for sent in waiting] == [1, 2]

    assert await aside(contents)(elsewhere) == ["free", "free too", "later"]
    assert len(stored) == 4


@pytest.mark.stack("full")
async def test_drafts_that_wait_for_one_conversation_are_bounded_and_leave_room_for_others(
    ana, conversation, elsewhere, hub, patient, monkeypatch
):
    monkeypatch.setattr(send_queue, "MAX_BATCH", 3)
    with held(conversation) as release:
        waiting = submit(conversation, ana, "one")
        await asyncio.gather(*submit(elsewhere, ana, "free"))
        waiting += submit(conversation, ana, "two", "three")
        with pytest.raises(BusyError):
            submit(conversation, ana, "too many")

        assert seq_of((await asyncio.gather(*submit(elsewhere, ana, "still free")))[0]) == 2
        release()
        assert [seq_of(outcome) for outcome in await asyncio.gather(*waiting)] == [1, 2, 3]


@pytest.mark.stack("full")
def test_service_waits_for_a_held_conversation_and_then_refuses(ana, conversation, elsewhere):
    with held(conversation):
        outcomes = send([Draft(conversation.pk, ana, "held"), Draft(elsewhere.pk, ana, "free")], patience=0)
        assert [type(outcome) for outcome in outcomes] == [BusyError, Sent]
        [refused] = send([Draft(conversation.pk, ana, "held")], patience=0.05)
        assert isinstance(refused, BusyError)
    assert say(conversation, ana, "free now").seq == 1


async def test_queue_is_no_longer_than_what_can_be_stored_in_time(ana, conversation, patient, monkeypatch):
    """Each batch takes longer than it takes to fill the next: a send that comes then is answered at once."""
    monkeypatch.setattr(send_queue, "QUEUE_SECONDS", 0.3)
    monkeypatch.setattr(send_queue, "MAX_BATCH", 1)
    box, batches, begun = SendQueue(), asyncio.Queue[list[Outcome]](), asyncio.Queue[None]()

    async def store(sends, *, patience):
        begun.put_nowait(None)
        return await batches.get()

    monkeypatch.setattr(box, "_store", store)

    def submit() -> asyncio.Future[Outcome]:
        return box.submit(Draft(conversation.pk, ana, "x"))

    sent = Sent(1, 1, events.now(), None)
    waiting = [submit() for _ in range(4)]
    await begun.get()
    await asyncio.sleep(0.4)
    waiting.append(submit())  # one batch hangs: sends that wait for it go with the next
    for found, refusal in (([sent], OverloadedError), ([UnavailableError()], UnavailableError)):
        batches.put_nowait(found)
        await begun.get()  # the next batch: a send that comes at this very moment waits for those before it
        with pytest.raises(refusal):
            submit()
    for _ in waiting[2:]:
        batches.put_nowait([sent])
    await asyncio.gather(*waiting)
    waiting = [submit()]
    batches.put_nowait([sent])
    assert await waiting[0] == sent


# ── a database that fails ────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
async def one_thread(relais: Callable[..., None]) -> AsyncIterator[None]:
    """There is one thread, so every send uses the connection that a test has changed."""
    relais(database_threads=1)
    await asyncio.to_thread(close_threads)
    yield
    await asyncio.to_thread(close_threads)


async def pragma(text: str) -> Any:
    def ask() -> Any:
        with connection.cursor() as cursor:
            cursor.execute(f"PRAGMA {text}")
            return cursor.fetchone()

    return await run_in_thread(ask)


@pytest.mark.stack("small")
async def test_read_only_file_is_an_answer_and_recovers(ana, conversation, hub, one_thread):
    await pragma("query_only = ON")
    [refused] = await asyncio.gather(*submit(conversation, ana, "lost"))
    await pragma("query_only = OFF")
    [kept] = await asyncio.gather(*submit(conversation, ana, "kept"))

    assert (refused.code, refused.retryable, refused.retry_after_ms) == ("unavailable", True, 1000)
    assert "readonly" in str(refused.__cause__)
    assert seq_of(kept) == 1
    assert await aside(contents)(conversation) == ["kept"]


@pytest.mark.stack("small")
async def test_full_disk_is_an_answer_and_recovers(ana, conversation, hub, one_thread):
    [pages] = await pragma("page_count")
    await pragma(f"max_page_count = {pages}")
    refused: list[Any] = []
    while not refused:  # until the last page is full
        outcomes = await asyncio.gather(*submit(conversation, ana, *["x" * 8000] * 20))
        refused = [outcome for outcome in outcomes if not isinstance(outcome, Sent)]
    await pragma("max_page_count = 1000000")
    [kept] = await asyncio.gather(*submit(conversation, ana, "kept"))

    assert {outcome.code for outcome in refused} == {"unavailable"}
    assert "full" in str(refused[0].__cause__)
    assert seq_of(kept) == await aside(Message.objects.count)()


@contextmanager
def written_by_another_process(_conversation: Conversation) -> Iterator[None]:
    """Another process has SQLite's write lock, which this one is not told of."""
    other = sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    yield
    other.close()


@pytest.mark.stack("small")
@pytest.mark.parametrize("busy", [held, written_by_another_process])
async def test_other_writer_is_waited_for_and_then_an_answer(ana, conversation, hub, busy, monkeypatch):
    # On a busy machine the sender would be answered before SQLite has given its reason.
    for module in (send_queue, threads):
        monkeypatch.setattr(module, "ANSWER_SECONDS", 9)
    with busy(conversation):
        async with asyncio.timeout(8):  # far below the 20 s for which others wait
            [refused] = await asyncio.gather(*submit(conversation, ana, "lost"))
    [kept] = await asyncio.gather(*submit(conversation, ana, "kept"))

    assert (refused.code, refused.retryable) == ("unavailable", True)
    assert "locked" in str(refused.__cause__)
    assert seq_of(kept) == 1


async def test_sender_is_answered_when_the_thread_hangs_and_finds_out_by_asking_again(
    ana, conversation, hub, monkeypatch
):
    monkeypatch.setattr(send_queue, "ANSWER_SECONDS", 0.2)
    may_go_on = threading.Event()

    def hang(drafts: Any, **options: Any) -> Any:
        may_go_on.wait(10)
        return send(drafts, **options)

    monkeypatch.setattr(send_queue, "send_messages", hang)
    draft = Draft(conversation.pk, ana, "Bonjour", uuid4())

    in_flight = SendQueue.current().submit(draft)
    await asyncio.sleep(0)
    behind = SendQueue.current().submit(Draft(conversation.pk, ana, "behind"))
    uncertain, refused = await in_flight, await behind
    may_go_on.set()
    monkeypatch.setattr(send_queue, "ANSWER_SECONDS", 5)
    found = await SendQueue.current().submit(draft)

    assert (type(uncertain), uncertain.code, uncertain.retryable) == (UncertainError, "unavailable", True)
    assert (refused.code, type(refused)) != ("unavailable", UncertainError)
    assert (found.seq, found.duplicate) == (1, True)
    assert await aside(contents)(conversation) == ["Bonjour"]


# ── sends that come together ─────────────────────────────────────────────────────────────────────────────


async def test_batches_rest_under_load_and_a_lone_send_does_not_wait(ana, conversation, monkeypatch):
    """Sends that arrive within the time that the last batch took share the next one; after a silence none
    rests."""
    monkeypatch.setattr(send_queue, "MAX_REST_SECONDS", 0.2)
    box, batches = SendQueue(), []

    async def store(sends, *, patience):
        batches.append([send.draft.content for send in sends])
        await asyncio.sleep(0.1)
        return [Sent(1, 1, events.now(), None) for _ in sends]

    monkeypatch.setattr(box, "_store", store)

    def submit(content: str) -> asyncio.Future[Outcome]:
        return box.submit(Draft(conversation.pk, ana, content))

    alone = submit("alone")
    await asyncio.sleep(0)
    second = submit("while it is stored")
    await alone
    third = submit("while it rests")
    await asyncio.gather(second, third)
    submit("after a silence")
    await asyncio.sleep(0)

    assert batches == [["alone"], ["while it is stored", "while it rests"], ["after a silence"]]
