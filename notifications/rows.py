"""SQL written by hand for a lookup of each opening socket; the ORM takes ten times as long to build it."""

from __future__ import annotations

import datetime as dt

from django.db import connection

from realtime import statements


def standing(user_id: int, topic: str) -> tuple[int, dt.datetime | None, int] | None:
    """The head of a user's topic, when its event was stored, and how many entries are unread at that head.

    None for a user who does not exist.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT COALESCE(topic.head, 0), event.created_at,"
            " (SELECT count(*) FROM notifications_notification AS entry"
            "  WHERE entry.user_id = person.id AND entry.read_at IS NULL)"
            " FROM accounts_user AS person"
            " LEFT JOIN realtime_topic AS topic ON topic.name = %s"
            " LEFT JOIN realtime_loggedevent AS event"
            "  ON event.topic_id = topic.id AND event.seq = topic.head"
            " WHERE person.id = %s",
            [topic, user_id],
        )
        found = cursor.fetchone()
    return found and (found[0], found[1] and statements.as_moment(found[1]), found[2])
