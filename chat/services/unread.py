"""Writing what is unread into the members' inboxes, behind the messages themselves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

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

    collapse(
        entries=[entry for pk, row in behind.items() if (entry := _entry(row, heads[conversation_topic(pk)]))]
    )
    for pk, conversation in behind.items():
        conversation.noticed_seq = heads[conversation_topic(pk)]
    Conversation.objects.bulk_update(behind.values(), ["noticed_seq"])


def _entry(conversation: Conversation, head: int) -> Collapsed | None:
    """What the members have not been noted yet: how many each, and the latest sender's name."""
    said = Message.objects.filter(
        conversation=conversation,
        seq__gt=conversation.noticed_seq,
        seq__lte=head,
        deleted_at__isnull=True,
    )
    messages = list(said.order_by("seq").values_list("seq", "sender_id", "sender__username"))
    if not messages:
        return None
    by_sender = Counter(sender_id for _, sender_id, _ in messages)
    counts: dict[int, int] = {}
    # Locked: whoever reads meanwhile waits, and then finds the entry that is about to be written.
    members = Participant.objects.select_for_update(no_key=True).filter(
        conversation=conversation, read_seq__lt=messages[-1][0]
    )
    for user_id, read_seq in members.values_list("user_id", "read_seq"):
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
        variables={"sender": messages[-1][2]},
        counts=counts,
    )
