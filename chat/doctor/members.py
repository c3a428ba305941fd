"""Examines members: the log says that each was added and not removed; cursors lie inside the log."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from django.db.models import Count, F, OuterRef, Q

from accounts.models import User
from chat.doctor.logs import ConversationLog, conversation_logs, end_of, topics_of
from chat.events import MemberAdded, MemberRemoved
from chat.models import Participant
from chat.selectors import topic_number
from doctor.core import is_readable
from doctor.examinations import Finding, examination, snapshot
from realtime import LoggedEvent, Topic, id_ranges

_MEMBERSHIP = ('{"type":"member_added",', '{"type":"member_removed",')
_decode = msgspec.json.Decoder(MemberAdded | MemberRemoved).decode

#: A conversation's id and a user's id.
Member = tuple[int, int]


@examination(
    remedy="Set these cursors of chat_participant to the head: the user's client then asks for nothing that "
    "is not there, and shows a little too much as read."
)
def cursors() -> Iterator[Finding]:
    """A member has received up to the head at most, and has read at most what was received."""
    for above, up_to in id_ranges(Participant.objects.all()):
        with snapshot():
            found = list(_wrong_cursors(above, up_to))
        yield from found


def _wrong_cursors(above: int, up_to: int) -> Iterator[Finding]:
    rows = Participant.objects.filter(pk__gt=above, pk__lte=up_to)
    # One query, which returns only the wrong rows.
    wrong = (
        rows.annotate(head=topic_number(OuterRef("conversation_id"), "head"))
        .filter(Q(read_seq__lt=0) | Q(read_seq__gt=F("delivered_seq")) | Q(delivered_seq__gt=F("head")))
        .order_by("pk")
    )
    topics = topics_of({row.conversation_id for row in wrong})
    for row in wrong:
        if row.conversation_id not in topics:
            continue  # reported by `conversations`
        end = end_of(topics[row.conversation_id])
        if not 0 <= row.read_seq <= row.delivered_seq <= end:
            where = {"conversation": row.conversation_id, "user": row.user_id}
            expected = f"0 <= read_seq <= delivered_seq <= {end}"
            found = f"read_seq {row.read_seq}, delivered_seq {row.delivered_seq}"
            yield Finding("a member's cursors are out of range", where, expected, found)


@examination(
    remedy="Ask which is right, the log or the row; then remove or add that member through the API, "
    "which tells it."
)
def members() -> Iterator[Finding]:
    """The log names exactly the present members, each since the seq at which they joined."""
    for together in conversation_logs():
        with snapshot():
            found = list(_wrong_members(_whole(together)))
        yield from found


def _whole(together: list[ConversationLog]) -> list[ConversationLog]:
    """Leave out the logs with gaps: they prove nothing about members, and `log_numbers` reports them."""
    events = LoggedEvent.objects.filter(topic_id__in=[each.topic_id for each in together])
    counts = dict(events.order_by().values("topic_id").annotate(n=Count("seq")).values_list("topic_id", "n"))
    topics = Topic.objects.in_bulk([each.topic_id for each in together])
    return [
        each._replace(floor=topics[each.topic_id].floor)
        for each in together
        if each.topic_id in topics
        and counts.get(each.topic_id, 0) == topics[each.topic_id].head - topics[each.topic_id].floor
    ]


def _wrong_members(together: list[ConversationLog]) -> Iterator[Finding]:
    told = _told(together)
    logs = {each.conversation_id: each for each in together}
    rows = Participant.objects.filter(conversation_id__in=logs).order_by("pk")
    for conversation_id, user_id, joined_seq in rows.values_list("conversation_id", "user_id", "joined_seq"):
        where = {"conversation": conversation_id, "user": user_id}
        event = told.pop((conversation_id, user_id), None)
        conversation = logs[conversation_id]
        if isinstance(event, MemberRemoved):
            yield Finding(
                "somebody who was removed is a member", where, f"removed at seq {event.seq}", "a member"
            )
        elif event is not None and event.seq != joined_seq:
            yield Finding(
                "a member joined at another seq", where, f"joined_seq {event.seq}", f"joined_seq {joined_seq}"
            )
        elif (
            event is None and joined_seq > conversation.floor and not _is_unreadable(conversation, joined_seq)
        ):
            # A founding member has joined_seq 0; events up to the floor are pruned.
            yield Finding(
                "a member was never added", where, f"member_added at seq {joined_seq}", "none for this user"
            )
    added = {member: event for member, event in told.items() if isinstance(event, MemberAdded)}
    existing = set(User.objects.filter(pk__in={user for _, user in added}).values_list("pk", flat=True))
    for (conversation_id, user_id), event in added.items():
        if user_id in existing:  # the deletion of a user removes memberships without an event
            where = {"conversation": conversation_id, "user": user_id}
            yield Finding(
                "somebody who was added is no member", where, f"added at seq {event.seq}", "no member"
            )


def _told(together: list[ConversationLog]) -> dict[Member, MemberAdded | MemberRemoved]:
    """The last event of each log about each user's joining or leaving."""
    conversations = {each.topic_id: each.conversation_id for each in together}
    added, removed = (Q(body__startswith=beginning) for beginning in _MEMBERSHIP)
    rows = LoggedEvent.objects.filter(added | removed, topic_id__in=conversations).order_by("topic_id", "seq")
    told: dict[Member, MemberAdded | MemberRemoved] = {}
    for topic_id, seq, body in rows.values_list("topic_id", "seq", "body").iterator():
        try:
            event = _decode(body)
        except (msgspec.DecodeError, UnicodeError):
            continue  # reported by `log_bodies` or `history`
        told[conversations[topic_id], event.user_id] = msgspec.structs.replace(event, seq=seq)
    return told


def _is_unreadable(conversation: ConversationLog, seq: int) -> bool:
    body = (
        LoggedEvent.objects.filter(topic_id=conversation.topic_id, seq=seq)
        .values_list("body", flat=True)
        .first()
    )
    return body is not None and not is_readable(body)
