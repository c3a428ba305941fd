"""Services of notifications: sending, and marking as read; both are announced on `user.<id>`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from django.utils import timezone

from accounts.models import User
from notifications import collapsing, kinds
from notifications.collapsed import in_order, unread_entries
from notifications.events import NotificationsRead, Notified
from notifications.models import Notification
from notifications.texts import MAX_MESSAGE_CHARACTERS, MAX_TITLE_CHARACTERS, Text, supported_language
from realtime import announcing, clean_text, events, log, publish_on_commit, user_topic


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
    """Put an entry into a user's inbox and show it on the user's open sockets; see `notify_many`."""
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
    """Notify several users of the same thing, each in their language; announced at the commit.

    `variables` fill placeholders that are no part of the data. `title` and `message` replace the kind's own
    words. While an entry with the same `collapse_key` is unread, the new one is added to it.
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
        # Topics are locked before entries: docs/subsystems/locks.md.
        log.lock(user_topic(user_id) for user_id in recipients)
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
    return list(unread_entries().filter(user_id__in=users, collapse_key=collapse_key))


# --- reading ----------------------------------------------------------------------------------------


@announcing()
def mark_read(*, user_id: int, ids: Collection[int]) -> int:
    """Mark entries of a user as read; ids of others' entries change nothing. Returns the unread count."""
    unread = unread_entries().filter(user_id=user_id)
    if not unread.filter(pk__in=ids).exists():
        return unread.count()
    # Counted under the lock, so that counts are right in the order in which they are announced.
    log.lock([user_topic(user_id)])
    newly_read = sorted(entry.pk for entry in in_order(unread.filter(pk__in=ids)))
    unread.filter(pk__in=newly_read).update(read_at=timezone.now())
    unread_count = unread.count()
    if newly_read:
        publish_on_commit(user_topic(user_id), NotificationsRead(ids=newly_read, unread_count=unread_count))
    return unread_count


@announcing()
def mark_all_read(*, user_id: int) -> int:
    """Mark all entries of a user as read; returns their number."""
    unread = unread_entries().filter(user_id=user_id)
    if not unread.exists():
        return 0
    log.lock([user_topic(user_id)])
    # The update locks rows in any order. Other transactions write collapsed entries, so those are locked
    # first.
    list(in_order(unread.exclude(collapse_key="")).values_list("pk"))
    newly_read = unread.update(read_at=timezone.now())
    if newly_read:
        publish_on_commit(user_topic(user_id), NotificationsRead(ids=None, unread_count=0))
    return newly_read
