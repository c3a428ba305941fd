"""How far somebody got: delivered and read cursors that only move forward."""

from __future__ import annotations

from functools import partial

from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Greatest

from chat.events import ReceiptMoved, conversation_topic
from chat.models import Participant
from chat.selectors import Membership, membership_for
from notifications.services import read_collapsed
from realtime.publishing import announcing, publish_now

#: The inbox entry that stands for a conversation's unread messages.
COLLAPSE_KEY = "conversation.{}"


def mark_delivered(*, user_id: int, conversation_id: int, up_to_seq: int) -> Membership:
    """The user's device has everything up to a seq."""
    return _move(user_id=user_id, conversation_id=conversation_id, delivered=up_to_seq, read=0)


def mark_read(*, user_id: int, conversation_id: int, up_to_seq: int) -> Membership:
    """The user has read everything up to a seq, and so has it."""
    return _move(user_id=user_id, conversation_id=conversation_id, delivered=up_to_seq, read=up_to_seq)


@announcing()
def _move(*, user_id: int, conversation_id: int, delivered: int, read: int) -> Membership:
    head = membership_for(user_id=user_id, conversation_id=conversation_id).head
    delivered, read = min(delivered, head), min(read, head)  # nobody has read what is not yet said
    moved = Participant.objects.filter(
        Q(delivered_seq__lt=delivered) | Q(read_seq__lt=read),
        user_id=user_id,
        conversation_id=conversation_id,
    ).update(
        delivered_seq=Greatest(F("delivered_seq"), delivered),
        read_seq=Greatest(F("read_seq"), read),
    )
    membership = membership_for(user_id=user_id, conversation_id=conversation_id)
    if moved and membership.shares_receipts:  # kept all the same: unread counts are the user's own
        receipt = ReceiptMoved(
            user_id=user_id,
            delivered_seq=membership.delivered_seq,
            read_seq=membership.read_seq,
            conversation_id=conversation_id,
        )
        transaction.on_commit(partial(publish_now, conversation_topic(conversation_id), receipt))
    if read and (moved or read == head):  # a cursor repeated from long ago has not read what came since
        read_collapsed(user_id=user_id, collapse_key=COLLAPSE_KEY.format(conversation_id))
    return membership
