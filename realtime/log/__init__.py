"""The log: events of durable topics, numbered 1, 2, 3… in the order in which they were committed.

Everything here is synchronous and runs in the caller's transaction. Nothing here delivers anything:
`publishing` does that after the commit. Clients are sent the stored text of an event and its position, which
is not stored: it follows from the event's topic, seq and time (`positions`).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec
from django.db import transaction
from django.db.models import CharField, F, OuterRef, Subquery
from django.db.models.functions import Cast
from django.utils import timezone

from realtime import events
from realtime.database.time_budget import LOCK_MARGIN_SECONDS, remaining
from realtime.events import Event, Logged
from realtime.log import positions, statements
from realtime.log.positions import START, Position
from realtime.models import LoggedEvent, Topic

#: The seq of a topic's newest event, as an expression in a query for its events.
HEAD = F("topic__head")
#: Topics whose newest mark is cached: 10 MB, for as many as the sockets of a large process listen to.
KNOWN_ENDS = 2**15
#: Minimum wait for a lock, in seconds: a thread with no time left still takes one that is free.
LEAST_PATIENCE = 0.05


class LockedTopic(msgspec.Struct):
    """A topic whose row the transaction has locked: nobody else can move its head before the commit."""

    id: int
    head: int
    floor: int


def lock(
    names: Iterable[str], *, create: bool = True, patience: float | None = None
) -> dict[str, LockedTopic]:
    """Lock the rows of topics, in the order that everybody keeps; missing rows are made, or left out.

    A topic that another transaction holds is waited for: `patience` seconds, or as long as the thread may.
    Then it is a BusyError; with a patience of 0 such topics are left out too.
    """
    wanted = sorted(set(names))
    if patience is None and (left := remaining()) is not None:
        # The server must give up before the connection is: one that waits for a lock would not notice.
        patience = max(LEAST_PATIENCE, left - LOCK_MARGIN_SECONDS)
    locked = _lock(wanted, patience)
    if create and (missing := [name for name in wanted if name not in locked]):
        Topic.objects.bulk_create([Topic(name=name) for name in missing], ignore_conflicts=True)
        locked |= _lock(missing, patience)
    return locked


def _lock(names: list[str], patience: float | None) -> dict[str, LockedTopic]:
    locked = statements.lock_topics(names, patience)
    return {name: LockedTopic(topic_id, head, floor) for topic_id, name, head, floor in locked}


def append(
    entries: Sequence[tuple[str, Event]], *, locked: Mapping[str, LockedTopic] | None = None
) -> list[Logged]:
    """Store events at the heads of their topics and return what was stored, for the caller to announce.

    Must run inside a transaction. `locked` are the topics that the caller has locked already.
    """
    if not entries:
        return []
    for _, event in entries:
        events.require_seq(event)
    transaction.get_connection().validate_no_broken_transaction()
    topics = dict(locked or {})
    if absent := {name for name, _ in entries} - topics.keys():
        topics |= lock(absent)

    # To the microsecond, unlike the times that clients are sent: it distinguishes the events of two pasts.
    moment = timezone.now()
    logged, stored, heads = [], [], {}
    for name, event in entries:
        topic = topics[name]
        topic.head = heads[topic.id] = seq = topic.head + 1
        body = events.encode(events.numbered(event, seq))
        logged.append(_placed(name, seq, body, moment))
        stored.append((topic.id, seq, body))
    statements.append_events(stored, heads.items(), moment)
    return logged


def _placed(name: str, seq: int, body: str, stored_at: dt.datetime) -> Logged:
    return Logged(name, seq, positions.placed(body, seq, positions.mark_of(name, seq, stored_at)))


class Following(list[Logged]):
    """A page of events that follow a position of the log."""

    #: The mark of the event at that position; empty where none is kept.
    mark = ""


def replay(name: str, *, after: int, limit: int, size: int | None = None) -> Following:
    """Read the events of a topic after a seq, oldest first: at most `limit`, until they are `size` bytes."""
    found = statements.events_after(name, after, limit, size)
    following = Following(_placed(name, seq, body, stored_at) for seq, body, stored_at, _ in found)
    if found:
        following.mark = positions.at(name, after, found[0][3]).mark
    return following


def read_on(name: str, *, after: int, limit: int, size: int | None = None) -> tuple[Following, int]:
    """Read the events after a seq, as `replay` does, and the seq up to which the log has nothing else.

    That is the seq of the last of them. Without any it is the head: the events between have been pruned.
    """
    page = replay(name, after=after, limit=limit, size=size)
    if page:
        return page, page[-1].seq or 0
    end = ends([name])[name]
    page = replay(name, after=after, limit=limit, size=size)  # appended between the two queries
    if page:
        return page, page[-1].seq or 0
    page.mark = end.mark if end.seq == after else ""
    return page, end.seq


def heads(names: Iterable[str]) -> dict[str, int]:
    """The newest seq of each topic; 0 for topics without any event."""
    found = dict(Topic.objects.filter(name__in=list(names)).values_list("name", "head"))
    return {name: found.get(name, 0) for name in names}


def ends(names: Iterable[str]) -> dict[str, Position]:
    """The position of the newest event of each topic."""
    # The times as text: the cache below finds the marks of idle topics by it, without parsing it again.
    newest = LoggedEvent.objects.filter(topic=OuterRef("pk"), seq=OuterRef("head")).values("created_at")
    stored = Cast(Subquery(newest), CharField())
    topics = Topic.objects.filter(name__in=list(names)).annotate(stored=stored)
    found = {
        name: Position(head, _mark_from(name, head, text) if text else "")
        for name, head, text in topics.values_list("name", "head", "stored")
    }
    return {name: found.get(name, START) for name in names}


@lru_cache(maxsize=KNOWN_ENDS)
def _mark_from(name: str, seq: int, text: str) -> str:
    moment = dt.datetime.fromisoformat(text)
    return positions.mark_of(name, seq, moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC))


def stored_at(name: Any, seq: Any = HEAD) -> Subquery:
    """A subquery for the time at which a topic's newest event, or the one at a seq, was stored."""
    return Subquery(LoggedEvent.objects.filter(topic__name=name, seq=seq).values("created_at")[:1])


