"""An acknowledged message is stored exactly once, and for ever."""

import asyncio
import itertools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
from django.db import IntegrityError, OperationalError, connections

from chat import rows
from chat.events import conversation_topic
from chat.models import Message
from chat.services import Draft, Sent, create_conversation, messages
from realtime import log
from realtime.errors import BusyError, UnavailableError
from realtime.publishing import announcing
from tests.chat.speaking import aside, chat_path, contents, logged, say, send
from tests.factories import make_conversation


async def test_ack_has_the_message_its_place_and_its_moment(ana, conversation, connect):
    client_id = str(uuid4())
    async with connect(ana, chat_path(conversation)) as socket:
        await socket.send({"message": "Bonjour", "client_id": client_id, "ref": 7})
        frames = {frame["type"]: frame for frame in [await socket.receive(), await socket.receive()]}

    message = frames["message"]
    assert message["client_id"] == client_id
    assert frames["ack"] == {
        "type": "ack",
        "ref": 7,
        "client_id": client_id,
        "message_id": message["message_id"],
        "seq": message["seq"],
        "created_at": message["created_at"],
        "duplicate": False,
    }


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        ({"ref": "a-1"}, ("a-1", None)),
        (
            {"client_id": "0198c6e0-0000-7000-8000-000000000001"},
            (None, "0198c6e0-0000-7000-8000-000000000001"),
        ),
    ],
)
async def test_either_a_ref_or_a_client_id_asks_for_an_ack(ana, conversation, connect, asked, answered):
    async with connect(ana, chat_path(conversation)) as socket:
        await socket.send({"message": "Bonjour", **asked})
        ack = await socket.receive_until("ack")

    assert (ack["ref"], ack["client_id"]) == answered


async def test_ack_is_for_the_sending_socket_alone(ana, conversation, connect):
    async with (
        connect(ana, chat_path(conversation, "?v=1")) as sender,
        connect(ana, chat_path(conversation, "?v=1")) as other_device,
    ):
        await other_device.receive_until("subscribed")
        await sender.send({"message": "Bonjour", "ref": 1})
        await sender.receive_until("ack")

        assert (await other_device.receive())["type"] == "message"
        assert await other_device.receives_nothing()


async def test_nothing_is_acknowledged_or_told_before_the_commit(ana, bruno, conversation, connect, patient):
    """Another transaction holds the conversation: until it ends there is nothing to acknowledge."""
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        with announcing():
            log.lock([conversation_topic(conversation.pk)])
            held.set()
            release.wait(40)
        connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        async with (
            connect(ana, chat_path(conversation, "?v=1")) as sender,
            connect(bruno, chat_path(conversation)) as receiver,
        ):
            await sender.receive_until("subscribed")
            holding = pool.submit(hold)
            await asyncio.to_thread(held.wait, 10)
            await sender.send({"message": "Bonjour", "ref": 1})

            assert await sender.receives_nothing()
            assert await receiver.receives_nothing()
            release.set()
            assert (await sender.receive_until("ack"))["ref"] == 1
            assert (await receiver.receive())["content"] == "Bonjour"
            holding.result()


async def test_send_whose_commit_fails_is_an_error_and_no_ack(ana, conversation, connect, monkeypatch):
    def fail(_connection: object) -> None:
        raise OperationalError("the disk is gone")

    client_id = str(uuid4())
    async with connect(ana, chat_path(conversation)) as socket:
        with monkeypatch.context() as patch:
            patch.setattr("django.db.backends.base.base.BaseDatabaseWrapper._commit", fail)
            await socket.send({"message": "perhaps", "client_id": client_id, "ref": 1})
            error = await socket.receive()
        await socket.send({"message": "perhaps", "client_id": client_id, "ref": 2})
        ack = await socket.receive_until("ack")

    assert (error["type"], error["code"], error["ref"]) == ("error", "unavailable", 1)
    assert (ack["ref"], ack["duplicate"]) == (2, False)
    assert await aside(contents)(conversation) == ["perhaps"]


