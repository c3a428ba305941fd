"""Edits and deletions are told as events, refused to callers without the right, and the text is really
gone."""

import json

import pytest
from django.db import connection

from chat import selectors, services
from chat.errors import MessageNotFoundError
from chat.events import conversation_topic
from chat.models import Message
from realtime.testing import position_at
from tests.chat.speaking import aside, chat_path, contents, head_of, logged, say

SECRET = "xyzzy-the-words"


def everything_stored() -> str:
    """Every row of every table of ours, as text."""
    text = []
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
            text += [str(row) for row in cursor.fetchall()]
    return "\n".join(text)


# ── what is told ─────────────────────────────────────────────────────────────────────────────────────────


async def test_edit_over_the_socket_is_acknowledged_and_told(ana, bruno, conversation, connect):
    async with (
        connect(ana, chat_path(conversation, "?v=1")) as sender,
        connect(bruno, chat_path(conversation, "?v=1")) as receiver,
    ):
        await sender.send({"message": "Bonjuor", "ref": 1})
        message_id = (await sender.receive_until("ack"))["message_id"]
        await sender.send({"type": "edit", "message_id": message_id, "message": "Bonjour", "ref": 2})

        assert await sender.receive_until("ack") == {
            "type": "ack",
            "ref": 2,
            "seq": 2,
            "message_id": message_id,
        }
        event = await receiver.receive_until("message_edited")

    position = await aside(position_at)(conversation_topic(conversation.pk), 2)
    assert event.pop("edited_at").endswith("Z")
    assert event == {
        "type": "message_edited",
        "message_id": message_id,
        "sender_id": ana.pk,
        "content": "Bonjour",
        "conversation_id": conversation.pk,
        "seq": 2,
        "position": position,
    }
    assert await aside(contents)(conversation) == ["Bonjour"]


async def test_deletion_over_the_socket_is_acknowledged_and_told_without_the_words(
    ana, bruno, conversation, connect
):
    async with (
        connect(ana, chat_path(conversation, "?v=1")) as sender,
        connect(bruno, chat_path(conversation, "?v=1")) as receiver,
    ):
        await sender.send({"message": SECRET, "ref": 1})
        message_id = (await sender.receive_until("ack"))["message_id"]
        await receiver.receive_until("message")
        await sender.send({"type": "delete", "message_id": message_id, "ref": 2})

        assert await sender.receive_until("ack") == {
            "type": "ack",
            "ref": 2,
            "seq": 2,
            "message_id": message_id,
        }
        event = await receiver.receive()

    position = await aside(position_at)(conversation_topic(conversation.pk), 2)
    assert event.pop("deleted_at").endswith("Z")
    assert event == {
        "type": "message_deleted",
        "message_id": message_id,
        "deleted_by": ana.pk,
        "conversation_id": conversation.pk,
        "seq": 2,
        "message_seq": 1,
        "sender_id": ana.pk,
        "position": position,
    }


# ── what remains ─────────────────────────────────────────────────────────────────────────────────────────


def test_words_of_a_deleted_message_are_nowhere(transactional_db, ana, bruno, conversation):
    """The text is not in the message, not in the log, not where it was edited, and not in anybody's inbox."""
    message_id = say(conversation, ana, f"{SECRET}-1").message_id
    for number in (2, 3):
        services.edit_message(
            conversation_id=conversation.pk, message_id=message_id, by=ana, content=f"{SECRET}-{number}"
        )
    services.note_unread([conversation.pk])
    assert everything_stored().count(SECRET) >= 4

    services.delete_message(conversation_id=conversation.pk, message_id=message_id, by=ana)

    assert SECRET not in everything_stored()


async def test_later_resume_shows_the_tombstone_at_the_very_place(ana, bruno, conversation, connect):
    message_id = (await aside(say)(conversation, ana, SECRET)).message_id
    changed = {"conversation_id": conversation.pk, "message_id": message_id, "by": ana}
    await aside(services.edit_message)(content=f"{SECRET}!", **changed)
    await aside(say)(conversation, ana, "other words")
    await aside(services.delete_message)(**changed)

    async with connect(bruno, chat_path(conversation, "?since=0")) as socket:
        told = [await socket.receive() for _ in range(4)]
        assert (await socket.receive())["type"] == "subscribed"

    assert [(frame["seq"], frame["type"], frame.get("message_seq")) for frame in told] == [
        (1, "message_deleted", 1),
        (2, "message_deleted", None),
        (3, "message", None),
        (4, "message_deleted", 1),
    ]
    assert {frame["message_id"] for frame in told if frame["type"] == "message_deleted"} == {message_id}
    assert SECRET not in json.dumps(told)


def test_other_messages_and_conversations_keep_their_words(db, ana, bruno, clara, conversation):
    elsewhere = services.create_conversation(creator=ana, participants=[clara])
    say(elsewhere, ana, "first of another conversation")
    doomed = say(conversation, ana, SECRET)
    say(conversation, ana, "second")

    services.delete_message(conversation_id=conversation.pk, message_id=doomed.message_id, by=ana)

    assert contents(conversation) == ["", "second"]
    assert contents(elsewhere) == ["first of another conversation"]
    assert "first of another" in logged(elsewhere)[0]
    assert [json.loads(body)["seq"] for body in logged(conversation)] == [1, 2, 3]


