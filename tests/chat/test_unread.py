"""Unread messages become one entry per member and conversation, whichever process dies in between."""

import asyncio
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest
from django.db import connection, connections
from django.db.models import Sum
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from chat import notifier, selectors, services
from chat.models import Conversation, Message
from chat.services import conversations_moved, take_moved, unread
from notifications.collapsed import collapse
from notifications.models import Notification
from notifications.services import mark_all_read
from realtime.database import outages
from realtime.database.threads import close_threads
from realtime.errors import UnavailableError
from realtime.metrics.outages import Outage
from realtime.testing import eventually
from tests.chat.speaking import aside, chat_path, say
from tests.factories import make_conversation


def entries() -> dict[str, int]:
    """The unread entries: their users, and how many messages each counts."""
    rows = Notification.objects.filter(read_at=None).values_list("user__username", "count")
    assert len({name for name, _ in rows}) == len(rows)
    return dict(rows)


@pytest.fixture(autouse=True)
def _nothing_moved() -> None:
    take_moved()


def test_messages_become_one_entry_per_member_and_nobody_gets_their_own(db, ana, bruno, dora, clara, group):
    for sender in (ana, ana, bruno):
        say(group, sender)

    services.note_unread([group.pk])

    assert entries() == {"ana": 1, "bruno": 2, "dora": 3}
    entry = Notification.objects.get(user=dora)
    assert (entry.kind, entry.data) == ("message_received", {"conversation_id": group.pk})
    assert "bruno" in entry.message


def test_monologue_is_no_entry_for_its_speaker(db, ana, bruno, conversation):
    say(conversation, ana)
    services.note_unread([conversation.pk])

    assert entries() == {"bruno": 1}


def test_more_messages_add_to_the_entry_and_reading_begins_a_new_one(db, ana, bruno, conversation):
    share = {"user_id": bruno.pk, "conversation_id": conversation.pk}
    for _ in range(2):
        say(conversation, ana)
        services.note_unread([conversation.pk])
    assert entries() == {"bruno": 2}

    services.mark_read(up_to_seq=2, **share)
    assert entries() == {}
    say(conversation, ana)
    services.note_unread([conversation.pk])

    assert entries() == {"bruno": 1}
    assert Notification.objects.filter(user=bruno).count() == 2


def test_noting_twice_changes_nothing(db, ana, bruno, conversation):
    say(conversation, ana)

    for _ in range(3):
        services.note_unread([conversation.pk])

    assert entries() == {"bruno": 1}


def test_message_read_or_deleted_meanwhile_is_not_noted(db, ana, bruno, dora, group):
    read, doomed = say(group, ana), say(group, ana)
    services.mark_read(user_id=bruno.pk, conversation_id=group.pk, up_to_seq=read.seq)
    services.delete_message(conversation_id=group.pk, message_id=doomed.message_id, by=ana)

    services.note_unread([group.pk])

    assert entries() == {"dora": 1}
    assert selectors.conversations_to_note() == []


def test_member_who_read_half_is_told_of_the_other_half(db, ana, bruno, conversation):
    for _ in range(4):
        say(conversation, ana)
    services.mark_read(user_id=bruno.pk, conversation_id=conversation.pk, up_to_seq=3)

    services.note_unread([conversation.pk])

    assert entries() == {"bruno": 1}


def test_nobody_is_told_of_what_they_may_not_read(db, ana, bruno, dora, clara, group):
    """Clara joins after the message, Dora leaves before it is noted."""
    say(group, ana)
    services.add_members(conversation_id=group.pk, by=ana, users=[clara])
    services.remove_member(conversation_id=group.pk, by=ana, user_id=dora.pk)

    services.note_unread([group.pk])

    assert entries() == {"bruno": 1}


def test_member_who_is_removed_or_leaves_keeps_nothing_unread(db, ana, bruno, dora, group):
    say(group, ana)
    services.note_unread([group.pk])

    services.remove_member(conversation_id=group.pk, by=ana, user_id=dora.pk)
    services.remove_member(conversation_id=group.pk, by=bruno, user_id=bruno.pk)

    assert not Notification.objects.filter(read_at=None).exists()


