"""SQL written by hand, where the ORM costs too much: storing messages, and lookups of pages and sockets."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

import msgspec
from django.db import connection

from realtime import statements

_as_json = msgspec.json.Encoder().encode


class NewMessage(NamedTuple):
    """A message to insert, in the order of the columns."""

    id: int
    conversation_id: int
    seq: int
    sender_id: int
    client_id: UUID | None
    content: str


def look_up(sends: Sequence[tuple[int, int, UUID | None]]) -> dict[int, tuple[int | None, int]]:
    """Look up each send (conversation, sender, client_id) by a member: two ids, by the send's index.

    The first is the id of the message that it repeats, or None; the second is a new id.
    """
    if statements.is_sqlite():
        with connection.cursor() as cursor:
            # SQLite has one writer: until this transaction commits, the next ids are free.
            cursor.execute("SELECT seq FROM sqlite_sequence WHERE name = 'chat_message'")
            last = (cursor.fetchone() or (0,))[0]
            cursor.execute(
                "SELECT asked.key, said.id FROM json_each(%s) AS asked"
                " JOIN chat_participant AS member"
                "  ON member.conversation_id = json_extract(asked.value, '$[0]')"
                "  AND member.user_id = json_extract(asked.value, '$[1]')"
                " LEFT JOIN chat_message AS said"
                "  ON said.conversation_id = member.conversation_id AND said.sender_id = member.user_id"
                "  AND said.client_id = json_extract(asked.value, '$[2]') AND said.client_id IS NOT NULL",
                [_as_json([(c, s, client_id and client_id.hex) for c, s, client_id in sends]).decode()],
            )
            return {place: (said, last + place + 1) for place, said in cursor.fetchall()}
    with statements.binary_cursor() as cursor:
        cursor.execute(
            "SELECT asked.place - 1, said.id, nextval(pg_get_serial_sequence('chat_message', 'id'))"
            " FROM unnest(%b::bigint[], %b::bigint[], %b::uuid[]) WITH ORDINALITY"
            "  AS asked (conversation_id, sender_id, client_id, place)"
            " JOIN chat_participant AS member"
            "  ON member.conversation_id = asked.conversation_id AND member.user_id = asked.sender_id"
            " LEFT JOIN chat_message AS said"
            "  ON said.conversation_id = asked.conversation_id AND said.sender_id = asked.sender_id"
            "  AND said.client_id = asked.client_id",
            statements.columns(sends),
        )
        return {place: (said, new) for place, said, new in cursor.fetchall()}


def insert_messages(messages: Sequence[NewMessage], moment: dt.datetime) -> None:
    """Insert messages with one creation time."""
    if statements.is_sqlite():
        stored_at = connection.ops.adapt_datetimefield_value(moment)
        with connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO chat_message"
                " (id, conversation_id, seq, sender_id, client_id, content, created_at, edit_seqs)"
                " VALUES (%s, %s, %s, %s, %s, %s, %s, '[]')",
                [(m[0], m[1], m[2], m[3], m[4] and m[4].hex, m[5], stored_at) for m in messages],
            )
        return
    with statements.binary_cursor() as cursor:
        cursor.execute(
            "INSERT INTO chat_message"
            " (id, conversation_id, seq, sender_id, client_id, content, created_at, edit_seqs)"
            " SELECT *, %b, '[]' FROM unnest(%b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[],"
            " %b::uuid[], %b::text[])",
            [moment, *statements.columns(messages)],
        )


def standing(conversation_id: int, user_id: int, *, lowest: int, highest: int) -> tuple[int, bool] | None:
    """How far all others who share it have read, and whether there are messages between two seqs.

    None for a user who is no member. Built by the ORM, this statement takes as long as the rest of a page.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT COALESCE((SELECT min(other.read_seq) FROM chat_participant AS other"
            "  JOIN accounts_user AS person ON person.id = other.user_id"
            "  WHERE other.conversation_id = member.conversation_id AND other.user_id <> member.user_id"
            "   AND person.shares_receipts), 0),"
            " EXISTS (SELECT 1 FROM chat_message AS said WHERE said.conversation_id = member.conversation_id"
            "  AND said.seq BETWEEN %s AND %s)"
            " FROM chat_participant AS member WHERE conversation_id = %s AND user_id = %s",
            [lowest, highest, conversation_id, user_id],
        )
        found = cursor.fetchone()
    return found and (found[0], bool(found[1]))


def heads(user_id: int, limit: int) -> list[tuple[int, int]]:
    """The user's conversations with the highest ids, each with the head of its log."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT member.conversation_id, COALESCE(topic.head, 0) FROM chat_participant AS member"
            " LEFT JOIN realtime_topic AS topic ON topic.name = 'conversation.' || member.conversation_id"
            " WHERE member.user_id = %s ORDER BY member.conversation_id DESC LIMIT %s",
            [user_id, limit],
        )
        return list(cursor.fetchall())
