"""Reads the tables past the server, whose own code would repeat its own mistakes."""

from __future__ import annotations

import json
import sqlite3
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg

from proof.history import Row

#: Restricts a query to some conversations; NULL for all.
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


#: The first two queries for SQLite, which stores UUIDs without their hyphens.
_SQLITE_CHOSEN = "(:chosen IS NULL OR {column} IN (SELECT value FROM json_each(:chosen)))"
_SQLITE_MESSAGES = f"""
    SELECT conversation_id, seq, id, sender_id, coalesce(client_id, ''), content,
           edited_at IS NOT NULL OR deleted_at IS NOT NULL
    FROM chat_message WHERE {_SQLITE_CHOSEN.format(column="conversation_id")} ORDER BY conversation_id, seq
"""
_SQLITE_HEADS = f"""
    SELECT conversation, head FROM (
        SELECT CAST(substr(name, 14) AS INTEGER) AS conversation, head FROM realtime_topic
        WHERE name GLOB 'conversation.[0-9]*'
    ) WHERE {_SQLITE_CHOSEN.format(column="conversation")}
"""


def run(database_url: str, statement: str, *arguments: Any) -> list[tuple[Any, ...]]:
    """Run one statement on a connection of its own; returns its rows, if it has any."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        done = connection.execute(statement.encode(), arguments)
        return done.fetchall() if done.description else []


Chosen = Sequence[int] | None


def messages(database_url: str, conversations: Chosen = None) -> list[Row]:
    """The messages in the tables of Relais."""
    if (file := sqlite_file(database_url)) is None:
        return [Row(*row) for row in _read(database_url, _MESSAGES, conversations)]
    rows = (Row(*row) for row in _read_sqlite(file, _SQLITE_MESSAGES, conversations))
    return [
        row._replace(
            client_id=row.client_id and str(uuid.UUID(row.client_id)), is_changed=bool(row.is_changed)
        )
        for row in rows
    ]


def heads(database_url: str, conversations: Chosen = None) -> dict[int, int]:
    """The newest seq of each conversation."""
    if (file := sqlite_file(database_url)) is None:
        rows = _read(database_url, _HEADS, conversations)
    else:
        rows = _read_sqlite(file, _SQLITE_HEADS, conversations)
    return {int(number): int(head) for number, head in rows}


def comings_and_goings(database_url: str, conversations: Chosen = None) -> list[tuple[int, int, int, bool]]:
    """All changes of members in order: conversation, user, seq, and whether the member was added."""
    return [
        (int(conversation), int(user), int(seq), kind == "member_added")
        for conversation, user, seq, kind in _read(database_url, _COMINGS_AND_GOINGS, conversations)
    ]


def _read(database_url: str, statement: str, conversations: Chosen) -> list[tuple[Any, ...]]:
    chosen = None if conversations is None else list(conversations)
    with psycopg.connect(database_url, autocommit=True) as connection:
        return connection.execute(statement.encode(), {"chosen": chosen}).fetchall()


def sqlite_file(database_url: str) -> Path | None:
    """The file of a SQLite database; None for PostgreSQL."""
    scheme, _, path = database_url.partition("://")
    return Path("/" + path.lstrip("/")) if scheme == "sqlite" else None


def _read_sqlite(file: Path, statement: str, conversations: Chosen) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(file, timeout=10)
    try:
        chosen = None if conversations is None else json.dumps(list(conversations))
        return connection.execute(statement, {"chosen": chosen}).fetchall()
    finally:
        connection.close()


def guides_messages(file: Path, conversation: int) -> list[tuple[int, str]]:
    """The messages of a conversation of the guide's server: id and text, in order."""
    connection = sqlite3.connect(file, timeout=10)
    try:
        statement = "SELECT id, content FROM guide_chat_message WHERE conversation_id = ? ORDER BY id"
        return [(int(number), str(text)) for number, text in connection.execute(statement, [conversation])]
    finally:
        connection.close()
