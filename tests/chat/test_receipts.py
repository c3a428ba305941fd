"""Receipts: cursors only move forward, the others are told of them, and counts never drift."""

import itertools
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import User
from chat import receipts, selectors, services
from chat.models import Conversation, Message, Participant
from notifications.models import Notification
from tests.chat.speaking import aside, chat_path, head_of, say, share_of
from tests.factories import make_conversation, make_user


def cursors_of(user: User, conversation: Conversation) -> tuple[int, int]:
    share = share_of(user, conversation)
    return share.delivered_seq, share.read_seq


@pytest.fixture
def url(conversation) -> str:
    return f"/api/conversations/{conversation.pk}"


def test_cursors_only_move_forward_and_stop_at_the_head(db, ana, bruno, conversation, api, url):
    for _ in range(5):
        say(conversation, ana)

    def move(kind: str, up_to_seq: int) -> tuple[int, int, int]:
        answer = api(bruno).post(f"{url}/{kind}/", {"up_to_seq": up_to_seq}).json()
        assert (answer["delivered_seq"], answer["read_seq"]) == cursors_of(bruno, conversation)
        return answer["delivered_seq"], answer["read_seq"], answer["unread_count"]

    assert move("delivered", 3) == (3, 0, 5)
    assert move("read", 2) == (3, 2, 3)
    assert move("read", 1) == (3, 2, 3)
    assert move("delivered", 0) == (3, 2, 3)
    assert move("delivered", 4) == (4, 2, 3)
    assert move("read", 4) == (4, 4, 1)
    assert move("read", 2**53 - 1) == (5, 5, 0)
    assert move("delivered", 2**53 - 1) == (5, 5, 0)


@pytest.mark.parametrize(
    "body", [{}, {"up_to_seq": -1}, {"up_to_seq": 2**53}, {"up_to_seq": "x"}, {"up_to_seq": None}]
)
def test_position_that_cannot_be_is_refused(db, ana, bruno, conversation, api, url, body):
    say(conversation, ana)

    for kind in ("read", "delivered"):
        answer = api(bruno).post(f"{url}/{kind}/", body)
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_input")
    assert cursors_of(bruno, conversation) == (0, 0)


async def test_receipts_are_told_to_v1_members_and_not_kept(ana, bruno, conversation, connect):
    for _ in range(3):
        await aside(say)(conversation, ana)
    async with (
        connect(ana, chat_path(conversation, "?v=1")) as sender,
        connect(ana, chat_path(conversation)) as guide,
        connect(bruno, chat_path(conversation)) as reader,
    ):
        await sender.receive_until("subscribed")
        await reader.send({"type": "read", "up_to_seq": 2})

        assert await sender.receive() == {
            "type": "receipt",
            "user_id": bruno.pk,
            "delivered_seq": 2,
            "read_seq": 2,
            "conversation_id": conversation.pk,
        }
        assert await guide.receives_nothing()
    assert await aside(head_of)(conversation) == 3


async def test_many_receipts_are_written_and_told_once(ana, bruno, conversation, connect):
    for _ in range(20):
        await aside(say)(conversation, ana)
    async with (
        connect(ana, chat_path(conversation, "?v=1")) as sender,
        connect(bruno, chat_path(conversation, "?v=1")) as reader,
    ):
        await sender.receive_until("subscribed")
        for seq in random.sample(range(1, 21), 20):
            await reader.send({"type": "read", "up_to_seq": seq})

        assert (await sender.receive())["read_seq"] == 20
        assert await sender.receives_nothing()


async def test_receipt_that_moves_nothing_is_told_to_nobody(ana, bruno, conversation, connect):
    await aside(say)(conversation, ana)
    share = {"user_id": bruno.pk, "conversation_id": conversation.pk}
    await aside(services.mark_read)(up_to_seq=1, **share)
    async with connect(ana, chat_path(conversation, "?v=1")) as socket:
        await socket.receive_until("subscribed")
        await aside(services.mark_read)(up_to_seq=1, **share)
        await aside(services.mark_delivered)(up_to_seq=1, **share)

        assert await socket.receives_nothing()


async def test_cursor_that_cannot_be_is_an_error_on_the_socket(ana, bruno, conversation, connect):
    await aside(say)(conversation, ana)
    async with connect(bruno, chat_path(conversation)) as socket:
        for kind, up_to_seq in itertools.product(
            ("read", "delivered"), (-1, 2**53, 10**30, "1", None, True, 1.5, [])
        ):
            await socket.send_wrong({"type": kind, "up_to_seq": up_to_seq, "ref": f"{kind} {up_to_seq}"})
            error = await socket.receive()
            assert (error["code"], error["ref"]) == ("invalid_frame", f"{kind} {up_to_seq}")
    assert await aside(cursors_of)(bruno, conversation) == (0, 0)