def test_history_shows_where_something_was_and_the_list_what_is_left(db, ana, bruno, conversation, api):
    say(conversation, ana, "left")
    doomed = say(conversation, ana, SECRET)
    services.delete_message(conversation_id=conversation.pk, message_id=doomed.message_id, by=ana)

    history = api(bruno).get(f"/api/conversations/{conversation.pk}/messages/").json()["results"]
    [row] = api(bruno).get("/api/conversations/").json()["results"]

    assert [(message["content"], message["deleted_at"] is None) for message in history] == [
        ("", False),
        ("left", True),
    ]
    assert (row["last_message"]["content"], row["unread_count"]) == ("left", 1)


# ── who may ──────────────────────────────────────────────────────────────────────────────────────────────


def test_only_its_sender_edits_a_message(db, ana, bruno, clara, group, api):
    """Not even the owner of the group may change another member's text."""
    message_id = say(group, bruno, "mine").message_id
    url = f"/api/conversations/{group.pk}/messages/{message_id}/"

    answers = {user: api(user).patch(url, {"message": "not mine"}) for user in (ana, clara)}

    assert {user.username: answer.json()["code"] for user, answer in answers.items()} == {
        "ana": "not_your_message",
        "clara": "not_a_participant",
    }
    assert api(bruno).patch(url, {"message": "still mine"}).json() == {"seq": 2}
    assert contents(group) == ["still mine"]


def test_sender_and_managers_delete_and_nobody_else(db, ana, bruno, dora, clara, group, api):
    messages = [say(group, bruno, text).message_id for text in ("a", "b", "c")]

    def delete(user, message_id):
        return api(user).delete(f"/api/conversations/{group.pk}/messages/{message_id}/").json().get("code")

    assert delete(dora, messages[0]) == "not_allowed"
    assert delete(clara, messages[0]) == "not_a_participant"
    assert contents(group) == ["a", "b", "c"]

    assert delete(bruno, messages[0]) is None
    assert delete(ana, messages[1]) is None
    services.change_role(conversation_id=group.pk, by=ana, user_id=dora.pk, role="admin")
    assert delete(dora, messages[2]) is None
    assert contents(group) == ["", "", ""]


def test_neither_of_two_deletes_what_the_other_said(db, ana, bruno, conversation, api):
    """A direct conversation has no managers."""
    message_id = say(conversation, ana, "mine").message_id

    answer = api(bruno).delete(f"/api/conversations/{conversation.pk}/messages/{message_id}/")

    assert (answer.status_code, answer.json()["code"]) == (403, "not_allowed")
    assert contents(conversation) == ["mine"]


async def test_refused_change_is_answered_with_its_ref_and_the_socket_lives(
    ana, bruno, conversation, connect
):
    message_id = (await aside(say)(conversation, ana, "mine")).message_id
    async with connect(bruno, chat_path(conversation, "?v=1")) as socket:
        await socket.receive_until("subscribed")
        for ref, frame in enumerate(
            [
                {"type": "edit", "message_id": message_id, "message": "yours"},
                {"type": "edit", "message_id": 999_999, "message": "nothing"},
                {"type": "edit", "message_id": 2**53 - 1, "message": "nothing"},
                {"type": "delete", "message_id": 999_999},
                {"type": "edit", "message_id": message_id, "message": " "},
            ]
        ):
            await socket.send({**frame, "ref": ref})
        for ref, message_id in enumerate((10**30, -1), start=5):
            await socket.send_wrong(
                {"type": "edit", "message_id": message_id, "message": "nothing", "ref": ref}
            )
        errors = [await socket.receive() for _ in range(7)]
        await socket.send({"message": "alive"})
        assert (await socket.receive())["content"] == "alive"

    assert [error["ref"] for error in errors] == list(range(7))
    assert [error["code"] for error in errors] == [
        "not_your_message",
        *["message_not_found"] * 3,
        "empty_message",
        *["message_not_found"] * 2,
    ]
    assert await aside(contents)(conversation) == ["mine", "alive"]


@pytest.mark.parametrize("change", ["edit", "delete"])
def test_deleted_message_cannot_be_changed_again(db, ana, conversation, api, change):
    message_id = say(conversation, ana, SECRET).message_id
    url = f"/api/conversations/{conversation.pk}/messages/{message_id}/"
    assert api(ana).delete(url).status_code == 200

    again = api(ana).patch(url, {"message": "back"}) if change == "edit" else api(ana).delete(url)

    assert (again.status_code, again.json()["code"]) == (404, "message_not_found")
    assert (contents(conversation), head_of(conversation)) == ([""], 2)


def test_message_of_another_conversation_is_out_of_reach(db, ana, bruno, clara, conversation, api):
    """Ana is in both conversations: the id in the path decides."""
    elsewhere = services.create_conversation(creator=ana, participants=[clara])
    foreign = say(elsewhere, ana, "elsewhere").message_id

    for client in (api(ana), api(bruno)):
        url = f"/api/conversations/{conversation.pk}/messages/{foreign}/"
        assert client.patch(url, {"message": "here"}).json()["code"] == "message_not_found"
        assert client.delete(url).json()["code"] == "message_not_found"
    assert contents(elsewhere) == ["elsewhere"]


