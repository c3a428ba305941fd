"""The log: events of durable topics, numbered 1, 2, 3… in the order in which they were committed.

Everything here is synchronous and runs in the caller's transaction. Nothing here tells anybody:
`publishing` does that after the commit.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from django.db import transaction

from realtime import events
from realtime.events import Event, Logged
from realtime.models import LoggedEvent, Topic


def lock(names: Iterable[str], *, create: bool = True) -> dict[str, Topic]:
    """Lock the topics' rows, in one order for everybody; those that did not exist are made, or absent."""
    wanted = sorted(set(names))
    locked = _select_locked(wanted)
    missing = [name for name in wanted if name not in locked]
    if create and missing:
        Topic.objects.bulk_create([Topic(name=name) for name in missing], ignore_conflicts=True)
        locked |= _select_locked(missing)
    return locked


def _select_locked(names: list[str]) -> dict[str, Topic]:
    # NO KEY UPDATE: the lock orders appends, it need not stop foreign keys from pointing here.
    rows = Topic.objects.select_for_update(no_key=True).filter(name__in=names)
    return {row.name: row for row in rows.order_by("pk")}


def append(entries: Sequence[tuple[str, Event]], *, locked: dict[str, Topic] | None = None) -> list[Logged]:
    """Store events at the heads of their topics and say what was stored; the caller announces it.

    Must run inside a transaction. `locked` are topics the caller holds already.
    """
    if not entries:
        return []
    transaction.get_connection().validate_no_broken_transaction()
    topics = dict(locked or {})
    if absent := {name for name, _ in entries} - topics.keys():
        topics |= lock(absent)

    logged, rows = [], []
    moment = events.now()
    for name, event in entries:
        row = topics[name]
        row.head += 1
        body = events.encode(events.numbered(event, row.head))
        logged.append(Logged(name, row.head, body))
        rows.append(LoggedEvent(topic_id=row.pk, seq=row.head, body=body, created_at=moment))
    LoggedEvent.objects.bulk_create(rows)
    touched = [topics[name] for name in {name for name, _ in entries}]
    if len(touched) == 1:
        Topic.objects.filter(pk=touched[0].pk).update(head=touched[0].head)
    else:
        Topic.objects.bulk_update(touched, ["head"])
    return logged


def replay(name: str, *, after: int, limit: int) -> list[Logged]:
    """The events of a topic that follow `after`, oldest first."""
    rows = LoggedEvent.objects.filter(topic__name=name, seq__gt=after).order_by("seq")[:limit]
    return [Logged(name, seq, body) for seq, body in rows.values_list("seq", "body")]


def read_on(name: str, *, after: int, limit: int) -> tuple[list[Logged], int]:
    """The events that follow `after`, and the seq up to which nothing else is there to be read.

    That is the last of them. Without any it is the head: what lay between has been pruned.
    """
    rows = replay(name, after=after, limit=limit)
    head = 0
    if not rows:
        head = heads([name])[name]
        rows = replay(name, after=after, limit=limit)  # what was told between the two queries
    return rows, rows[-1].seq or 0 if rows else head


def heads(names: Iterable[str]) -> dict[str, int]:
    """The newest seq of each topic; 0 for those where nothing was ever told."""
    found = dict(Topic.objects.filter(name__in=list(names)).values_list("name", "head"))
    return {name: found.get(name, 0) for name in names}


def floor(name: str) -> int:
    """The newest seq that was pruned; 0 when everything is still there."""
    return Topic.objects.filter(name=name).values_list("floor", flat=True).first() or 0


def bury(name: str, *, seqs: Iterable[int], tombstone: Event) -> None:
    """Replace the bodies of logged events by a tombstone at the same places."""
    row = Topic.objects.get(name=name)
    for seq in seqs:
        body = events.encode(events.numbered(tombstone, seq))
        LoggedEvent.objects.filter(topic=row, seq=seq).update(body=body)


def prune(name: str, *, up_to: int) -> int:
    """Forget the events of a topic up to and including a seq; how many there were."""
    with transaction.atomic():
        row = lock([name])[name]
        up_to = min(up_to, row.head)
        if up_to <= row.floor:
            return 0
        deleted, _ = LoggedEvent.objects.filter(topic=row, seq__lte=up_to).delete()
        Topic.objects.filter(pk=row.pk).update(floor=up_to)
        return deleted
