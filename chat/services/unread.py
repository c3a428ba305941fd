"""Unread messages become entries in the members' inboxes, a moment after the messages are stored.

The unread entry of a conversation counts others' messages up to the seq at which the conversation was noted,
as far as they were not deleted by then, and after both the member's read cursor and the seq where the entry
began. Noting moves the noted seq, reading moves the cursor; either way the entry's count follows.

Services that write report the conversations that have something new (`conversations_moved`); `chat.notifier`
takes those and has them noted.
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from django.db.models import F, Q, QuerySet

from chat.events import conversation_topic
from chat.models import Conversation, Message, Participant
from notifications import collapsed
from notifications.collapsed import Collapsed, collapse
from notifications.models import Notification
from realtime import announcing, log

#: The key of the inbox entry that counts a conversation's unread messages.
COLLAPSE_KEY = "conversation.{}"


_moved: set[int] = set()
_moved_lock = threading.Lock()


def conversations_moved(conversation_ids: Iterable[int]) -> None:
    """Report conversations with something new to note, from any thread.

    In a process without a hub nothing takes them; another process's sweep finds them in the database.
    """
    with _moved_lock:
        _moved.update(conversation_ids)


def take_moved() -> list[int]:
    """Take the conversations that were reported since the last call."""
    with _moved_lock:
        taken = sorted(_moved)
        _moved.clear()
    return taken


class CountedMessage(NamedTuple):
    """The part of a message that counting needs."""

    seq: int
    sender_id: int
    sender_username: str


#: The read cursors of a conversation's members, by user.
Cursors = Mapping[int, int]


@announcing()
def note_unread(conversation_ids: Sequence[int]) -> None:
    """Bring the inboxes of these conversations' members up to date; a second call changes nothing.

    A conversation that another process is noting at this moment is left to that process.
    """
    rows = Conversation.objects.select_for_update(no_key=True, skip_locked=True).filter(
        pk__in=conversation_ids
    )
    conversations = {row.pk: row for row in rows.order_by("pk")}
    heads = log.heads([conversation_topic(pk) for pk in conversations])
    behind = {
        pk: conversation
        for pk, conversation in conversations.items()
        if heads[conversation_topic(pk)] > conversation.noticed_seq
    }
    if not behind:
        return

    said = _said(behind.values(), heads)
    gone = _gone(behind.values(), heads)
    cursors = _cursors({*said, *gone})
    if gone:
        # All entries are locked before any is written, in the common order: another order would deadlock.
        open_entries = collapsed.open_entries(keys=[COLLAPSE_KEY.format(pk) for pk in cursors])
        for pk, messages in gone.items():
            entries = [entry for entry in open_entries if entry.collapse_key == COLLAPSE_KEY.format(pk)]
            _uncount(entries, messages, cursors[pk], up_to=heads[conversation_topic(pk)])
    collapse(
        entries=[
            entry for pk, messages in said.items() for entry in _entries(behind[pk], messages, cursors[pk])
        ]
    )
    for pk, conversation in behind.items():
        conversation.noticed_seq = heads[conversation_topic(pk)]
    Conversation.objects.bulk_update(behind.values(), ["noticed_seq"])


def counted_up_to(seq: object) -> Q:
    """The messages that an inbox noted up to `seq` counts: later deletions are not noted yet."""
    return Q(seq__lte=seq) & (Q(deleted_at=None) | Q(deleted_seq__gt=seq))


def _said(conversations: Iterable[Conversation], heads: Mapping[str, int]) -> dict[int, list[CountedMessage]]:
    """The undeleted messages of these conversations that are not noted yet, in their order. One query."""
    rows = _messages(conversations).filter(
        Q(deleted_at=None) | Q(deleted_seq__isnull=False), seq__gt=F("conversation__noticed_seq")
    )
    said: dict[int, list[CountedMessage]] = defaultdict(list)
    for conversation_id, deleted_seq, seq, sender_id, username in rows:
        head = heads[conversation_topic(conversation_id)]
        if seq <= head and (deleted_seq is None or deleted_seq > head):
            said[conversation_id].append(CountedMessage(seq, sender_id, username))
    return said


def _gone(conversations: Iterable[Conversation], heads: Mapping[str, int]) -> dict[int, list[CountedMessage]]:
    """The noted messages of these conversations that were deleted since. One query."""
    rows = _messages(conversations).filter(
        deleted_seq__gt=F("conversation__noticed_seq"), seq__lte=F("conversation__noticed_seq")
    )
    gone: dict[int, list[CountedMessage]] = defaultdict(list)
    for conversation_id, deleted_seq, seq, sender_id, username in rows:
        if (deleted_seq or 0) <= heads[conversation_topic(conversation_id)]:
            gone[conversation_id].append(CountedMessage(seq, sender_id, username))
    return gone


def _messages(
    conversations: Iterable[Conversation],
) -> QuerySet[Message, tuple[int, int | None, int, int, str]]:
    rows = Message.objects.filter(conversation__in=[conversation.pk for conversation in conversations])
    return rows.order_by("conversation_id", "seq").values_list(
        "conversation_id", "deleted_seq", "seq", "sender_id", "sender__username"
    )


def _cursors(conversation_ids: Collection[int]) -> dict[int, dict[int, int]]:
    """The members' read cursors, by conversation. One query.

    The rows are locked: a member who reads meanwhile waits, and then finds the entry that is written here.
    """
    members = Participant.objects.select_for_update(no_key=True).filter(conversation__in=conversation_ids)
    cursors: dict[int, dict[int, int]] = {pk: {} for pk in conversation_ids}
    for conversation_id, user_id, read_seq in members.order_by("pk").values_list(
        "conversation_id", "user_id", "read_seq"
    ):
        cursors[conversation_id][user_id] = read_seq
    return cursors


def _entries(
    conversation: Conversation, messages: Sequence[CountedMessage], cursors: Cursors
) -> Iterable[Collapsed]:
    """The entries to write: each member's new unread messages, with the latest sender's name.

    In the latest sender's own entry, that is the name of the latest other sender.
    """
    by_sender = Counter(message.sender_id for message in messages)
    counts: dict[int, int] = {}
    for user_id, read_seq in cursors.items():
        if read_seq >= messages[-1].seq:
            continue
        if read_seq <= conversation.noticed_seq:
            unread = len(messages) - by_sender[user_id]
        else:
            unread = sum(1 for seq, sender_id, _ in messages if seq > read_seq and sender_id != user_id)
        if unread:
            counts[user_id] = unread
    latest = messages[-1]
    for sender, users in (
        (latest.sender_username, counts.keys() - {latest.sender_id}),
        (_latest_of_others(messages, latest.sender_id), counts.keys() & {latest.sender_id}),
    ):
        if users:
            yield Collapsed(
                kind="message_received",
                data={"conversation_id": conversation.pk},
                collapse_key=COLLAPSE_KEY.format(conversation.pk),
                variables={"sender": sender},
                counts={user_id: counts[user_id] for user_id in users},
                counted_after=conversation.noticed_seq,
            )


def _latest_of_others(messages: Sequence[CountedMessage], user_id: int) -> str:
    names = (message.sender_username for message in reversed(messages) if message.sender_id != user_id)
    return next(names, "")


def _uncount(
    entries: Iterable[Notification], gone: Sequence[CountedMessage], cursors: Cursors, *, up_to: int
) -> None:
    """Take deleted messages off the entries that counted them, and name the latest sender who is left."""
    less = {}
    for entry in entries:
        if entry.user_id in cursors:
            after = max(cursors[entry.user_id], entry.counted_after)
            less[entry] = sum(
                1 for message in gone if message.seq > after and message.sender_id != entry.user_id
            )
    left = collapsed.uncount(less)
    if not left:
        return
    alive = Message.objects.filter(counted_up_to(up_to), conversation_id=left[0].data["conversation_id"])
    by_time = alive.order_by("-seq").values_list("sender_id", "sender__username")
    latest = by_time.first()
    if latest is None:
        return
    sender_id, username = latest
    collapsed.reword([entry for entry in left if entry.user_id != sender_id], variables={"sender": username})
    theirs = [entry for entry in left if entry.user_id == sender_id]
    if theirs and (before := by_time.exclude(sender_id=sender_id).first()) is not None:
        collapsed.reword(theirs, variables={"sender": before[1]})
