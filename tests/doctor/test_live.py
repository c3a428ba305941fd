"""The doctor beside a working server: it sees consistent data, and blocks nobody."""

from __future__ import annotations

import contextlib
import random
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection, connections, transaction
from django.test.utils import CaptureQueriesContext

from accounts import services as accounts
from accounts.models import User
from bench import fixture
from chat import services
from chat.models import Conversation, Message
from chat.services import Draft
from doctor import examinations
from doctor.examinations import snapshot
from realtime.database import id_ranges
from realtime.errors import RealtimeError
from realtime.log.retention import prune_all
from tests.chat.speaking import say

pytestmark = pytest.mark.django_db(transaction=True)


class Worker:
    """A user who does random things as fast as possible."""

    def __init__(self, live: dict[str, int], seed: int) -> None:
        self.chance = random.Random(seed)
        self.ids = live
        self.deeds = 0
        self.group = Conversation.objects.get(pk=live["group"])
        self.ana, self.dora = User.objects.get(pk=live["ana"]), User.objects.get(pk=live["dora"])

    def work(self, done: threading.Event) -> None:
        """Work until `done` is set."""
        deeds = [
            self.say,
            self.say,
            self.edit,
            self.delete,
            self.remove,
            self.add,
            self.read,
            self.note,
            self.prune,
        ]
        try:
            while not done.is_set():
                with contextlib.suppress(RealtimeError):  # another one was faster
                    self.chance.choice(deeds)()
                    self.deeds += 1
        finally:
            connections.close_all()

    def say(self) -> None:
        services.send_messages([Draft(self.group.pk, self.chance.choice([self.ana, self.dora]), "said")] * 3)

    def edit(self) -> None:
        message = self._last()
        services.edit_message(
            conversation_id=self.group.pk, message_id=message.pk, by=message.sender, content="edited"
        )

    def delete(self) -> None:
        services.delete_message(conversation_id=self.group.pk, message_id=self._last().pk, by=self.ana)

    def remove(self) -> None:
        services.remove_member(conversation_id=self.group.pk, by=self.ana, user_id=self.dora.pk)

    def add(self) -> None:
        services.add_members(conversation_id=self.group.pk, by=self.ana, users=[self.dora])

    def read(self) -> None:
        user_id, seq = self.chance.choice([self.ids["ana"], self.ids["bruno"]]), self.chance.randrange(2_000)
        services.mark_read(user_id=user_id, conversation_id=self.group.pk, up_to_seq=seq)

    def note(self) -> None:
        services.note_unread([self.group.pk, self.ids["pair"]])

    def prune(self) -> None:
        accounts.revoke_all(user=self.dora)
        prune_all()

    def _last(self) -> Message:
        return Message.objects.filter(conversation=self.group, deleted_at=None).latest("seq")


@pytest.mark.timeout(180)
def test_nothing_is_found_while_everybody_writes(live, doctor, monkeypatch):
    monkeypatch.setattr(examinations, "BATCH", 20)
    monkeypatch.setattr(id_ranges, "ROWS", 20)
    done = threading.Event()
    workers = [Worker(live, seed) for seed in range(3)]
    visits = []
    with ThreadPoolExecutor(3) as pool:
        running = [pool.submit(worker.work, done) for worker in workers]
        try:
            while min(worker.deeds for worker in workers) < 30 and not any(each.done() for each in running):
                visits.append(doctor())
        finally:
            done.set()

    assert [each.exception() for each in running] == [None] * 3
    assert visits
    assert {(said.status, tuple(said.findings)) for said in visits} == {(0, ())}
    assert doctor().findings == []


def test_open_snapshot_holds_no_writer_up_and_does_not_see_it(live):
    group = Conversation.objects.get(pk=live["group"])
    ana = User.objects.get(pk=live["ana"])

    def write() -> None:
        try:
            say(group, ana)
        finally:
            connections.close_all()

    with snapshot():
        before = Message.objects.count()
        with ThreadPoolExecutor(1) as pool:
            pool.submit(write).result(timeout=10)
        assert Message.objects.count() == before

    assert Message.objects.count() == before + 1


def test_visit_writes_nothing(live, doctor):
    with CaptureQueriesContext(
        connection,
    ) as queries:
        doctor()

    said = {query["sql"].split(maxsplit=1)[0] for query in queries}
    assert said <= {"SELECT", "WITH", "BEGIN", "ROLLBACK", "DECLARE", "FETCH", "CLOSE"}


def test_queries_grow_with_batches_and_not_with_rows(live, doctor, monkeypatch):
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert doctor().findings == []
        return len(captured)

    before = queries()
    with transaction.atomic():
        fixture.make(members=5, conversations=40, messages=10)

    assert queries() <= before + 5


@pytest.mark.timeout(300)
def test_memory_does_not_grow_with_the_messages(doctor):
    def peak() -> int:
        tracemalloc.start()
        try:
            assert doctor().findings == []
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    with transaction.atomic():
        fixture.make(members=20, messages=2_000)
    services.note_unread(list(Conversation.objects.values_list("pk", flat=True)))
    small = peak()
    with transaction.atomic():
        fixture.make(members=20, messages=12_000)
        fixture.make(members=20, conversations=50, messages=40)
    services.note_unread(list(Conversation.objects.values_list("pk", flat=True)))

    assert peak() < small * 1.5
