"""Questions about conversations, asked on behalf of somebody: who may see what is decided here."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.db.models import (
    BigIntegerField,
    Case,
    CharField,
    Count,
    F,
    Min,
    OuterRef,
    Prefetch,
    Q,
    QuerySet,
    Subquery,
    Value,
    When,
)
from django.db.models.functions import Cast, Coalesce, Concat, Greatest

from chat.errors import NotAParticipantError
from chat.models import Conversation, Message, Participant
from realtime.models import Topic

DEFAULT_PAGE, MAX_PAGE = 50, 200
#: Members named in a list of conversations; a group's page asks for all of them.
MEMBERS_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Membership:
    """One user's part in one conversation, read in one statement together with the head of its log.

    Because of that one statement, whoever listens from `head` on cannot miss their own removal.
    """

    conversation_id: int
    user_id: int
    kind: str
    title: str
    role: str
    head: int
    floor: int
    #: Events after this seq are theirs to read.
    readable_after: int
    delivered_seq: int
    read_seq: int
    #: Whether the others may know these two.
    shares_receipts: bool


#: (user, conversation)
Share = tuple[int, int]


def membership_for(*, user_id: int, conversation_id: int) -> Membership:
    """The user's part in a conversation, or NotAParticipantError: unknown and foreign look the same."""
    share = (user_id, conversation_id)
    membership = memberships_for([share])[share]
    if isinstance(membership, NotAParticipantError):
        raise membership
    return membership


def memberships_for(shares: Collection[Share]) -> dict[Share, Membership | NotAParticipantError]:
    """`membership_for` many at once. One query."""
    rows = (
        # Whatever else these users have in these conversations is read too: a condition per pair costs more.
        Participant.objects.filter(
            user_id__in={user_id for user_id, _ in shares},
            conversation_id__in={conversation_id for _, conversation_id in shares},
        )
        .annotate(
            topic_head=topic_number(OuterRef("conversation_id"), "head"),
            topic_floor=topic_number(OuterRef("conversation_id"), "floor"),
        )
        .values_list(
            "conversation_id",
            "user_id",
            "conversation__kind",
            "conversation__title",
            "role",
            "topic_head",
            "topic_floor",
            Case(
                When(conversation__opens_history=True, then=Value(0, BigIntegerField())),
                default=F("joined_seq"),
            ),
            "delivered_seq",
            "read_seq",
            "user__shares_receipts",
        )
    )
    found = {(row[1], row[0]): Membership(*row) for row in rows}
    return {share: found.get(share) or NotAParticipantError() for share in shares}


def heads_of_conversations(*, user_id: int, limit: int) -> dict[int, int]:
    """The user's conversations, the latest first, each with the head of its log."""
    rows = (
        Participant.objects.filter(user_id=user_id)
        .annotate(head=topic_number(OuterRef("conversation_id"), "head"))
        .order_by("-conversation_id")
        .values_list("conversation_id", "head")[:limit]
    )
    return {conversation_id: head or 0 for conversation_id, head in rows}


def topic_number(conversation_id: Any, column: str) -> Coalesce:
    """A number of the conversation's topic; 0 while nothing was ever told there."""
    name = Concat(Value("conversation."), Cast(conversation_id, CharField()), output_field=CharField())
    numbers = Subquery(Topic.objects.filter(name=name).values(column)[:1], output_field=BigIntegerField())
    return Coalesce(numbers, 0, output_field=BigIntegerField())


def _readable_after() -> Any:
    """The seq after which a participant may read, as an expression on participants."""
    return Case(
        When(conversation__opens_history=True, then=Value(0, BigIntegerField())),
        default=F("joined_seq"),
        output_field=BigIntegerField(),
    )


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """Messages, newest first, with what came before and after them."""

    messages: Sequence[Message]
    has_older: bool
    has_newer: bool
    #: Others, as far as they share it, have read this user's messages up to here.
    read_by_others: int


def history(membership: Membership, *, before: int | None, after: int | None, limit: int) -> HistoryPage:
    """A page of messages: the newest, those before a seq, or the oldest after one. Three queries at most."""
    rows = Message.objects.filter(
        conversation_id=membership.conversation_id, seq__gt=membership.readable_after
    ).select_related("sender")
    forward = after is not None and before is None
    if before is not None:
        rows = rows.filter(seq__lt=before)
    if after is not None:
        rows = rows.filter(seq__gt=after)
    page = list(rows.order_by("seq" if forward else "-seq")[: limit + 1])
    more = len(page) > limit
    page = page[:limit]
    if forward:
        page.reverse()
    return HistoryPage(
        messages=page,
        has_older=(after or 0) > membership.readable_after if forward else more,
        has_newer=more if forward else before is not None,
        read_by_others=read_by_others(membership),
    )


