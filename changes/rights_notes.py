"""What alters rights while somebody watches: rows of rights sources, and what apps say themselves.

It is noted like a change, in the transaction that makes it, and read before all changes of rows. The topic of
every collection is told whose rights are another now; whoever watches then looks again (`reactions`).
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import msgspec
from django.db import connection

from changes.events import RightsChanged
from changes.models import NotedChange
from changes.noted import Noted
from changes.registry import SOURCE_PREFIX, collections, rights_sources
from changes.triggers.postgresql import CHANNEL
from realtime import publish_on_commit

#: What apps say themselves is noted under this name, as rows with one field.
SAID = f"{SOURCE_PREFIX}said"
_USER = "user"

_ROW = msgspec.json.Decoder(dict[str, Any])


def note(users: Iterable[int] | None) -> None:
    """Note that the rights of users changed, or everybody's, in the caller's transaction."""
    if not collections():
        return
    rows = [None] if users is None else [msgspec.json.encode({_USER: user}).decode() for user in users]
    now = round(time.time() * 1000)
    NotedChange.objects.bulk_create(
        NotedChange(collection=SAID, write=0, noted_at=now, new=row) for row in rows
    )
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_notify(%s, '')", [CHANNEL])


def tell(notes: Iterable[Noted]) -> None:
    """Tell every collection whose rights these notes altered."""
    users = users_of(notes)
    if users is None or users:
        for collection in collections():
            publish_on_commit(collection.topic, RightsChanged(users=users))


def users_of(notes: Iterable[Noted]) -> list[int] | None:
    """The users whose rights these notes altered; None: everybody's, and so where one does not tell it."""
    fields = {source.name: source.user for source in rights_sources()} | {SAID: _USER}
    users: set[int] = set()
    for noted in notes:
        named = _users(noted, fields.get(noted.collection))
        if named is None:
            return None
        users |= named
    return sorted(users)


def _users(noted: Noted, field: str | None) -> set[int] | None:
    rows = [row for row in (noted.old, noted.new) if row is not None]
    if field is None or not rows:
        return None
    try:
        named = [_ROW.decode(row)[field] for row in rows]
    except (msgspec.DecodeError, KeyError, RecursionError):
        return None
    if not all(user is None or isinstance(user, int) for user in named):
        return None
    return {user for user in named if user is not None}  # a row may be about nobody
