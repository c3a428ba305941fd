"""The messages of a conversation, and its members' cursors."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import OuterRef, Q, QuerySet

from chat import rows
from chat.errors import NotAParticipantError
from chat.models import Message, Participant
from chat.selectors.membership import Membership, topic_name
from realtime import log, slice_of


class ShownMessage(NamedTuple):
    """A message to be shown. Not a model: making models took a fifth of a page's time."""

    message_id: int
    sender_id: int
    sender_username: str
    content: str
    created_at: dt.datetime
    conversation_id: int
    seq: int
    client_id: UUID | None
    edited_at: dt.datetime | None
    deleted_at: dt.datetime | None
    #: When the message's event was stored in the log; None when the log no longer has it.
    logged_at: dt.datetime | None


@cache
def shown_messages() -> QuerySet[Message, Any]:
    """All messages, in the field order of ShownMessage."""
    logged_at = log.stored_at(topic_name(OuterRef("conversation_id")), OuterRef("seq"))
    return Message.objects.annotate(logged_at=logged_at).values_list(
        "pk",
        "sender_id",
        "sender__username",
        "content",
        "created_at",
        "conversation_id",
        "seq",
        "client_id",
        "edited_at",
        "deleted_at",
        "logged_at",
    )


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """A page of messages, newest first, with links to its neighbours."""

    messages: Sequence[ShownMessage]
    #: Older messages come before this seq; None where there are none.
    older_before: int | None
    #: Newer messages, up to the membership's head, come after this seq; None where there are none.
    newer_after: int | None
    #: The seq up to which all others who share their cursors have read.
    read_by_others: int


def history(membership: Membership, *, before: int | None, after: int | None, limit: int) -> HistoryPage:
    """A page of messages: the newest, those before a seq, or the oldest after one. Two queries.

    The page ends at the membership's head, since later messages may be for others only. A user who was
    removed by the time the page is read gets a NotAParticipantError, because texts may have been edited
    since.
    """
    page = slice_of(
        shown_messages().filter(conversation_id=membership.conversation_id),
        "seq",
        before=before,
        after=after,
        limit=limit,
        lowest=membership.readable_after + 1,
        highest=membership.head,
        made=ShownMessage._make,
    )
    lowest, highest = page.behind
    standing = rows.standing(membership.conversation_id, membership.user_id, lowest=lowest, highest=highest)
    if standing is None:
        raise NotAParticipantError
    read_by_others, is_behind = standing
    return HistoryPage(
        messages=page.rows,
        older_before=page.older_before(is_behind=is_behind),
        newer_after=page.newer_after(is_behind=is_behind),
        read_by_others=read_by_others,
    )


def unread_count(membership: Membership) -> int:
    """The number of others' messages that the user has not read."""
    return (
        Message.objects.filter(
            conversation_id=membership.conversation_id,
            seq__gt=max(membership.read_seq, membership.readable_after),
            deleted_at__isnull=True,
        )
        .exclude(sender_id=membership.user_id)
        .count()
    )


class Receipt(NamedTuple):
    """One member's cursors."""

    user_id: int
    delivered_seq: int
    read_seq: int


def receipts_in(conversation_ids: Collection[int]) -> dict[int, list[Receipt]]:
    """The cursors of all members who have moved and share theirs, by conversation. One query."""
    receipts: dict[int, list[Receipt]] = {conversation_id: [] for conversation_id in conversation_ids}
    moved = Participant.objects.filter(
        Q(delivered_seq__gt=0) | Q(read_seq__gt=0),
        conversation_id__in=conversation_ids,
        user__shares_receipts=True,
    )
    for conversation_id, *cursors in moved.values_list(
        "conversation_id", "user_id", "delivered_seq", "read_seq"
    ):
        receipts[conversation_id].append(Receipt(*cursors))
    return receipts