def test_several_conversations_are_noted_together_and_each_for_itself(
    db, ana, bruno, clara, conversation, group
):
    quiet = make_conversation(ana, clara)
    say(conversation, ana)
    say(group, ana)
    say(group, ana)

    services.note_unread([conversation.pk, group.pk, quiet.pk, 999_999])

    counts = Notification.objects.filter(user=bruno).order_by("count").values_list("data", "count")
    assert list(counts) == [({"conversation_id": conversation.pk}, 1), ({"conversation_id": group.pk}, 2)]
    assert not Notification.objects.filter(user=clara).exists()


def test_number_of_queries_does_not_grow_with_members(db, ana, bruno, clara, conversation, group):
    services.add_members(conversation_id=group.pk, by=ana, users=[clara])
    services.note_unread([conversation.pk, group.pk])
    counts = []
    for somewhere in (conversation, group):
        say(somewhere, ana)
        with CaptureQueriesContext(connection) as queries:
            services.note_unread([somewhere.pk])
        counts.append(len(queries))

    assert counts[0] == counts[1]


def test_conversation_that_another_process_is_noting_is_left_to_it(
    transactional_db, ana, bruno, conversation
):
    """Two processes at once write one entry with the right count: on SQLite one waits, elsewhere one skips
    it."""
    say(conversation, ana)

    def note() -> None:
        services.note_unread([conversation.pk])
        connections.close_all()

    with ThreadPoolExecutor(4) as threads:
        for noted in [threads.submit(note) for _ in range(8)]:
            noted.result()

    assert entries() == {"bruno": 1}


def test_message_read_while_it_is_noted_leaves_no_entry(
    transactional_db, ana, bruno, conversation, monkeypatch
):
    """Bruno reads between the moment his cursor was looked at and the moment his entry is written."""
    say(conversation, ana)
    reading = []

    def read() -> None:
        services.mark_read(user_id=bruno.pk, conversation_id=conversation.pk, up_to_seq=1)
        connections.close_all()

    def collapse_late(**entries_to_write) -> None:
        reading.append(threading.Thread(target=read))
        reading[0].start()
        reading[0].join(0.3)  # either he is done by now, or he waits for this process
        collapse(**entries_to_write)

    monkeypatch.setattr(unread, "collapse", collapse_late)
    services.note_unread([conversation.pk])
    reading[0].join()

    assert entries() == {}


# ── the notifier ─────────────────────────────────────────────────────────────────────────────────────────


async def test_notifier_writes_what_was_said_on_a_socket(ana, bruno, conversation, connect, monkeypatch):
    monkeypatch.setattr(notifier, "ROUND_SECONDS", 0.02)
    async with connect(ana, chat_path(conversation)) as socket:
        await socket.send({"message": "Bonjour"})
        await socket.receive()

        await eventually(aside(entries))

    assert await aside(entries)() == {"bruno": 1}


async def test_sweep_finds_what_a_dead_process_left_behind(ana, bruno, conversation, transactional_db):
    """A message was committed and the process died before its notifier took it up: no process knows of it."""
    await aside(say)(conversation, ana)
    take_moved()
    assert await aside(selectors.conversations_to_note)() == [conversation.pk]

    note = asyncio.create_task(notifier.note_what_is_unread())
    await eventually(aside(entries))
    note.cancel()

    assert await aside(entries)() == {"bruno": 1}
    assert await aside(selectors.conversations_to_note)() == []
    await asyncio.to_thread(close_threads)


@pytest.fixture
def prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    """A notifier whose rounds and retries take no time."""
    for name in ("ROUND_SECONDS", "RETRY_SECONDS", "LONGEST_RETRY_SECONDS"):
        monkeypatch.setattr(notifier, name, 0.01)


@asynccontextmanager
async def notifying() -> AsyncIterator[None]:
    note = asyncio.create_task(notifier.note_what_is_unread())
    yield
    note.cancel()
    await asyncio.wait([note])
    await asyncio.to_thread(close_threads)


