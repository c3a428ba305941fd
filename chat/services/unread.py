"""Writing what is unread into the members' inboxes, behind the messages themselves."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from django.db.models import F

from chat.events import conversation_topic
from chat.models import Conversation, Message, Participant
from chat.services.receipts import COLLAPSE_KEY
from notifications.services import Collapsed, collapse
from realtime import log
from realtime.publishing import announcing


@announcing()
def note_unread(conversation_ids: Sequence[int]) -> None:
    """Bring the inboxes of these conversations' members up to their heads; doing it twice changes nothing.

    A conversation that another process is noting at this moment is left to it.
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
    cursors = _cursors(said)
    entries = [_entry(row, said[pk], cursors[pk]) for pk, row in behind.items() if pk in said]
    collapse(entries=[entry for entry in entries if entry is not None])
    for pk, conversation in behind.items():
        conversation.noticed_seq = heads[conversation_topic(pk)]
    Conversation.objects.bulk_update(behind.values(), ["noticed_seq"])


class Said(NamedTuple):
    """As much of a message as is counted."""

    seq: int
    sender_id: int
    sender_username: str


def _said(conversations: Iterable[Conversation], heads: dict[str, int]) -> dict[int, list[Said]]:
    """What was said in these and has not been noted yet, in order, where anything was. One query."""
    rows = Message.objects.filter(
        conversation__in=[conversation.pk for conversation in conversations],
        seq__gt=F("conversation__noticed_seq"),
        deleted_at__isnull=True,
    ).order_by("conversation_id", "seq")
    said: dict[int, list[Said]] = defaultdict(list)
    for conversation_id, seq, sender_id, username in rows.values_list(
        "conversation_id", "seq", "sender_id", "sender__username"
    ):
        if seq <= heads[conversation_topic(conversation_id)]:
            said[conversation_id].append(Said(seq, sender_id, username))
    return said


def _cursors(conversation_ids: Collection[int]) -> dict[int, list[tuple[int, int]]]:
    """How far each member has read, by conversation. One query.

    Locked: whoever reads meanwhile waits, and then finds the entry that is about to be written.
    """
    members = Participant.objects.select_for_update(no_key=True).filter(conversation__in=conversation_ids)
    cursors: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for conversation_id, user_id, read_seq in members.order_by("pk").values_list(
        "conversation_id", "user_id", "read_seq"
    ):
        cursors[conversation_id].append((user_id, read_seq))
    return cursors


def _entry(
    conversation: Conversation, messages: Sequence[Said], cursors: Iterable[tuple[int, int]]
) -> Collapsed | None:
    """What the members have not been noted yet: how many each, and the latest sender's name."""
    by_sender = Counter(message.sender_id for message in messages)
    counts: dict[int, int] = {}
    for user_id, read_seq in cursors:
        if read_seq >= messages[-1].seq:
            continue
        if read_seq <= conversation.noticed_seq:
            unread = len(messages) - by_sender[user_id]
        else:
            unread = sum(1 for seq, sender_id, _ in messages if seq > read_seq and sender_id != user_id)
        if unread:
            counts[user_id] = unread
    if not counts:
        return None
    return Collapsed(
        kind="message_received",
        data={"conversation_id": conversation.pk},
        collapse_key=COLLAPSE_KEY.format(conversation.pk),
        variables={"sender": messages[-1].sender_username},
        counts=counts,
    )