async def test_message_that_is_not_stored_is_an_error_and_no_ack(
    ana, conversation, connect, monkeypatch, caplog
):
    monkeypatch.setattr(log, "append", lambda *_, **__: 1 / 0)
    async with connect(ana, chat_path(conversation)) as socket:
        await socket.send({"message": "lost", "client_id": str(uuid4()), "ref": 1})
        error = await socket.receive()
        monkeypatch.undo()
        await socket.send({"message": "kept", "ref": 2})
        frames = [await socket.receive(), await socket.receive()]

    assert (error["type"], error["code"], error["ref"]) == ("error", "internal_error", 1)
    assert {frame["type"] for frame in frames} == {"message", "ack"}
    assert await aside(contents)(conversation) == ["kept"]
    assert "could not be stored" in caplog.text


# ── duplicates ───────────────────────────────────────────────────────────────────────────────────────────


class Doors:
    """Every way to send the same message; each returns what the sender is told of it."""

    def __init__(self, connect, api, conversation, sender) -> None:
        self.connect, self.api, self.conversation, self.sender = connect, api, conversation, sender

    async def socket(self, client_id):
        async with self.connect(self.sender, chat_path(self.conversation)) as socket:
            await socket.send({"message": "Bonjour", "client_id": str(client_id)})
            return await socket.receive_until("ack")

    async def rest(self, client_id):
        client = await aside(self.api)(self.sender)
        answer = await aside(client.post)(
            f"/api/conversations/{self.conversation.pk}/messages/",
            {"message": "Bonjour", "client_id": str(client_id)},
        )
        assert answer.status_code == (200 if answer.json()["duplicate"] else 201)
        return answer.json()

    async def batch(self, client_id):
        draft = Draft(self.conversation.pk, self.sender, "Bonjour", client_id)
        other = Draft(self.conversation.pk, self.sender, "something else")
        _, first, second = await aside(send)([other, draft, draft])
        assert (first.message_id, first.seq) == (second.message_id, second.seq)
        assert second.duplicate
        return {"message_id": first.message_id, "seq": first.seq, "duplicate": first.duplicate}


async def test_same_client_id_is_one_message_however_it_is_sent(ana, conversation, connect, api):
    doors = Doors(connect, api, conversation, ana)
    for first, second in itertools.product([doors.socket, doors.rest, doors.batch], repeat=2):
        client_id = uuid4()

        original, again = await first(client_id), await second(client_id)

        assert (original["duplicate"], again["duplicate"]) == (False, True)
        assert (original["message_id"], original["seq"]) == (again["message_id"], again["seq"])
        assert await aside(Message.objects.filter(client_id=client_id).count)() == 1


async def test_duplicate_is_told_to_nobody_else(ana, bruno, conversation, connect):
    client_id = str(uuid4())
    async with (
        connect(ana, chat_path(conversation)) as sender,
        connect(bruno, chat_path(conversation)) as receiver,
    ):
        for text in ("Bonjour", "Bonjour", "a changed mind"):
            await sender.send({"message": text, "client_id": client_id})
        acks = [await sender.receive_until("ack") for _ in range(3)]

        assert (await receiver.receive())["content"] == "Bonjour"
        assert await receiver.receives_nothing()
    assert [ack["duplicate"] for ack in acks] == [False, True, True]
    assert await aside(contents)(conversation) == ["Bonjour"]


def test_client_id_of_another_sender_or_conversation_is_no_duplicate(db, ana, bruno, conversation):
    elsewhere = create_conversation(creator=ana, participants=[bruno], title="elsewhere")
    client_id = uuid4()

    sent = [say(conversation, ana, "1", client_id), say(conversation, bruno, "2", client_id)]
    sent += [say(elsewhere, ana, "3", client_id)]
    together = send(
        [
            Draft(c.pk, u, "again", client_id)
            for c, u in [(conversation, ana), (conversation, bruno), (elsewhere, ana), (elsewhere, bruno)]
        ]
    )

    assert [outcome.duplicate for outcome in sent] == [False] * 3
    assert len({outcome.message_id for outcome in sent}) == 3
    assert [outcome.duplicate for outcome in together] == [True, True, True, False]
    assert [outcome.message_id for outcome in together[:3]] == [outcome.message_id for outcome in sent]


def test_messages_without_client_id_are_never_duplicates(db, ana, conversation):
    outcomes = send([Draft(conversation.pk, ana, "same")] * 3)

    assert [outcome.duplicate for outcome in outcomes] == [False] * 3
    assert [outcome.seq for outcome in outcomes] == [1, 2, 3]