def read_by_others(membership: Membership) -> int:
    """The seq up to which every other member who shares it has read; 0 when there is nobody else."""
    others = _who_share(membership.conversation_id).exclude(user_id=membership.user_id)
    return others.aggregate(least=Min("read_seq"))["least"] or 0


def _who_share(conversation_id: Any) -> QuerySet[Participant]:
    """The members of a conversation whose cursors may be told to others."""
    return Participant.objects.filter(conversation_id=conversation_id, user__shares_receipts=True)


def unread_count(membership: Membership) -> int:
    """Messages of others that the user has not read."""
    return (
        Message.objects.filter(
            conversation_id=membership.conversation_id,
            seq__gt=max(membership.read_seq, membership.readable_after),
            deleted_at__isnull=True,
        )
        .exclude(sender_id=membership.user_id)
        .count()
    )


def conversations_of(
    *, user_id: int, before: int | None = None, limit: int = DEFAULT_PAGE
) -> list[Conversation]:
    """The user's conversations, the latest first, with members, last message and unread count.

    The number of queries does not grow with the number of conversations.
    """
    unread = (
        Message.objects.filter(conversation_id=OuterRef("conversation_id"), deleted_at__isnull=True)
        .filter(seq__gt=Greatest(OuterRef("read_seq"), OuterRef("visible_after")))
        .exclude(sender_id=user_id)
        .order_by()
        .values("conversation_id")
        .annotate(n=Count("pk"))
        .values("n")
    )
    last = Message.objects.filter(
        conversation_id=OuterRef("conversation_id"),
        deleted_at__isnull=True,
        seq__gt=OuterRef("visible_after"),
    ).order_by("-seq")
    others = _who_share(OuterRef("conversation_id")).exclude(user_id=user_id)
    shares = (
        Participant.objects.filter(
            user_id=user_id, conversation_id__in=Subquery(_ids_of(user_id, before, limit))
        )
        .annotate(visible_after=_readable_after())
        .annotate(
            unread=Coalesce(Subquery(unread), Value(0)),
            last_id=Subquery(last.values("pk")[:1]),
            read_by_others=Coalesce(Subquery(others.order_by("read_seq").values("read_seq")[:1]), 0),
            head=topic_number(OuterRef("conversation_id"), "head"),
        )
    )
    by_conversation = {share.conversation_id: share for share in shares}
    messages = Message.objects.select_related("sender").in_bulk(
        [share.last_id for share in by_conversation.values() if share.last_id]
    )
    first_members = Participant.objects.select_related("user").order_by("pk")[:MEMBERS_SHOWN]
    conversations: list[Any] = list(  # with what the serializer shows of the viewer
        Conversation.objects.filter(pk__in=by_conversation)
        .annotate(member_count=Count("participants"))
        .prefetch_related(Prefetch("participants", first_members, to_attr="first_members"))
        .order_by("-pk")
    )
    for conversation in conversations:
        share: Any = by_conversation[conversation.pk]
        conversation.my = share
        conversation.last_message = messages.get(share.last_id)
    return conversations


def _ids_of(user_id: int, before: int | None, limit: int) -> Any:
    rows = Participant.objects.filter(user_id=user_id)
    if before is not None:
        rows = rows.filter(conversation_id__lt=before)
    return rows.order_by("-conversation_id").values("conversation_id")[:limit]


def members_of(membership: Membership) -> Sequence[Participant]:
    """Everybody in the conversation, in the order they joined."""
    rows = Participant.objects.filter(conversation_id=membership.conversation_id).select_related("user")
    return list(rows.order_by("pk"))


class Receipt(NamedTuple):
    """How far a member got."""

    user_id: int
    delivered_seq: int
    read_seq: int


def receipts_in(conversation_ids: Collection[int]) -> dict[int, list[Receipt]]:
    """The cursors of all members who have any and share them, by conversation. One query."""
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


def conversations_to_note() -> list[int]:
    """Conversations with events that their members' inboxes do not know of yet."""
    rows = Conversation.objects.annotate(head=topic_number(OuterRef("pk"), "head")).filter(
        head__gt=F("noticed_seq")
    )
    return list(rows.values_list("pk", flat=True))