# ── the inbox entry ──────────────────────────────────────────────────────────────────────────────────────


def unread_entries(user: User) -> list[int]:
    return list(Notification.objects.filter(user=user, read_at=None).values_list("count", flat=True))


def test_reading_reads_the_inbox_entry_and_delivery_does_not(db, ana, bruno, conversation):
    share = {"user_id": bruno.pk, "conversation_id": conversation.pk, "up_to_seq": 1}
    say(conversation, ana)
    services.note_unread([conversation.pk])

    services.mark_delivered(**share)
    assert unread_entries(bruno) == [1]
    services.mark_read(**share)
    assert unread_entries(bruno) == []


def test_reading_one_conversation_leaves_the_entries_of_others(db, ana, bruno, dora, conversation, group):
    for somewhere in (conversation, group):
        say(somewhere, ana)
        services.note_unread([somewhere.pk])

    services.mark_read(user_id=bruno.pk, conversation_id=group.pk, up_to_seq=1)

    assert Notification.objects.get(user=bruno, read_at=None).data == {"conversation_id": conversation.pk}
    assert unread_entries(dora) == [1]


def test_stale_cursor_leaves_the_entry_of_newer_messages_alone(db, ana, bruno, conversation):
    """A second device repeats what was read long ago; the new messages are still unread."""
    share = {"user_id": bruno.pk, "conversation_id": conversation.pk}
    say(conversation, ana)
    services.mark_read(up_to_seq=1, **share)
    say(conversation, ana)
    services.note_unread([conversation.pk])

    services.mark_read(up_to_seq=1, **share)
    assert unread_entries(bruno) == [1]
    services.mark_read(up_to_seq=2, **share)
    assert unread_entries(bruno) == []


def test_entry_of_messages_already_read_is_read_by_reading_them_again(db, ana, bruno, conversation):
    """Whatever wrote the entry late: a client that says "read" at the head makes it go."""
    share = {"user_id": bruno.pk, "conversation_id": conversation.pk}
    say(conversation, ana)
    services.note_unread([conversation.pk])
    Participant.objects.filter(user=bruno).update(read_seq=1, delivered_seq=1)

    services.mark_read(up_to_seq=1, **share)

    assert unread_entries(bruno) == []


# ── any history ──────────────────────────────────────────────────────────────────────────────────────────

WHO = st.integers(0, 2)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("say"), WHO),
        st.tuples(st.just("delete"), st.integers(0, 30)),
        st.tuples(st.just("edit"), st.integers(0, 30)),
        st.tuples(st.just("read"), WHO, st.integers(0, 40)),
        st.tuples(st.just("delivered"), WHO, st.integers(0, 40)),
        st.tuples(st.just("leave"), st.integers(1, 2)),
        st.tuples(st.just("join"), st.integers(1, 2)),
        st.just(("note",)),
    ),
    max_size=20,
)