def test_deleted_message_stays_the_answer_to_its_client_id(db, ana, conversation):
    """A retry that arrives after the deletion must not bring the text back."""
    client_id = uuid4()
    original = say(conversation, ana, "regretted", client_id)
    messages.delete_message(conversation_id=conversation.pk, message_id=original.message_id, by=ana)

    again = say(conversation, ana, "regretted", client_id)

    assert (again.message_id, again.duplicate) == (original.message_id, True)
    assert "regretted" not in "".join(logged(conversation))


# ── batches ──────────────────────────────────────────────────────────────────────────────────────────────


def test_draft_that_is_refused_refuses_no_other(db, ana, bruno, clara, conversation):
    drafts = [
        Draft(conversation.pk, ana, "one"),
        Draft(conversation.pk, clara, "intruder"),
        Draft(999_999, ana, "nowhere"),
        Draft(conversation.pk, bruno, "two"),
    ]

    outcomes = send(drafts)

    assert [getattr(outcome, "seq", None) for outcome in outcomes] == [1, None, None, 2]
    assert {outcome.code for outcome in outcomes[1:3]} == {"not_a_participant"}
    assert contents(conversation) == ["one", "two"]


def test_batch_that_lost_a_race_is_sent_one_by_one(transactional_db, ana, conversation, monkeypatch):
    """Another process stored one of the client_ids after this one had looked."""
    raced = uuid4()
    winner = say(conversation, ana, "raced", raced)
    look_up, looked = rows.look_up, []

    def look_too_early(sends):
        looked.append(sends)
        found = look_up(sends)
        return found if len(looked) > 1 else {place: (None, new) for place, (_, new) in found.items()}

    monkeypatch.setattr(rows, "look_up", look_too_early)

    before, loser, after = send(
        [
            Draft(conversation.pk, ana, "before"),
            Draft(conversation.pk, ana, "raced", raced),
            Draft(conversation.pk, ana, "after"),
        ]
    )

    assert (loser.message_id, loser.duplicate) == (winner.message_id, True)
    assert (before.seq, after.seq) == (2, 3)
    assert contents(conversation) == ["raced", "before", "after"]


def test_draft_the_database_refuses_fails_alone(transactional_db, ana, conversation, monkeypatch):
    insert = rows.insert_messages

    def refuse_poison(messages, moment):
        if any(message.content == "poison" for message in messages):
            raise IntegrityError
        return insert(messages, moment)

    monkeypatch.setattr(rows, "insert_messages", refuse_poison)

    good, bad, better = send([Draft(conversation.pk, ana, text) for text in ("good", "poison", "better")])

    assert (good.seq, better.seq, bad.code) == (1, 2, "internal_error")
    assert contents(conversation) == ["good", "better"]
    with pytest.raises(IntegrityError):
        send([Draft(conversation.pk, ana, "poison")])


@pytest.fixture
def stored_alone(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, Exception]], list[str]]:
    """Batches are refused, so that each draft is tried alone; named contents fail. The list holds the
    contents that were tried."""
    insert, tried = rows.insert_messages, []

    def fail(failures: dict[str, Exception]) -> list[str]:
        def refuse(messages, moment):
            if len(messages) > 1:
                raise IntegrityError
            tried.append(messages[0].content)
            if messages[0].content in failures:
                raise failures[messages[0].content]
            return insert(messages, moment)

        monkeypatch.setattr(rows, "insert_messages", refuse)
        return tried

    return fail


def test_draft_stored_alone_is_acknowledged_although_the_database_goes(
    transactional_db, ana, conversation, stored_alone
):
    tried = stored_alone({"second": OperationalError("gone")})

    outcomes = send([Draft(conversation.pk, ana, text) for text in ("first", "second", "third")])

    assert [type(outcome) for outcome in outcomes] == [Sent, UnavailableError, UnavailableError]
    assert tried == ["first", "second"]
    assert contents(conversation) == ["first"]


def test_draft_behind_a_held_one_waits_when_drafts_are_tried_alone(
    transactional_db, ana, bruno, conversation, stored_alone
):
    elsewhere = make_conversation(ana, bruno, title="elsewhere")
    stored_alone({"second": BusyError(retry_after_ms=1)})

    outcomes = send(
        [Draft(conversation.pk, ana, text) for text in ("first", "second", "third")]
        + [Draft(elsewhere.pk, ana, "free")]
    )

    assert [type(outcome) for outcome in outcomes] == [Sent, BusyError, BusyError, Sent]
    assert contents(conversation) == ["first"]