async def test_conversation_that_cannot_be_noted_is_tried_again_and_holds_up_no_other(
    ana, bruno, dora, conversation, group, monkeypatch, transactional_db, prompt, caplog
):
    """This holds in its batch and in the sweep. Its own position stays where it was, and the cause is logged
    once."""
    others = [await aside(make_conversation)(ana, dora, title=f"{number}") for number in range(8)]
    for where in (conversation, group, *others):
        await aside(say)(where, ana)
    take_moved()
    write = unread.collapse
    tries = []

    def collapse_but_one(*, entries) -> None:
        entries = list(entries)
        if any(entry.data["conversation_id"] == group.pk for entry in entries):
            tries.append(group.pk)
            raise ValueError("these words cannot be made")
        write(entries=entries)

    def left() -> list[int]:
        return selectors.conversations_to_note()

    monkeypatch.setattr(unread, "collapse", collapse_but_one)
    async with notifying():
        await eventually(lambda: len(tries) > 5)
        await eventually(aside(lambda: left() == [group.pk]))
        assert await aside(counts)() == {"bruno": 1, "dora": 8}
        assert (await aside(Conversation.objects.get)(pk=group.pk)).noticed_seq == 0

        monkeypatch.setattr(unread, "collapse", write)
        await eventually(aside(lambda: not left()))

    assert await aside(counts)() == {"bruno": 2, "dora": 9}
    said = [record for record in caplog.records if record.levelname == "ERROR"]
    assert [record.getMessage() for record in said] == [
        f"The inboxes of conversation {group.pk} could not be written; they are tried again"
    ]
    assert "these words cannot be made" in str(said[0].exc_info)


def counts() -> dict[str, int]:
    """The number of unread things of each user."""
    rows = Notification.objects.filter(read_at=None).values_list("user__username")
    return dict(rows.annotate(total=Sum("count")).order_by())


@pytest.mark.parametrize("what", [selectors.conversations_to_note, services.note_unread])
async def test_round_that_found_no_database_is_not_forgotten(
    ana, bruno, conversation, monkeypatch, transactional_db, prompt, caplog, what
):
    run, failures = notifier.run_in_background, []

    async def fail_at_first(function, *arguments):
        if function is what and len(failures) < 3:
            failures.append(function)
            raise UnavailableError
        if function is selectors.conversations_to_note:
            return []  # so that nothing but the notifier's memory finds it
        return await run(function, *arguments)

    await aside(say)(conversation, ana)
    monkeypatch.setattr(notifier, "run_in_background", fail_at_first)
    monkeypatch.setattr(outages, "DATABASE", Outage("The database"))
    async with notifying():
        await eventually(aside(entries))

    assert len(failures) == 3
    assert caplog.records[0].getMessage().startswith("The database is away")


async def test_round_that_was_cut_off_is_not_forgotten(monkeypatch, transactional_db):
    working = asyncio.Event()

    async def run(function, *arguments):
        if function is selectors.conversations_to_note:
            return []
        working.set()
        return await asyncio.Event().wait()

    monkeypatch.setattr(notifier, "run_in_background", run)
    conversations_moved([7, 8])
    async with notifying():
        await working.wait()

    assert take_moved() == [7, 8]


async def test_notifier_rests_longer_than_it_works(monkeypatch, transactional_db):
    """Where the database has one writer, nobody can send while it writes."""
    worked: list[tuple[float, float]] = []
    clock = asyncio.get_running_loop().time

    async def run(function, *arguments):
        if function is selectors.conversations_to_note:
            return []
        began = clock()
        await asyncio.sleep(0.03)
        worked.append((began, clock()))
        return None

    monkeypatch.setattr(notifier, "run_in_background", run)
    conversations_moved(range(3 * notifier.BATCH))
    note = asyncio.create_task(notifier.note_what_is_unread())

    await eventually(lambda: len(worked) >= 3)
    note.cancel()

    rests = [after[0] - before[1] for before, after in pairwise(worked)]
    assert min(rests) >= 0.09


def test_conversation_that_is_gone_is_no_obstacle(db, ana, bruno, conversation):
    say(conversation, ana)
    Conversation.objects.filter(pk=conversation.pk).update(noticed_seq=99)

    services.note_unread([conversation.pk])

    assert entries() == {}


# ── deleted messages, and partial reads ──────────────────────────────────────────────────────────────────


def words(user: User) -> list[tuple[int, str]]:
    """The unread entries of a user: the number that each counts, and its text."""
    rows = Notification.objects.filter(user=user, read_at=None).order_by("pk")
    return list(rows.values_list("count", "message"))


