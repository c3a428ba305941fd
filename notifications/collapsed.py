"""Collapsed entries: one entry that stands for many things, such as the unread messages of a conversation.

A user has one unread entry per key. The things that it counts were shown when they happened (`sources.py`),
so nothing here is announced. A transaction that changes several entries locks them first with `open_entries`,
always in the same order.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db.models import F, QuerySet
from django.utils import timezone

from accounts.models import User
from notifications import collapsing, kinds
from notifications.models import Notification
from notifications.texts import supported_language
from realtime import announcing, events

#: Entries changed by one statement: SQLite takes 32,766 parameters, and a short statement is planned sooner.
MAX_IN_STATEMENT = 1_000


@dataclass(frozen=True, slots=True)
class Collapsed:
    """One entry to write for several users: the same words, and how many new things each user has."""

    collapse_key: str
    kind: str
    data: Mapping[str, Any]
    #: The number of new things, by the user's id.
    counts: Mapping[int, int]
    variables: Mapping[str, object] = field(default_factory=dict)
    #: The seq in the source after which the things come; an existing entry keeps its own.
    counted_after: int = 0


@announcing()
def collapse(*, entries: Iterable[Collapsed]) -> None:
    """Write one unread entry per user and key, or add to the one that is there.

    Two statements, however many entries and users; unknown users are left out.
    """
    wanted = [entry for entry in entries if entry.counts]
    languages = _languages({user_id for entry in wanted for user_id in entry.counts})
    rows = [row for entry in wanted for row in _rows(entry, languages)]
    if rows:
        collapsing.upsert(rows, at=events.now())


def open_entries(*, keys: Collection[str], user_ids: Collection[int] | None = None) -> list[Notification]:
    """The unread entries under these keys, of all users or of these, locked until the commit."""
    entries = unread_entries().filter(collapse_key__in=keys)
    if user_ids is not None:
        entries = entries.filter(user_id__in=user_ids)
    return list(in_order(entries))


def in_order(entries: QuerySet[Notification]) -> QuerySet[Notification]:
    """Entries in the order in which all code locks them, `collapsing.upsert` included."""
    return entries.select_for_update(no_key=True).order_by("user_id", "collapse_key", "pk")


def read(entries: Iterable[Notification]) -> None:
    """Mark entries as read."""
    for some in _some([entry.pk for entry in entries]):
        unread_entries().filter(pk__in=some).update(read_at=timezone.now())


def read_collapsed(*, user_id: int, collapse_key: str) -> int:
    """Mark a user's entry under a key as read; returns the number of entries marked, 0 or 1."""
    entries = open_entries(keys=[collapse_key], user_ids=[user_id])
    read(entries)
    return len(entries)


def uncount(less: Mapping[Notification, int]) -> list[Notification]:
    """Lower the count of each entry. Entries at 0 are marked as read; the others are returned."""
    read(entry for entry, count in less.items() if count >= entry.count)
    left: dict[int, list[Notification]] = defaultdict(list)
    for entry, count in less.items():
        if 0 < count < entry.count:
            left[count].append(entry)
    for count, entries in left.items():
        for some in _some([entry.pk for entry in entries]):
            unread_entries().filter(pk__in=some).update(count=F("count") - count)
    return [entry for entries in left.values() for entry in entries]


def reword(entries: Collection[Notification], *, variables: Mapping[str, object]) -> None:
    """Write the words of entries of one kind and the same data again, with other variables."""
    if not entries:
        return
    first, languages = next(iter(entries)), _languages({entry.user_id for entry in entries})
    by_language: dict[str, list[int]] = defaultdict(list)
    for entry in entries:
        by_language[languages[entry.user_id]].append(entry.pk)
    for language, ids in by_language.items():
        text = kinds.get(first.kind).text({**first.data, **variables}, language=language)
        for some in _some(ids):
            unread_entries().filter(pk__in=some).update(title=text.title, message=text.message)


def unread_entries() -> QuerySet[Notification]:
    """The unread entries of all users."""
    return Notification.objects.filter(read_at=None)


def _some(ids: list[int]) -> Iterator[list[int]]:
    for start in range(0, len(ids), MAX_IN_STATEMENT):
        yield ids[start : start + MAX_IN_STATEMENT]


def _languages(user_ids: Collection[int]) -> dict[int, str]:
    rows = User.objects.filter(pk__in=user_ids).values_list("pk", "language")
    return {user_id: supported_language(language) for user_id, language in rows}


def _rows(entry: Collapsed, languages: Mapping[int, str]) -> list[collapsing.Row]:
    kind = kinds.get(entry.kind)
    values = {**entry.data, **entry.variables}
    counts: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for user_id, count in entry.counts.items():
        if user_id in languages and count > 0:
            counts[languages[user_id]].append((user_id, count))
    return [
        collapsing.Row(
            entry.collapse_key,
            entry.kind,
            entry.data,
            *kind.text(values, language=language),
            pairs,
            entry.counted_after,
        )
        for language, pairs in counts.items()
    ]
