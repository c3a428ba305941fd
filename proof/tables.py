"""What the tables say, read past the server: its own code would repeat its own mistakes."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import psycopg

from proof.history import Row

_MESSAGES = """
    SELECT conversation_id, seq, id, sender_id, coalesce(client_id::text, ''), content,
           edited_at IS NOT NULL OR deleted_at IS NOT NULL
    FROM chat_message ORDER BY conversation_id, seq
"""
_REMOVALS = """
    SELECT body::json ->> 'conversation_id', body::json ->> 'user_id', seq
    FROM realtime_loggedevent WHERE body LIKE '{"type":"member_removed"%'
"""
_HEADS = r"SELECT substring(name FROM 14), head FROM realtime_topic WHERE name ~ '^conversation\.\d+$'"


def run(database_url: str, statement: str, *arguments: Any) -> list[tuple[Any, ...]]:
    """One statement on a connection of its own; its rows, when it has any."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        done = connection.execute(statement.encode(), arguments)
        return done.fetchall() if done.description else []


def messages(database_url: str) -> list[Row]:
    """Every message of ours."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        return [Row(*row) for row in connection.execute(_MESSAGES)]


def heads(database_url: str) -> dict[int, int]:
    """The newest seq of each conversation."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        return {int(conversation): int(head) for conversation, head in connection.execute(_HEADS)}


def removals(database_url: str) -> dict[tuple[int, int], int]:
    """At which seq each member was removed, by conversation and user."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        return {
            (int(conversation), int(user)): int(seq)
            for conversation, user, seq in connection.execute(_REMOVALS)
        }


def guides_messages(file: Path) -> list[tuple[int, int, str]]:
    """Every message of the guide's server: conversation, id, text."""
    connection = sqlite3.connect(file, timeout=10)
    try:
        rows = connection.execute("SELECT conversation_id, id, content FROM guide_chat_message ORDER BY id")
        return [(int(conversation), int(number), str(text)) for conversation, number, text in rows]
    finally:
        connection.close()
