"""Transactions that need the same rows lock them in one order, so that no two end in a deadlock."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection, connections

from accounts import services as accounts
from accounts.errors import UnknownUserError
from accounts.models import User
from chat import services
from chat.models import Participant
from notifications import collapsed
from notifications import services as inbox
from realtime import log
from realtime.topics import user_topic
from tests.chat.speaking import say

pytestmark = [pytest.mark.stack("full"), pytest.mark.django_db(transaction=True)]

#: Waited for in full only when a test fails.
SECONDS = 30


class Meeting:
    """One transaction stops in the middle until another one waits for it, or is done."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(2)
        self._reached = threading.Event()
        self._other: Future[Any] | None = None

    def stops(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap a function so that the first transaction stops after it, once."""

        def and_stop(*arguments: Any, **named: Any) -> Any:
            result = function(*arguments, **named)
            if not self._reached.is_set():
                self._reached.set()
                deadline = time.monotonic() + SECONDS
                while not (self._other is not None and self._other.done()) and not self._somebody_waits():
                    assert time.monotonic() < deadline, "the other one neither waits nor ends"
            return result

        return and_stop

    def run(self, first: Callable[[], Any], other: Callable[[], Any]) -> None:
        """Run both, so that they meet; raise an error of either."""
        one = self._threads.submit(self._in_thread, first)
        assert self._reached.wait(SECONDS), one.exception(timeout=0)
        self._other = self._threads.submit(self._in_thread, other)
        self._other.result(SECONDS)
        one.result(SECONDS)

    def close(self) -> None:
        self._threads.shutdown()

    @staticmethod
    def _in_thread(function: Callable[[], Any]) -> Any:
        try:
            return function()
        finally:
            connections.close_all()

    @staticmethod
    def _somebody_waits() -> bool:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
            return bool(cursor.fetchone()[0])


@pytest.fixture
def meeting() -> Iterator[Meeting]:
    meeting = Meeting()
    yield meeting
    meeting.close()


def has_read(user: User) -> Callable[[], Any]:
    return lambda: inbox.mark_all_read(user_id=user.pk)


def tell(*users: User, key: str = "talk.1") -> Any:
    return inbox.notify_many(
        users=users,
        kind="message_received",
        data={"conversation_id": 1},
        variables={"sender": "x"},
        collapse_key=key,
    )


@pytest.mark.parametrize("leaves", [True, False])
def test_removal_of_a_member_who_reads_everything_is_no_deadlock(
    ana, bruno, group, meeting, monkeypatch, leaves
):
    from chat.services import members

    say(group, ana)
    services.note_unread([group.pk])
    monkeypatch.setattr(members, "read_collapsed", meeting.stops(members.read_collapsed))

    meeting.run(
        lambda: services.remove_member(
            conversation_id=group.pk, by=bruno if leaves else ana, user_id=bruno.pk
        ),
        has_read(bruno),
    )

    assert not Participant.objects.filter(conversation=group, user=bruno).exists()


def test_removal_of_a_member_by_two_callers_is_no_deadlock(ana, bruno, group, meeting, monkeypatch):
    """A shell deletes the row that a service is about to delete."""
    from chat.services import members

    monkeypatch.setattr(members, "_member", meeting.stops(members._member))

    meeting.run(
        lambda: services.remove_member(conversation_id=group.pk, by=ana, user_id=bruno.pk),
        lambda: Participant.objects.get(conversation=group, user=bruno).delete(),
    )

    assert not Participant.objects.filter(conversation=group, user=bruno).exists()


def test_telling_several_users_while_one_reads_everything_is_no_deadlock(ana, bruno, meeting, monkeypatch):
    tell(ana, bruno)
    monkeypatch.setattr(inbox, "_collapsed", meeting.stops(inbox._collapsed))

    meeting.run(lambda: tell(ana, bruno), has_read(bruno))

    assert list(log.heads([user_topic(bruno.pk)]).values()) == [3]


@pytest.mark.parametrize("is_reversed", [True, False])
def test_noting_inboxes_while_one_user_reads_everything_is_no_deadlock(
    ana, bruno, conversation, group, meeting, monkeypatch, is_reversed
):
    """Entries of one user are written in the order of their keys; a table and its index have other orders."""
    both = sorted((conversation, group), key=lambda where: f"conversation.{where.pk}", reverse=is_reversed)
    for where in both:
        say(where, ana)
        services.note_unread([where.pk])
    execute = collapsed.collapsing.upsert

    def upsert_each(rows: Any, **named: Any) -> None:
        """Write the rows of one statement, stopping between them as if it were slow."""
        for row in sorted(rows, key=lambda row: row.collapse_key):
            slow([row], **named)

    slow = meeting.stops(execute)
    for where in both:
        say(where, ana)
    monkeypatch.setattr(collapsed.collapsing, "upsert", upsert_each)

    meeting.run(lambda: services.note_unread([where.pk for where in both]), has_read(bruno))


def test_removal_and_addition_in_two_groups_are_no_deadlock(
    ana, bruno, dora, clara, group, meeting, monkeypatch
):
    """Topics of conversations are locked before those of users, whichever was made first."""
    from chat.services import members

    tell(clara)  # her own topic is older than that of the new group
    other = services.create_conversation(creator=ana, participants=[dora, clara], title="Other")
    monkeypatch.setattr(members.log, "append", meeting.stops(members.log.append))

    meeting.run(
        lambda: services.remove_member(conversation_id=other.pk, by=ana, user_id=clara.pk),
        lambda: services.add_members(conversation_id=group.pk, by=ana, users=[clara]),
    )


def test_moving_cursors_while_their_conversations_are_noted_is_no_deadlock(
    ana, bruno, dora, conversation, group, meeting, monkeypatch
):
    from chat.services import unread

    for where in (conversation, group):
        say(where, ana)
    monkeypatch.setattr(unread, "_cursors", meeting.stops(unread._cursors))
    moves = {(bruno.pk, where.pk): services.Cursor(read=1) for where in (group, conversation)}

    meeting.run(
        lambda: services.note_unread([conversation.pk, group.pk]), lambda: services.move_cursors(moves)
    )

    assert not collapsed.unread_entries().filter(user=bruno).exists()


def test_topics_are_locked_by_name_whichever_is_older(ana, meeting, monkeypatch):
    """One transaction names both at once, the other one after the other."""
    from django.db import transaction

    with transaction.atomic():
        log.lock([user_topic(ana.pk)])
    with transaction.atomic():
        log.lock(["conversation.7"])
    first = meeting.stops(log.lock)

    def one_by_one() -> None:
        with transaction.atomic():
            first(["conversation.7"])
            log.lock([user_topic(ana.pk)])

    def together() -> None:
        with transaction.atomic():
            log.lock([user_topic(ana.pk), "conversation.7"])

    meeting.run(one_by_one, together)


def rename_and_disable(user: User) -> Callable[[], Any]:
    """Do what one form of the admin does."""

    def save() -> None:
        changed = User.objects.get(pk=user.pk)
        changed.username, changed.is_active = "other", False
        changed.save()

    return save


def test_renaming_and_disabling_an_owner_while_they_leave_is_no_deadlock(
    ana, bruno, group, meeting, monkeypatch
):
    monkeypatch.setattr(log, "lock", meeting.stops(log.lock))

    meeting.run(
        rename_and_disable(ana),
        lambda: services.remove_member(conversation_id=group.pk, by=ana, user_id=ana.pk),
    )

    assert Participant.objects.get(conversation=group, user=bruno).role == Participant.Role.OWNER


def test_renaming_and_disabling_an_owner_while_they_sign_out_is_no_deadlock(ana, group, meeting, monkeypatch):
    session = ana.sessions.create()
    monkeypatch.setattr(log, "lock", meeting.stops(log.lock))

    meeting.run(rename_and_disable(ana), lambda: accounts.revoke_session(user=ana, session_id=session.pk))

    session.refresh_from_db()
    assert session.revoked_at is not None


def test_renaming_and_disabling_an_owner_while_their_group_is_noted_is_no_deadlock(
    ana, bruno, group, meeting, monkeypatch
):
    """An entry is written for the owner, and needs their row to commit; their heir is held until then."""
    from chat.services import unread

    say(group, bruno)
    monkeypatch.setattr(unread, "_cursors", meeting.stops(unread._cursors))

    meeting.run(lambda: services.note_unread([group.pk]), rename_and_disable(ana))

    assert Participant.objects.get(conversation=group, user=bruno).role == Participant.Role.OWNER


def test_deleting_users_while_one_is_invited_to_a_group_of_another_is_no_deadlock(
    ana, clara, dora, group, meeting, monkeypatch
):
    """Clara's own topic would come before the group of Dora, who is deleted after her."""
    tell(clara)
    monkeypatch.setattr(log, "lock", meeting.stops(log.lock))

    def invite() -> None:
        with pytest.raises(UnknownUserError):
            services.add_members(conversation_id=group.pk, by=ana, users=[clara])

    meeting.run(lambda: User.objects.filter(pk__in=[clara.pk, dora.pk]).order_by("pk").delete(), invite)

    assert not User.objects.filter(pk__in=[clara.pk, dora.pk]).exists()
