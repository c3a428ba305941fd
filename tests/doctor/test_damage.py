"""The doctor finds each kind of damage under one name, and repeats no message's text."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.models import Model

from accounts.models import User
from chat.models import Message
from doctor.examinations import registered
from tests.changes.test_doctor import ALL as OF_CHANGES

pytestmark = pytest.mark.django_db(transaction=True)

TOPIC = "(SELECT id FROM realtime_topic WHERE name = 'conversation.%(group)s')"
LOG = f"realtime_loggedevent WHERE topic_id = {TOPIC}"
IN_LOG = f"UPDATE realtime_loggedevent SET body = {{}} WHERE topic_id = {TOPIC} AND seq = {{}}"
SHARE = "conversation_id = %(group)s AND user_id"
DAMAGE = {
    # the log
    "a lost event": (
        (f"DELETE FROM {LOG} AND seq = %(plain_seq)s"),
        "realtime.log_numbers",
        "it lacks events",
    ),
    "a head that ran ahead": (
        (f"UPDATE realtime_topic SET head = head + 3 WHERE id = {TOPIC}"),
        "realtime.log_numbers",
        "it lacks events",
    ),
    "a head that fell back": (
        (f"UPDATE realtime_topic SET head = head - 2 WHERE id = {TOPIC}"),
        "realtime.log_numbers",
        "it has events outside of floor and head",
    ),
    "a floor above events": (
        ("UPDATE realtime_topic SET floor = floor + 1 WHERE name = 'user.%(ana)s'"),
        "realtime.log_numbers",
        "it has events outside of floor and head",
    ),
    "a floor above the head": (
        ("UPDATE realtime_topic SET floor = head + 1 WHERE name = 'conversation.%(empty)s'"),
        "realtime.log_numbers",
        "its floor is not between 0 and its head",
    ),
    "a text that is no JSON": (
        (IN_LOG.format("'confidential'", "%(plain_seq)s")),
        "realtime.log_bodies",
        "an event is unreadable",
    ),
    "a text of another seq": (
        (IN_LOG.format("""replace(body, '"seq":%(plain_seq)s,', '"seq":77,')""", "%(plain_seq)s")),
        "realtime.log_bodies",
        "an event is unreadable",
    ),
    "a text that does not begin with its type": (
        (IN_LOG.format("""replace(body, '{"type"', '{ "type"')""", "%(plain_seq)s")),
        "realtime.log_bodies",
        "an event is unreadable",
    ),
    # every table
    "a row that points nowhere": (
        ("UPDATE notifications_notification SET user_id = 999999 WHERE kind = 'payment_completed'"),
        "realtime.references",
        "a row points nowhere",
    ),
    # conversations
    "a key of another pair": (
        ("UPDATE chat_conversation SET direct_key = '%(bruno)s:%(dora)s' WHERE id = %(pair)s"),
        "chat.conversations",
        "a direct conversation is not named for its pair",
    ),
    "a group with a key": (
        ("UPDATE chat_conversation SET direct_key = '%(bruno)s:%(dora)s' WHERE id = %(group)s"),
        "chat.conversations",
        "a group has the key of a pair",
    ),
    "inboxes ahead of the log": (
        ("UPDATE chat_conversation SET noticed_seq = 9999 WHERE id = %(group)s"),
        "chat.conversations",
        "inboxes were noted beyond the head",
    ),
    "a topic that is gone": (
        ("DELETE FROM realtime_topic WHERE name = 'conversation.%(empty)s'"),
        "chat.conversations",
        "a conversation has no topic",
    ),
    "a topic of nothing": (
        ("INSERT INTO realtime_topic (name, head, floor) VALUES ('conversation.999999', 0, 0)"),
        "chat.conversations",
        "a log belongs to no conversation",
    ),
    # messages
    "a lost message": (
        ("DELETE FROM chat_message WHERE id = %(plain)s"),
        "chat.history",
        "an event has no message",
    ),
    "a message that was never told": (
        (
            "INSERT INTO chat_message (conversation_id, seq, sender_id, content, created_at, edit_seqs) "
            "VALUES (%(group)s, 9999, %(ana)s, 'confidential', '2026-01-01', '[]')"
        ),
        "chat.history",
        "a message is not in the log",
    ),
    "a text that was changed": (
        ("UPDATE chat_message SET content = 'confidential' WHERE id = %(plain)s"),
        "chat.history",
        "a message and its event differ",
    ),
    "an edited text that was changed": (
        ("UPDATE chat_message SET content = 'confidential' WHERE id = %(edited)s"),
        "chat.history",
        "a message and its last edit differ",
    ),
    "edits that were forgotten": (
        ("UPDATE chat_message SET edit_seqs = '[]', content = 'before' WHERE id = %(edited)s"),
        "chat.history",
        "an edit is unknown to its message",
    ),
    "an edit that never was": (
        ("UPDATE chat_message SET edit_seqs = '[1]' WHERE id = %(plain)s"),
        "chat.history",
        "a message names an edit that is none",
    ),
    "a deleted text in its row": (
        ("UPDATE chat_message SET content = 'confidential' WHERE id = %(deleted)s"),
        "chat.history",
        "a deleted message has kept its text",
    ),
    "a deleted text in the log": (
        ("UPDATE chat_message SET deleted_at = created_at, content = '' WHERE id = %(plain)s"),
        "chat.history",
        "the log has kept the text of a deleted message",
    ),
    "a deletion that was undone": (
        ("UPDATE chat_message SET deleted_at = NULL WHERE id = %(deleted)s"),
        "chat.history",
        "a message was deleted and is there",
    ),
    "an event of another conversation": (
        (
            IN_LOG.format(
                """replace(body, '"conversation_id":%(group)s,', '"conversation_id":999999,')""",
                "%(plain_seq)s",
            )
        ),
        "chat.history",
        "an event names another conversation",
    ),
    "an event of no known type": (
        (IN_LOG.format("""'{"type":"invented","seq":%(group_head)s}'""", "%(group_head)s")),
        "chat.history",
        "an event is none of a conversation",
    ),
    "a name that was forgotten": (
        (
            "UPDATE realtime_loggedevent SET body = replace(body, 'deleted user %(forgotten)s', 'fritz') "
            "WHERE topic_id = (SELECT id FROM realtime_topic WHERE name = 'conversation.%(past)s')"
        ),
        "chat.history",
        "the log names somebody who was forgotten",
    ),
    # members
    "a cursor beyond the head": (
        (f"UPDATE chat_participant SET delivered_seq = 9999 WHERE {SHARE} = %(ana)s"),
        "chat.cursors",
        "a member's cursors are out of range",
    ),
    "more read than received": (
        ("UPDATE chat_participant SET delivered_seq = 0 WHERE conversation_id = %(pair)s"),
        "chat.cursors",
        "a member's cursors are out of range",
    ),
    "a removed member": (
        (
            "INSERT INTO chat_participant "
            "(conversation_id, user_id, role, joined_seq, delivered_seq, read_seq, joined_at) "
            "VALUES (%(group)s, %(emil)s, 'member', 0, %(group_head)s, %(group_head)s, '2026-01-01')"
        ),
        "chat.members",
        "somebody who was removed is a member",
    ),
    "a member nobody added": (
        (f"UPDATE chat_participant SET joined_seq = 2 WHERE {SHARE} = %(bruno)s"),
        "chat.members",
        "a member was never added",
    ),
    "a member who vanished": (
        (f"DELETE FROM chat_participant WHERE {SHARE} = %(clara)s"),
        "chat.members",
        "somebody who was added is no member",
    ),
    "a member who joined earlier": (
        (f"UPDATE chat_participant SET joined_seq = 1 WHERE {SHARE} = %(clara)s"),
        "chat.members",
        "a member joined at another seq",
    ),
    "an owner who was switched off behind our back": (
        ("UPDATE accounts_user SET is_active = NOT is_active WHERE id = %(clara)s"),
        "chat.owners",
        "nobody active owns a group",
    ),
    # inboxes
    "a count that is too high": (
        ("UPDATE notifications_notification SET count = count + 1000 WHERE id = %(entry)s"),
        "chat.inboxes",
        "an unread entry counts too much",
    ),
    "a count that is too low": (
        ("UPDATE notifications_notification SET count = 1 WHERE id = %(entry)s"),
        "chat.inboxes",
        "an unread entry counts too little",
    ),
    "an entry that is gone": (
        ("DELETE FROM notifications_notification WHERE id = %(entry)s"),
        "chat.inboxes",
        "an unread entry is missing",
    ),
    "a kind nobody knows": (
        ("UPDATE notifications_notification SET kind = 'forgotten' WHERE id = %(entry)s"),
        "notifications.known_kinds",
        "entries are of an unknown kind",
    ),
    "a count of nothing": (
        ("UPDATE notifications_notification SET count = 0 WHERE kind = 'payment_completed'"),
        "notifications.counts",
        "an entry stands for a wrong number of things",
    ),
    # accounts
    "a disabled user who is signed in": (
        ("UPDATE accounts_session SET revoked_at = NULL WHERE user_id = %(emil)s"),
        "accounts.sessions",
        "a disabled user is signed in",
    ),
    "a user who is half forgotten": (
        (
            "INSERT INTO accounts_forgetting (user_id, username, email, deletes_messages, begun_at) "
            "SELECT id, 'confidential', '', is_superuser, '2020-01-01 00:00:00+00:00' FROM accounts_user "
            "WHERE id = %(emil)s"
        ),
        "accounts.forgettings",
        "a user is half forgotten",
    ),
    "a ticket kept for ever": (
        (
            "INSERT INTO accounts_ticket (digest, user_id, session_id, origin, expires_at, token_expires_at) "
            "VALUES ('old', %(ana)s, NULL, '', '2020-01-01 00:00:00+00:00', '2020-01-01 00:00:00+00:00')"
        ),
        "accounts.tickets",
        "an expired ticket was kept",
    ),
    "a ticket for somebody else": (
        ("UPDATE accounts_ticket SET user_id = %(bruno)s"),
        "accounts.tickets",
        "a ticket opens somebody else's session",
    ),
    "a name written past its handle": (
        ("UPDATE accounts_user SET email = 'confidential@example.com' WHERE id = %(emil)s"),
        "accounts.handles",
        "a name has no handle",
    ),
    "a handle that nobody has": (
        ("INSERT INTO accounts_handle (key, user_id, disputed) VALUES ('confidential', %(emil)s, 0)"),
        "accounts.handles",
        "a handle is not the user's name",
    ),
    "a name of two users, from before": (
        ("UPDATE accounts_handle SET disputed = user_id WHERE user_id = %(emil)s"),
        "accounts.handles",
        "two users share a name",
    ),
    "a refresh token in plain text": (
        ("UPDATE token_blacklist_outstandingtoken SET token = 'confidential'"),
        "accounts.used_up_tokens",
        "a refresh token can be read",
    ),
    "a token that was not used up": (
        ("DELETE FROM token_blacklist_blacklistedtoken"),
        "accounts.used_up_tokens",
        "a token is remembered and not used up",
    ),
}


@contextlib.contextmanager
def unguarded() -> Iterator[None]:
    """Switch off the database's foreign keys, as after a restore with triggers disabled."""
    off, on = {
        "sqlite": ("PRAGMA foreign_keys = OFF", "PRAGMA foreign_keys = ON"),
        "postgresql": ("SET session_replication_role = replica", "SET session_replication_role = DEFAULT"),
    }[connection.vendor]
    with connection.cursor() as cursor:
        cursor.execute(off)
        yield
        cursor.execute(on)


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_found_and_named_once(live, doctor, damage):
    statement, examination, what = DAMAGE[damage]
    with unguarded(), connection.cursor() as cursor:
        cursor.execute(statement % live)
        assert cursor.rowcount > 0

    said = doctor()

    assert said.findings == [(examination, what)]
    assert said.status == 1
    assert "confidential" not in json.dumps(said.lines)


