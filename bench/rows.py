"""Makes a long history by SQL: a million messages in seconds.

`insert_history` makes only the rows that REST reads, and marks the log as pruned up to the same seq, as in a
real database with such a history and no events: `?since=` is answered with `resync` there, until
`log_history` gives the messages their events.
"""

from __future__ import annotations

from django.db import connection, transaction
from django.db.models import F

from chat.events import conversation_topic
from realtime import log
from realtime.models import Topic

_COLUMNS = "conversation_id, seq, sender_id, content, created_at, edit_seqs"
_POSTGRESQL = f"""
    INSERT INTO chat_message ({_COLUMNS})
    SELECT %(conversation)s, %(head)s + n, %(sender)s, 'Message ' || n || ' of a long history.',
           now() - (%(count)s - n) * interval '1 second', '[]'
    FROM generate_series(1, %(count)s) AS n
"""
_SQLITE = f"""
    WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < %(count)s)
    INSERT INTO chat_message ({_COLUMNS})
    SELECT %(conversation)s, %(head)s + n, %(sender)s, 'Message ' || n || ' of a long history.',
           datetime('now', (n - %(count)s) || ' seconds'), '[]'
    FROM numbers
"""


def insert_history(*, conversation_id: int, sender_id: int, count: int) -> None:
    """Append so many messages of one sender, a second apart, the last one now."""
    with transaction.atomic():
        topic = log.lock([conversation_topic(conversation_id)])[conversation_topic(conversation_id)]
        values = {"conversation": conversation_id, "sender": sender_id, "head": topic.head, "count": count}
        with connection.cursor() as cursor:
            cursor.execute(_POSTGRESQL if connection.vendor == "postgresql" else _SQLITE, values)
        Topic.objects.filter(pk=topic.id).update(head=F("head") + count, floor=F("head") + count)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE chat_message")


_EVENT = """
    SELECT t.id, m.seq,
           '{{"type":"message","message_id":' || m.id || ',"sender_id":' || m.sender_id
           || ',"sender_username":"' || u.username || '","content":"' || m.content || '"'
           || ',"created_at":"' || {created_at} || '","is_read":false'
           || ',"conversation_id":' || m.conversation_id || ',"seq":' || m.seq
           || ',"client_id":null,"edited_at":null}}',
           m.created_at
    FROM chat_message m
    JOIN realtime_topic t ON t.name = 'conversation.' || m.conversation_id
    JOIN accounts_user u ON u.id = m.sender_id
    WHERE m.conversation_id = %s AND m.seq <= t.floor
"""
_CREATED_AT = {
    "postgresql": """to_char(m.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')""",
    "sqlite": "replace(m.created_at, ' ', 'T') || 'Z'",
}


def log_history(*, conversation_id: int) -> None:
    """Give the messages of `insert_history` the events that the product would have logged."""
    topic = Topic.objects.filter(name=conversation_topic(conversation_id))
    event = _EVENT.format(created_at=_CREATED_AT[connection.vendor])
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(
                f"INSERT INTO realtime_loggedevent (topic_id, seq, body, created_at) {event}",
                [conversation_id],
            )
        topic.update(floor=0)
