"""Telling somebody something, and noting that it was read; all of it is announced on `user.<id>`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.utils import timezone

from accounts.models import User
from notifications import collapsing, kinds
from notifications.events import NotificationsRead, Notified
from notifications.models import Notification
from notifications.texts import MAX_MESSAGE_CHARACTERS, MAX_TITLE_CHARACTERS, Text, supported_language
from realtime import events, log
from realtime.frames import clean_text
from realtime.publishing import announcing, publish_on_commit
from realtime.topics import user_topic


def notify(
    *,
    user: User,
    kind: str,
    data: Mapping[str, Any],
    variables: Mapping[str, object] | None = None,
    title: str = "",
    message: str = "",
    collapse_key: str = "",
) -> Notification:
    """Put an entry into a user's inbox and show it on their open sockets; see `notify_many`."""
    (notification,) = notify_many(
        users=[user],
        kind=kind,
        data=data,
        variables=variables,
        title=title,
        message=message,
        collapse_key=collapse_key,
    )
    return notification


@announcing()
def notify_many(
    *,
    users: Iterable[User],
    kind: str,
    data: Mapping[str, Any],
    variables: Mapping[str, object] | None = None,
    title: str = "",
    message: str = "",
    collapse_key: str = "",
) -> list[Notification]:
    """Tell several people the same thing, each in their language, once it is committed.

    `variables` fill placeholders that are no part of the data. `title` and `message` replace the kind's
    own words. While an entry with the same `collapse_key` is unread, this one becomes part of it.
    """
    chosen = kinds.get(kind)
    data = chosen.clean(data)
    own_words = Text(
        clean_text(title, max_length=MAX_TITLE_CHARACTERS),
        clean_text(message, max_length=MAX_MESSAGE_CHARACTERS),
    )
    values = {**data, **(variables or {})}
    recipients = {user.pk: supported_language(user.language) for user in users}
    texts = {}
    for language in set(recipients.values()):
        text = chosen.text(values, language=language)
        texts[language] = Text(own_words.title or text.title, own_words.message or text.message)

    moment = events.now()
    stored = [
        Notification(
            user_id=user_id,
            kind=kind,
            data=data,
            title=texts[language].title,
            message=texts[language].message,
            created_at=moment,
        )
        for user_id, language in recipients.items()
    ]
    if collapse_key:
        stored = _collapsed(stored, collapse_key)
    else:
        Notification.objects.bulk_create(stored)
    for notification in stored:
        publish_on_commit(user_topic(notification.user_id), Notified.of(notification))
    return stored


def _collapsed(entries: Sequence[Notification], collapse_key: str) -> list[Notification]:
    by_words: dict[Text, list[tuple[int, int]]] = defaultdict(list)
    for entry in entries:
        by_words[Text(entry.title, entry.message)].append((entry.user_id, 1))
    if not entries:
        return []
    collapsing.upsert(
        [
            collapsing.Row(collapse_key, entries[0].kind, entries[0].data, text.title, text.message, counts)
            for text, counts in by_words.items()
        ],
        at=entries[0].created_at,
    )
    users = [entry.user_id for entry in entries]
    return list(_unread().filter(user_id__in=users, collapse_key=collapse_key))


# --- what stands for many things --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Collapsed:
    """What `collapse` writes: something several people have so many of, such as a conversation's messages."""

    collapse_key: str
    kind: str
    data: Mapping[str, Any]
    #: How many new ones there are for each user, by id.
    counts: Mapping[int, int]
    variables: Mapping[str, object] = field(default_factory=dict)


@announcing()
def collapse(*, entries: Iterable[Collapsed]) -> None:
    """Write one unread entry per user and key, or add to the one that is there; nothing is announced.

    For what was shown when it happened (`sources.py`) and must also be found in the inbox. Two
    statements, however many entries and people; users that do not exist are left out.
    """
    wanted = [entry for entry in entries if entry.counts]
    people = {user_id for entry in wanted for user_id in entry.counts}
    languages = {
        user_id: supported_language(language)
        for user_id, language in User.objects.filter(pk__in=people).values_list("pk", "language")
    }
    rows = [row for entry in wanted for row in _rows(entry, languages)]
    if rows:
        collapsing.upsert(rows, at=events.now())


def _rows(entry: Collapsed, languages: Mapping[int, str]) -> list[collapsing.Row]:
    kind = kinds.get(entry.kind)
    values = {**entry.data, **entry.variables}
    counts: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for user_id, count in entry.counts.items():
        if user_id in languages and count > 0:
            counts[languages[user_id]].append((user_id, count))
    return [
        collapsing.Row(
            entry.collapse_key, entry.kind, entry.data, *kind.text(values, language=language), pairs
        )
        for language, pairs in counts.items()
    ]


def read_collapsed(*, user_id: int, collapse_key: str) -> int:
    """The user has seen what an entry stands for; how many entries that were. Nothing is announced."""
    return _unread().filter(user_id=user_id, collapse_key=collapse_key).update(read_at=timezone.now())


# --- reading ----------------------------------------------------------------------------------------


@announcing()
def mark_read(*, user_id: int, ids: Collection[int]) -> int:
    """The user has read these entries; those that are not theirs are left alone. Returns the unread count."""
    unread = _unread().filter(user_id=user_id)
    if not unread.filter(pk__in=ids).exists():
        return unread.count()
    # Counted in the order in which it is told: whoever waits here counts after the one before.
    log.lock([user_topic(user_id)])
    newly_read = sorted(unread.filter(pk__in=ids).values_list("pk", flat=True))
    unread.filter(pk__in=newly_read).update(read_at=timezone.now())
    unread_count = unread.count()
    if newly_read:
        publish_on_commit(user_topic(user_id), NotificationsRead(ids=newly_read, unread_count=unread_count))
    return unread_count


@announcing()
def mark_all_read(*, user_id: int) -> int:
    """The user has read everything; how many entries that were."""
    unread = _unread().filter(user_id=user_id)
    if not unread.exists():
        return 0
    log.lock([user_topic(user_id)])
    newly_read = unread.update(read_at=timezone.now())
    if newly_read:
        publish_on_commit(user_topic(user_id), NotificationsRead(ids=None, unread_count=0))
    return newly_read


def _unread() -> Any:
    return Notification.objects.filter(read_at=None)