def floor(name: str) -> int:
    """The newest seq that was pruned; 0 while every event is kept."""
    return Topic.objects.filter(name=name).values_list("floor", flat=True).first() or 0


def floor_and_places(name: str, seqs: Sequence[int]) -> tuple[int, list[Position]]:
    """The floor of a topic, and the positions at some seqs, without a mark where no event is kept."""
    kept_floor, moments = statements.floor_and_moments(name, seqs)
    return kept_floor, [positions.at(name, seq, moments.get(seq)) for seq in seqs]


def bury(name: str, tombstones: Mapping[int, Event]) -> None:
    """Replace the bodies of logged events by tombstones, by their seq."""
    for tombstone in tombstones.values():
        events.require_seq(tombstone)
    row = Topic.objects.get(name=name)
    for seq, tombstone in tombstones.items():
        body = events.encode(events.numbered(tombstone, seq))
        LoggedEvent.objects.filter(topic=row, seq=seq).update(body=body)


def rewrite(name: str, bodies: Mapping[int, str]) -> None:
    """Replace the bodies of logged events, by their seq; the caller has locked the topic."""
    topic_id = Topic.objects.values_list("pk", flat=True).get(name=name)
    statements.replace_bodies(topic_id, bodies)


def prune(name: str, *, up_to: int) -> int:
    """Delete the events of a topic up to and including a seq, but never the newest; returns how many.

    The newest stays because a position at the head is compared with it: else any mark would be believed.
    """
    with transaction.atomic():
        topic = lock([name])[name]
        up_to = min(up_to, topic.head - 1)
        if up_to <= topic.floor:
            return 0
        deleted, _ = LoggedEvent.objects.filter(topic=topic.id, seq__lte=up_to).delete()
        Topic.objects.filter(pk=topic.id).update(floor=up_to)
        return deleted
