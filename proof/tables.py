"""What the tables say, read past the server: its own code would repeat its own mistakes."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg

from proof.history import Row

#: Of these conversations, or of all.
_CHOSEN = "(%(chosen)s::bigint[] IS NULL OR {column} = ANY(%(chosen)s))"
_MESSAGES = f"""
    SELECT conversation_id, seq, id, sender_id, coalesce(client_id::text, ''), content,
           edited_at IS NOT NULL OR deleted_at IS NOT NULL
    FROM chat_message WHERE {_CHOSEN.format(column="conversation_id")} ORDER BY conversation_id, seq
"""
_TOPICS = r"""
    SELECT id, substring(name FROM 14)::bigint AS conversation, head FROM realtime_topic
    WHERE name ~ '^conversation\.\d+$'
"""
_HEADS = f"SELECT conversation, head FROM ({_TOPICS}) t WHERE {_CHOSEN.format(column='conversation')}"
_COMINGS_AND_GOINGS = f"""
    SELECT conversation, body::json ->> 'user_id', seq, body::json ->> 'type'
    FROM realtime_loggedevent e JOIN ({_TOPICS}) t ON t.id = e.topic_id
    WHERE {_CHOSEN.format(column="conversation")}
    AND (body LIKE '{{"type":"member_removed"%%' OR body LIKE '{{"type":"member_added"%%')
    ORDER BY topic_id, seq
"""


def run(database_url: str, statement: str, *arguments: Any) -> list[tuple[Any, ...]]:
    """One statement on a connection of its own; its rows, when it has any."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        done = connection.execute(statement.encode(), arguments)
        return done.fetchall() if done.description else []


Chosen = Sequence[int] | None


def messages(database_url: str, conversations: Chosen = None) -> list[Row]:
    """The messages of ours."""
    return [Row(*row) for row in _read(database_url, _MESSAGES, conversations)]


def heads(database_url: str, conversations: Chosen = None) -> dict[int, int]:
    """The newest seq of each conversation."""
    return {int(number): int(head) for number, head in _read(database_url, _HEADS, conversations)}


def comings_and_goings(database_url: str, conversations: Chosen = None) -> list[tuple[int, int, int, bool]]:
    """Conversation, user, seq, and whether they came, of every change of members, in order."""
    return [
        (int(conversation), int(user), int(seq), kind == "member_added")
        for conversation, user, seq, kind in _read(database_url, _COMINGS_AND_GOINGS, conversations)
    ]


def _read(database_url: str, statement: str, conversations: Chosen) -> list[tuple[Any, ...]]:
    chosen = None if conversations is None else list(conversations)
    with psycopg.connect(database_url, autocommit=True) as connection:
        return connection.execute(statement.encode(), {"chosen": chosen}).fetchall()


def guides_messages(file: Path, conversation: int) -> list[tuple[int, str]]:
    """The messages of a conversation of the guide's server: id and text, in order."""
    connection = sqlite3.connect(file, timeout=10)
    try:
        statement = "SELECT id, content FROM guide_chat_message WHERE conversation_id = ? ORDER BY id"
        return [(int(number), str(text)) for number, text in connection.execute(statement, [conversation])]
    finally:
        connection.close()
