"""The statement that writes collapsed entries: one unread row per user and key, which counts up until it is
read.

It is one statement, however many users there are; its rows travel as one JSON parameter.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from django.db import connection

from notifications.models import Notification

# In a fixed order, so that two writers of the same rows wait for each other instead of deadlocking. The
# conflict's condition repeats the index's, word for word.
_UPSERT = """
INSERT INTO {table} (user_id, collapse_key, kind, data, title, message, created_at, count,
    counted_after)
{select}
ORDER BY 1, 2
ON CONFLICT (user_id, collapse_key) WHERE read_at IS NULL AND NOT (collapse_key = '')
DO UPDATE SET
    kind = excluded.kind, data = excluded.data, title = excluded.title, message = excluded.message,
    created_at = excluded.created_at, count = {table}.count + excluded.count
"""

_SELECT = {
    "postgresql": """
SELECT (pair ->> 0)::bigint, entry ->> 'collapse_key', entry ->> 'kind', entry -> 'data',
       entry ->> 'title', entry ->> 'message', %s, (pair ->> 1)::integer, (entry ->> 'counted_after')::bigint
FROM jsonb_array_elements(%s::jsonb) AS entry, jsonb_array_elements(entry -> 'counts') AS pair
""",
    # SQLite parses a whole JSON text for each value that is taken out of it: so an entry with all its users
    # is taken out once, not once per user.
    "sqlite": """
SELECT json_extract(pair.value, '$[0]'), entry.collapse_key, entry.kind, entry.data, entry.title,
       entry.message, entry.at, json_extract(pair.value, '$[1]'), entry.counted_after
FROM (
    SELECT json_extract(value, '$.collapse_key') AS collapse_key, json_extract(value, '$.kind') AS kind,
           json_extract(value, '$.data') AS data, json_extract(value, '$.title') AS title,
           json_extract(value, '$.message') AS message, json_extract(value, '$.counts') AS counts,
           json_extract(value, '$.counted_after') AS counted_after, %s AS at
    FROM json_each(%s)
    LIMIT -1 OFFSET 0  -- or SQLite puts these expressions into the SELECT around
) AS entry, json_each(entry.counts) AS pair
WHERE true
""",
}


class Row(msgspec.Struct, frozen=True):
    """One entry for several users: the same words, and how many things each user is told of."""

    collapse_key: str
    kind: str
    data: Mapping[str, Any]
    title: str
    message: str
    counts: list[tuple[int, int]]
    #: The seq after which the counted things begin; kept from the first row.
    counted_after: int = 0


def upsert(rows: Iterable[Row], *, at: dt.datetime) -> None:
    """Write unread entries, or add to those that are there. A user may appear once per key."""
    table = Notification._meta.db_table  # noqa: SLF001 - documented, in spite of its name
    sql = _UPSERT.format(table=table, select=_SELECT[connection.vendor])
    parameters = [
        connection.ops.adapt_datetimefield_value(at),
        msgspec.json.encode(list(rows)).decode(),
    ]
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