def read_up_to(user: User, conversation: Conversation, seq: int) -> None:
    services.mark_read(user_id=user.pk, conversation_id=conversation.pk, up_to_seq=seq)


def delete(conversation: Conversation, message_id: int, by: User) -> None:
    services.delete_message(conversation_id=conversation.pk, message_id=message_id, by=by)


def test_reading_a_part_leaves_the_rest_in_the_inbox(db, ana, bruno, dora, group):
    for sender in (ana, bruno, ana, dora, ana):
        say(group, sender)
    services.note_unread([group.pk])

    read_up_to(bruno, group, 3)
    assert words(bruno) == [(2, "ana sent a message")]
    read_up_to(bruno, group, 4)
    assert words(bruno) == [(1, "ana sent a message")]
    read_up_to(bruno, group, 5)
    assert words(bruno) == []


def test_reading_all_but_ones_own_leaves_nothing(db, ana, bruno, conversation):
    say(conversation, ana)
    say(conversation, bruno)
    services.note_unread([conversation.pk])

    read_up_to(bruno, conversation, 1)

    assert words(bruno) == []


def test_deleted_message_leaves_the_inbox_with_the_name_of_its_sender(db, ana, bruno, dora, group):
    say(group, ana)
    doomed = say(group, bruno)
    services.note_unread([group.pk])
    assert words(dora) == [(2, "bruno sent a message")]

    delete(group, doomed.message_id, bruno)
    services.note_unread([group.pk])

    assert words(dora) == [(1, "ana sent a message")]
    assert words(ana) == []


def test_nobody_is_told_that_they_spoke_themselves(db, ana, bruno, dora, group):
    say(group, ana)
    say(group, bruno)
    doomed = say(group, dora)
    services.note_unread([group.pk])
    assert words(dora) == [(2, "bruno sent a message")]

    delete(group, doomed.message_id, dora)
    services.note_unread([group.pk])

    assert words(bruno) == [(1, "ana sent a message")]
    assert words(dora) == [(2, "bruno sent a message")]


def test_entry_that_began_after_the_inbox_was_read_loses_only_what_it_counts(db, ana, bruno, conversation):
    """Bruno saw the first entry in his inbox, and read none of its messages."""
    early, later = say(conversation, ana), say(conversation, ana)
    services.note_unread([conversation.pk])
    mark_all_read(user_id=bruno.pk)
    for _ in range(2):
        say(conversation, ana)
    services.note_unread([conversation.pk])
    assert words(bruno) == [(2, "ana sent a message")]

    delete(conversation, early.message_id, ana)
    services.note_unread([conversation.pk])
    assert words(bruno) == [(2, "ana sent a message")]
    read_up_to(bruno, conversation, later.seq)
    assert words(bruno) == [(2, "ana sent a message")]
    read_up_to(bruno, conversation, later.seq + 1)
    assert words(bruno) == [(1, "ana sent a message")]


def test_message_deleted_while_it_is_noted_is_uncounted_by_the_next_round(
    transactional_db, ana, bruno, conversation, monkeypatch
):
    """The deletion comes after the heads were read, and before the messages were."""
    say(conversation, ana)
    doomed = say(conversation, ana)
    said = unread._said

    def delete_first(*arguments):
        if not Message.objects.get(pk=doomed.message_id).deleted_at:
            delete(conversation, doomed.message_id, ana)
        return said(*arguments)

    monkeypatch.setattr(unread, "_said", delete_first)
    services.note_unread([conversation.pk])
    services.note_unread([conversation.pk])

    assert entries() == {"bruno": 1}


def test_cost_of_a_deletion_does_not_grow_with_members(db, ana, bruno, clara, conversation, group):
    services.add_members(conversation_id=group.pk, by=ana, users=[clara])
    counts = []
    for somewhere in (conversation, group):
        say(somewhere, ana)
        doomed = say(somewhere, ana)
        services.note_unread([somewhere.pk])
        delete(somewhere, doomed.message_id, ana)
        with CaptureQueriesContext(connection) as queries:
            services.note_unread([somewhere.pk])
        counts.append(len(queries))

    assert counts[0] == counts[1]