def test_every_examination_can_find_something():
    found = {examination for _, examination, _ in DAMAGE.values()}
    elsewhere = {"realtime.uniqueness", *OF_CHANGES}  # below, and in tests/changes/test_doctor.py
    assert found | elsewhere == {each.name for each in registered()}


@contextlib.contextmanager
def unindexed(model: type[Model], name: str) -> Iterator[None]:
    """Drop a unique index for the block; rows that were stored meanwhile are gone when it is made again."""
    [guard] = [each for each in model._meta.constraints if each.name == name]
    with connection.schema_editor() as editor:
        editor.remove_constraint(model, guard)
    try:
        yield
    finally:
        call_command("flush", interactive=False, verbosity=0)
        with connection.schema_editor() as editor:
            editor.add_constraint(model, guard)


def test_client_id_stored_twice_is_found(live, doctor):
    with unindexed(Message, "chat_message_once"):
        Message.objects.filter(conversation_id=live["group"], sender_id=live["ana"]).update(
            client_id="0192f0c1-6c1e-7cc2-a1f5-3a1f0f5d9a01"
        )
        said = doctor("realtime.uniqueness")

    assert said.findings == [("realtime.uniqueness", "rows are the same")]
    assert said.lines[0]["where"] == {"table": "chat_message", "unique": "chat_message_once"}


def test_name_taken_twice_is_found(live, doctor):
    with unindexed(User, "accounts_user_username_ci"):
        User._base_manager.bulk_create([User(username="ANA")])
        said = doctor()

    assert said.findings == [
        ("accounts.handles", "a name has no handle"),
        ("realtime.uniqueness", "rows are the same"),
    ]
    assert "ana" not in json.dumps(said.lines).lower()