def test_message_from_before_one_joined_is_out_of_reach(db, ana, bruno, clara, group, api):
    """An admin who joined later deletes messages they can read, and cannot ask about the others."""
    early = say(group, bruno, "before").message_id
    services.add_members(conversation_id=group.pk, by=ana, users=[clara], role="admin")
    late = say(group, bruno, "after").message_id
    client, url = api(clara), f"/api/conversations/{group.pk}/messages/"

    assert client.delete(f"{url}{early}/").json()["code"] == "message_not_found"
    assert client.delete(f"{url}{late}/").status_code == 200
    assert contents(group) == ["before", ""]


async def test_newcomer_is_told_that_something_older_was_edited_and_not_the_words(
    ana, bruno, clara, dora, group, connect
):
    early = (await aside(say)(group, bruno, "before")).message_id
    await aside(services.add_members)(conversation_id=group.pk, by=ana, users=[clara])
    late = (await aside(say)(group, bruno, "after")).message_id

    def change() -> None:
        for message_id, words in ((early, SECRET), (late, "for everybody")):
            services.edit_message(conversation_id=group.pk, message_id=message_id, by=bruno, content=words)
        services.moderate_message(message_id=early, by=dora, content=SECRET)

    async with connect(clara, chat_path(group, "?v=1")) as live:
        await aside(change)()
        told = [await live.receive_until("message_edited") for _ in range(3)]
    async with connect(clara, chat_path(group, "?since=0")) as back:
        told_again = [await back.receive_until("message_edited") for _ in range(3)]

    assert told == told_again
    assert [frame["content"] for frame in told] == [None, "for everybody", None]
    assert await aside(contents)(group) == [SECRET, "for everybody"]


def test_edit_of_something_older_has_its_words_where_newcomers_may_read_it(db, ana, bruno, clara, group):
    group.opens_history = True
    group.save()
    message_id = say(group, ana, "before").message_id
    services.add_members(conversation_id=group.pk, by=ana, users=[clara])

    services.edit_message(conversation_id=group.pk, message_id=message_id, by=ana, content="corrected")

    assert json.loads(logged(group)[-1])["content"] == "corrected"


def test_message_is_edited_so_often_and_no_more(db, ana, conversation, api, monkeypatch):
    monkeypatch.setattr(services.messages, "MAX_EDITS", 2)
    message_id = say(conversation, ana, "0").message_id
    url = f"/api/conversations/{conversation.pk}/messages/{message_id}/"

    answers = [api(ana).patch(url, {"message": text}) for text in ("1", "2", "3")]

    assert [answer.status_code for answer in answers] == [200, 200, 400]
    assert answers[-1].json()["code"] == "too_many_edits"
    assert contents(conversation) == ["2"]
    assert api(ana).delete(url).status_code == 200


def test_edit_obeys_the_rules_of_sending(db, ana, conversation, api):
    message_id = say(conversation, ana, "fine").message_id
    url = f"/api/conversations/{conversation.pk}/messages/{message_id}/"

    codes = [
        api(ana).patch(url, {"message": text}).json().get("code") for text in ("", "  ", "x" * 8001, "\x07")
    ]

    assert codes == ["empty_message", "empty_message", "message_too_long", "invalid_text"]
    assert contents(conversation) == ["fine"]


def test_length_of_a_message_is_a_setting(db, ana, conversation, api, relais):
    relais(limit_content=5)
    message_id = say(conversation, ana, "x" * 5).message_id

    refused = api(ana).patch(
        f"/api/conversations/{conversation.pk}/messages/{message_id}/", {"message": "y" * 6}
    )

    assert (refused.status_code, refused.json()["code"]) == (400, "message_too_long")
    assert refused.json()["detail"] == "A message may have 5 characters."
    assert contents(conversation) == ["xxxxx"]


def test_staff_may_moderate_anything_that_is_left(db, ana, clara, conversation):
    message_id = say(conversation, ana, SECRET).message_id

    services.moderate_message(message_id=message_id, by=clara, content="[moderated]")
    assert contents(conversation) == ["[moderated]"]
    services.moderate_message(message_id=message_id, by=clara, content=None)

    assert SECRET not in everything_stored()
    assert Message.objects.get().deleted_at is not None
    with pytest.raises(MessageNotFoundError):
        services.moderate_message(message_id=message_id, by=clara, content="again")


def test_unread_count_forgets_what_was_deleted(db, ana, bruno, conversation):
    message_id = say(conversation, ana, "one").message_id
    say(conversation, ana, "two")
    share = {"user_id": bruno.pk, "conversation_id": conversation.pk}
    assert selectors.unread_count(selectors.membership_for(**share)) == 2

    services.delete_message(conversation_id=conversation.pk, message_id=message_id, by=ana)

    assert selectors.unread_count(selectors.membership_for(**share)) == 1
