"""Cursors say how far a member has received and read, and only move forward.

Many moves are written together: one transaction, one bell with all receipts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from django.db.models import BigIntegerField, Case, Count, OuterRef, Subquery, Value, When
from django.db.models.functions import Coalesce

from chat.errors import NotAParticipantError
from chat.events import CursorsMoved, ReceiptMoved, conversation_topic
from chat.models import Message, Participant
from chat.selectors import Membership, Share, memberships_for
from chat.services.unread import COLLAPSE_KEY, counted_up_to
from notifications import collapsed
from notifications.models import Notification
from realtime import Logged, announce, announcing, events, user_topic


class Cursor(NamedTuple):
    """The cursors that a client reports for its user; whoever has read has received."""

    delivered: int = 0
    read: int = 0

    def joined(self, other: Cursor) -> Cursor:
        """A cursor that is as far as the further of both."""
        return Cursor(max(self.delivered, other.delivered), max(self.read, other.read))


class _ReadMove(NamedTuple):
    """A read cursor that moves, from its row's `read_seq` to `up_to`."""

    row: Participant
    up_to: int
    #: Whether `up_to` is the head.
    is_all: bool


def mark_delivered(*, user_id: int, conversation_id: int, up_to_seq: int) -> Membership:
    """Note that a device of the user has received everything up to a seq."""
    return _move((user_id, conversation_id), Cursor(delivered=up_to_seq))


def mark_read(*, user_id: int, conversation_id: int, up_to_seq: int) -> Membership:
    """Note that the user has read everything up to a seq, and so received it."""
    return _move((user_id, conversation_id), Cursor(read=up_to_seq))


def _move(share: Share, cursor: Cursor) -> Membership:
    membership = move_cursors({share: cursor})[share]
    if isinstance(membership, NotAParticipantError):
        raise membership
    return membership


@announcing()
def move_cursors(moves: Mapping[Share, Cursor]) -> dict[Share, Membership | NotAParticipantError]:
    """Move cursors forward; returns each user's membership after the move.

    The number of statements does not grow with the number of moves.
    """
    rows = {(row.user_id, row.conversation_id): row for row in _locked(moves)}
    memberships = memberships_for(moves)
    moved: dict[Share, Membership] = {}
    read_moves: list[_ReadMove] = []
    for share, cursor in moves.items():
        membership = memberships[share]
        if share not in rows or isinstance(membership, NotAParticipantError):
            continue
        head = membership.head  # nobody can have read beyond the head
        read = max(membership.read_seq, min(cursor.read, head))
        delivered = max(membership.delivered_seq, min(cursor.delivered, head), read)
        if cursor.read and (read > membership.read_seq or min(cursor.read, head) == head):
            read_moves.append(_ReadMove(rows[share], read, is_all=read == head))
        if (delivered, read) != (membership.delivered_seq, membership.read_seq):
            moved[share] = membership._replace(delivered_seq=delivered, read_seq=read)
    if read_moves:
        _uncount(read_moves)
    for share, membership in moved.items():
        rows[share].delivered_seq, rows[share].read_seq = membership.delivered_seq, membership.read_seq
    if moved:
        Participant.objects.bulk_update([rows[share] for share in moved], ["delivered_seq", "read_seq"])
    announce([_receipt(membership) for membership in moved.values() if membership.shares_receipts])
    announce([_own(membership) for membership in moved.values()])
    return {**memberships, **moved}


def _locked(shares: Iterable[Share]) -> list[Participant]:
    """The locked participations of these users in these conversations, in every combination of the two."""
    rows = Participant.objects.select_for_update(no_key=True).filter(
        user_id__in={user_id for user_id, _ in shares},
        conversation_id__in={conversation_id for _, conversation_id in shares},
    )
    return list(rows.order_by("pk"))


def _receipt(membership: Membership) -> Logged:
    receipt = ReceiptMoved(
        user_id=membership.user_id,
        delivered_seq=membership.delivered_seq,
        read_seq=membership.read_seq,
        conversation_id=membership.conversation_id,
    )
    return Logged(conversation_topic(membership.conversation_id), None, events.encode(receipt))


def _own(membership: Membership) -> Logged:
    moved = CursorsMoved(
        conversation_id=membership.conversation_id,
        delivered_seq=membership.delivered_seq,
        read_seq=membership.read_seq,
    )
    return Logged(user_topic(membership.user_id), None, events.encode(moved))


def _uncount(read_moves: Iterable[_ReadMove]) -> None:
    """Take read messages off the unread entries that count them."""
    by_entry = {
        (move.row.user_id, COLLAPSE_KEY.format(move.row.conversation_id)): move for move in read_moves
    }
    users, keys = zip(*by_entry, strict=True)
    entries = [
        (entry, by_entry[entry.user_id, entry.collapse_key])
        for entry in collapsed.open_entries(keys=keys, user_ids=users)
        if (entry.user_id, entry.collapse_key) in by_entry
    ]
    collapsed.read(entry for entry, move in entries if move.is_all)
    if partly := {move.row.pk: (entry, move) for entry, move in entries if not move.is_all}:
        collapsed.uncount({partly[pk][0]: count for pk, count in _read_in(partly)})


def _read_in(partly: Mapping[int, tuple[Notification, _ReadMove]]) -> Iterable[tuple[int, int]]:
    """The number of messages in each move that the user's entry counts, by participant. One query."""
    after = {pk: max(move.row.read_seq, entry.counted_after) for pk, (entry, move) in partly.items()}
    up_to = {pk: move.up_to for pk, (_, move) in partly.items()}
    read = (
        Message.objects.filter(
            counted_up_to(OuterRef("conversation__noticed_seq")),
            conversation_id=OuterRef("conversation_id"),
            seq__gt=OuterRef("after"),
            seq__lte=OuterRef("up_to"),
        )
        .exclude(sender_id=OuterRef("user_id"))
        .order_by()
        .values("conversation_id")
        .annotate(n=Count("pk"))
        .values("n")
    )
    rows = Participant.objects.filter(pk__in=partly).annotate(
        after=_of_each(after), up_to=_of_each(up_to), read_of_entry=Coalesce(Subquery(read), 0)
    )
    for pk, count, noticed_seq in rows.values_list("pk", "read_of_entry", "conversation__noticed_seq"):
        # A user who has read all noted messages has nothing left in the entry, however it was counted.
        yield pk, partly[pk][0].count if up_to[pk] >= noticed_seq else count


def _of_each(values: Mapping[int, int]) -> Case:
    """An expression with one value per participant."""
    return Case(
        *[When(pk=pk, then=Value(value, BigIntegerField())) for pk, value in values.items()],
        output_field=BigIntegerField(),
    )