class History:
    """A group that is driven step by step, with checks of what must hold whatever happened."""

    def __init__(self, people: list[User]) -> None:
        self.people = people
        self.group = make_conversation(*people, title="any history")
        self.seen: dict[int, tuple[int, int]] = {}

    def do(self, step: tuple) -> None:
        verb, *rest = step
        getattr(self, verb)(*rest)

    def say(self, who: int) -> None:
        if self._is_member(who):
            say(self.group, self.people[who])

    def delete(self, which: int) -> None:
        if (message := self._message(which)) is not None:
            services.moderate_message(message_id=message.pk, by=self.people[0], content=None)

    def edit(self, which: int) -> None:
        if (message := self._message(which)) is not None:
            services.moderate_message(message_id=message.pk, by=self.people[0], content="edited")

    def read(self, who: int, up_to_seq: int) -> None:
        if self._is_member(who):
            services.mark_read(
                user_id=self.people[who].pk, conversation_id=self.group.pk, up_to_seq=up_to_seq
            )

    def delivered(self, who: int, up_to_seq: int) -> None:
        if self._is_member(who):
            services.mark_delivered(
                user_id=self.people[who].pk, conversation_id=self.group.pk, up_to_seq=up_to_seq
            )

    def leave(self, who: int) -> None:
        if self._is_member(who):
            services.remove_member(
                conversation_id=self.group.pk, by=self.people[0], user_id=self.people[who].pk
            )
            self.seen.pop(self.people[who].pk, None)

    def join(self, who: int) -> None:
        services.add_members(conversation_id=self.group.pk, by=self.people[0], users=[self.people[who]])

    def note(self) -> None:
        services.note_unread([self.group.pk])

    def check(self) -> None:
        head = head_of(self.group)
        for share in Participant.objects.filter(conversation=self.group).select_related("user"):
            before = self.seen.get(share.user_id, (0, 0))
            assert before[0] <= share.delivered_seq <= head
            assert before[1] <= share.read_seq <= share.delivered_seq
            self.seen[share.user_id] = (share.delivered_seq, share.read_seq)

            membership = selectors.membership_for(user_id=share.user_id, conversation_id=self.group.pk)
            counted = sum(
                1
                for message in Message.objects.filter(conversation=self.group)
                if message.seq > max(share.read_seq, share.joined_seq)
                and message.deleted_at is None
                and message.sender_id != share.user_id
            )
            row = selectors.conversation_of(user_id=share.user_id, conversation_id=self.group.pk)
            assert selectors.unread_count(membership) == row.my.unread == counted
            self._check_inbox(share)

    def _check_inbox(self, share: Participant) -> None:
        """Check that the entry counts the noted messages that are neither deleted nor read, and names the
        latest."""
        noticed_seq = Conversation.objects.get(pk=self.group.pk).noticed_seq
        unread = Message.objects.filter(conversation=self.group, seq__gt=share.read_seq, seq__lte=noticed_seq)
        counted = [
            message.sender.username
            for message in unread.exclude(sender=share.user).select_related("sender").order_by("seq")
            if message.deleted_at is None or (message.deleted_seq or 0) > noticed_seq
        ]
        entries = Notification.objects.filter(user=share.user, read_at=None).values_list("count", "message")
        assert list(entries) == ([(len(counted), f"{counted[-1]} sent a message")] if counted else [])

    def end(self) -> None:
        """Check at the end that the inbox shows what is unread in the conversation."""
        self.note()
        for user in self.group.members.all():
            membership = selectors.membership_for(user_id=user.pk, conversation_id=self.group.pk)
            assert sum(unread_entries(user)) == selectors.unread_count(membership)

    def _is_member(self, who: int) -> bool:
        return Participant.objects.filter(conversation=self.group, user=self.people[who]).exists()

    def _message(self, which: int) -> Message | None:
        alive = Message.objects.filter(conversation=self.group, deleted_at=None).order_by("seq")
        return alive[which % len(alive)] if alive else None


@given(steps=STEPS)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_cursors_and_counts_hold_in_any_history(db, ana, bruno, dora, steps):
    Notification.objects.all().delete()
    history = History([ana, bruno, dora])
    for step in steps:
        history.do(step)
        history.check()
    history.end()


def test_receipts_that_give_way_after_a_resume_are_counted_as_such(db, ana, bruno, conversation):
    sent = say(conversation, ana)
    services.mark_read(user_id=bruno.pk, conversation_id=conversation.pk, up_to_seq=sent.seq)

    (batch,) = receipts.receipts_told([conversation.pk])[conversation.pk]

    assert (batch.is_droppable, set(batch.droppable_kinds)) == (True, {"receipt"})


async def test_all_cursors_are_told_after_a_resume_however_many(
    ana, bruno, group, connect, relais, monkeypatch
):
    """There are more than fit at once, and the client reads."""
    monkeypatch.setattr(receipts, "RECEIPTS_AT_A_TIME", 3)
    relais(limit_outbox_bytes=1_000)
    sent = await aside(say)(group, ana)

    def read_by_many() -> set[int]:
        users = [make_user(f"reader-{number}") for number in range(20)]
        services.add_members(conversation_id=group.pk, by=ana, users=users)
        return {user.pk for user in users}

    readers = await aside(read_by_many)()
    await aside(services.mark_read)(user_id=bruno.pk, conversation_id=group.pk, up_to_seq=sent.seq)
    head = await aside(head_of)(group)
    async with connect(bruno, chat_path(group, f"?since={head}")) as socket:
        await socket.receive_until("subscribed")
        told = [(await socket.receive_until("receipt"))["user_id"] for _ in readers]
        assert await socket.receives_nothing()

    assert set(told) == readers
