"""Examines the unread entries of conversations: their counts are recounted from the messages."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import chain, groupby
from operator import itemgetter
from typing import NamedTuple

import msgspec
from django.db import connection
from django.db.models import CharField, F, OuterRef, Q, Subquery, Value
from django.db.models.functions import Cast, Concat

from accounts.models import FORGOTTEN
from chat.doctor.logs import conversation_logs
from chat.events import MemberRemoved, conversation_topic
from chat.models import Message, Participant
from chat.services.unread import COLLAPSE_KEY
from doctor import examinations
from doctor.examinations import Finding, examination, snapshot
from notifications.models import Notification
from realtime import LoggedEvent

# Each message lies between two neighbouring read cursors of its conversation and is counted once, however
# many members there are. Above the highest cursor, messages count up to the seq that was noted.
_RECOUNT = """
WITH cursors AS (
    SELECT DISTINCT p.conversation_id, p.read_seq, c.noticed_seq
    FROM chat_participant p JOIN chat_conversation c ON c.id = p.conversation_id
    WHERE c.id IN ({ids}) AND p.read_seq < c.noticed_seq
), spans AS (
    SELECT conversation_id, read_seq, noticed_seq,
           LEAD(read_seq, 1, noticed_seq) OVER (PARTITION BY conversation_id ORDER BY read_seq) AS up_to
    FROM cursors
)
SELECT s.conversation_id, s.read_seq, m.sender_id,
       COUNT(CASE WHEN m.deleted_at IS NULL OR m.deleted_seq IS NULL OR m.deleted_seq > s.noticed_seq
             THEN m.id END),
       COUNT(CASE WHEN m.deleted_at IS NULL THEN m.id END)
FROM spans s
LEFT JOIN chat_message m ON m.conversation_id = s.conversation_id AND m.seq > s.read_seq AND m.seq <= s.up_to
GROUP BY s.conversation_id, s.read_seq, m.sender_id
ORDER BY s.conversation_id, s.read_seq DESC
"""


class _Share(NamedTuple):
    """A member, with the count of their unread entry for the conversation; None without an entry."""

    conversation_id: int
    user_id: int
    read_seq: int
    noticed_seq: int
    unread: int | None


@examination(
    remedy="Set the entry's count to the recount, or let the user read the conversation, which begins anew. "
    "An entry that was deleted in the admin looks like one that was lost."
)
def inboxes() -> Iterator[Finding]:
    """Each member's unread entry counts the noted messages of others that they have not read."""
    for together in conversation_logs():
        with snapshot():
            found = list(_wrong_entries([each.conversation_id for each in together]))
        yield from found


def _wrong_entries(conversation_ids: list[int]) -> Iterator[Finding]:
    shares: dict[tuple[int, int], list[_Share]] = defaultdict(list)
    for share in _shares(conversation_ids):
        shares[share.conversation_id, share.read_seq].append(share)
    for place, said, alive in _recounted(conversation_ids):
        for share in shares.pop(place, ()):
            # A noted deletion is not counted. Messages without a deleted_seq, from before there was one,
            # stayed counted.
            most = said.total() - said[share.user_id]
            least = alive.total() - alive[share.user_id]
            yield from _compare(share, least, most)
    for rest in shares.values():  # members who have read all noted messages
        for share in rest:
            yield from _compare(share, 0, 0)


def _shares(conversation_ids: list[int]) -> Iterator[_Share]:
    key = Concat(
        Value(COLLAPSE_KEY.format("")),
        Cast(OuterRef("conversation_id"), CharField()),
        output_field=CharField(),
    )
    entries = Notification.objects.filter(
        ~Q(collapse_key=""), user_id=OuterRef("user_id"), collapse_key=key, read_at=None
    )
    forgotten = Concat(Value(FORGOTTEN), Cast("user_id", CharField()), output_field=CharField())
    rows = (
        Participant.objects.filter(conversation_id__in=conversation_ids)
        .exclude(user__username=forgotten)  # a forgotten user's inbox is deleted
        .annotate(noticed_seq=F("conversation__noticed_seq"), unread=Subquery(entries.values("count")[:1]))
        .order_by("pk")
    )
    return map(_Share._make, rows.values_list(*_Share._fields).iterator())


def _recounted(conversation_ids: list[int]) -> Iterator[tuple[tuple[int, int], Counter[int], Counter[int]]]:
    """The noted messages after each read cursor of each conversation by sender: all, and the undeleted."""
    sql = _RECOUNT.format(ids=", ".join(["%s"] * len(conversation_ids)))
    with connection.chunked_cursor() as cursor:
        cursor.execute(sql, conversation_ids)
        rows = chain.from_iterable(iter(lambda: cursor.fetchmany(examinations.BATCH), []))
        for conversation_id, spans in groupby(rows, key=itemgetter(0)):
            said: Counter[int] = Counter()
            alive: Counter[int] = Counter()
            for read_seq, senders in groupby(spans, key=itemgetter(1)):
                for _, _, sender_id, count, count_alive in senders:
                    said[sender_id] += count
                    alive[sender_id] += count_alive
                yield (conversation_id, read_seq), said, alive


def _compare(share: _Share, least: int, most: int) -> Iterator[Finding]:
    where = {"conversation": share.conversation_id, "user": share.user_id}
    expected = str(most) if least == most else f"{least} to {most}"
    if share.unread is None:
        if least and not _has_read_entry(share):
            yield Finding("an unread entry is missing", where, f"one for {expected}", "none")
    elif share.unread > most and not (_was_here_before(share) or _lacks_messages(share)):
        yield Finding("an unread entry counts too much", where, expected, str(share.unread))
    elif share.unread < least and not _has_read_entry(share):
        yield Finding("an unread entry counts too little", where, expected, str(share.unread))


def _has_read_entry(share: _Share) -> bool:
    """Whether the member's entry was read in the inbox, which leaves the messages unread."""
    return Notification.objects.filter(
        user_id=share.user_id, collapse_key=COLLAPSE_KEY.format(share.conversation_id), read_at__isnull=False
    ).exists()


def _was_here_before(share: _Share) -> bool:
    """Whether the member left before and came back: then the entry of the first stay is still there."""
    departures = LoggedEvent.objects.filter(
        topic__name=conversation_topic(share.conversation_id),
        body__startswith='{"type":"member_removed",',
    )
    bodies = departures.values_list("body", flat=True).iterator()
    return any(msgspec.json.decode(body, type=MemberRemoved).user_id == share.user_id for body in bodies)


def _lacks_messages(share: _Share) -> bool:
    """Whether logged messages are missing from the table; `history` reports those."""
    told = LoggedEvent.objects.filter(
        topic__name=conversation_topic(share.conversation_id),
        seq__gt=share.read_seq,
        seq__lte=share.noticed_seq,
        body__startswith='{"type":"message",',
    )
    stored = Message.objects.filter(
        conversation_id=share.conversation_id,
        seq__gt=share.read_seq,
        seq__lte=share.noticed_seq,
        deleted_at__isnull=True,
    )
    return told.count() > stored.count()
