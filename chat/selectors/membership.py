"""Memberships: who is in a conversation, and from which seq on they may read."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from functools import cache
from typing import Any, NamedTuple

from django.db.models import (
    BigIntegerField,
    Case,
    CharField,
    Exists,
    Expression,
    F,
    OuterRef,
    QuerySet,
    Subquery,
    Value,
    When,
)
from django.db.models.functions import Cast, Coalesce, Concat

from chat.errors import NotAParticipantError
from chat.events import conversation_topic
from chat.models import Conversation, Departure, Participant
from realtime import Position, Topic, log, positions


class Membership(NamedTuple):
    """One user's part in one conversation, read in one statement together with the head of its log.

    Because of that one statement, a subscription that begins at `head` cannot miss the member's removal.
    """

    conversation_id: int
    user_id: int
    kind: str
    title: str
    role: str
    head: int
    #: When the newest event was stored; None when none is kept.
    head_stored_at: dt.datetime | None
    floor: int
    #: Events after this seq are theirs to read.
    readable_after: int
    delivered_seq: int
    read_seq: int
    #: Whether the others may know these two.
    shares_receipts: bool

    @property
    def end(self) -> Position:
        """The position of the newest event."""
        return positions.at(conversation_topic(self.conversation_id), self.head, self.head_stored_at)


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
    # Reads all of these users in all of these conversations: a condition per pair costs more.
    rows = _memberships().filter(
        user_id__in={user_id for user_id, _ in shares},
        conversation_id__in={conversation_id for _, conversation_id in shares},
    )
    found = {(row[1], row[0]): Membership._make(row) for row in rows}
    return {share: found.get(share) or NotAParticipantError() for share in shares}


def memberships_of(user_id: int, conversation_ids: Collection[int] | None = None) -> list[Membership]:
    """The user's parts in all their conversations, or in some. One query."""
    rows = _memberships().filter(user_id=user_id)
    if conversation_ids is not None:
        rows = rows.filter(conversation_id__in=conversation_ids)
    return [Membership._make(row) for row in rows]


def departures_of(shares: Collection[Share]) -> dict[Share, int]:
    """Where each of these users left each of these conversations last; 0 if they never did. One query."""
    rows = Departure.objects.filter(
        user_id__in={user_id for user_id, _ in shares},
        conversation_id__in={conversation_id for _, conversation_id in shares},
    )
    found = {(user_id, pk): seq for user_id, pk, seq in rows.values_list("user_id", "conversation_id", "seq")}
    return {share: found.get(share, 0) for share in shares}


@cache
def _memberships() -> QuerySet[Participant, Any]:
    """All memberships, in the order of a Membership's fields; built once: that takes as long as the rest."""
    return Participant.objects.annotate(
        topic_head=topic_number(OuterRef("conversation_id"), "head"),
        head_stored_at=head_stored_at(OuterRef("conversation_id")),
        topic_floor=topic_number(OuterRef("conversation_id"), "floor"),
    ).values_list(
        "conversation_id",
        "user_id",
        "conversation__kind",
        "conversation__title",
        "role",
        "topic_head",
        "head_stored_at",
        "topic_floor",
        readable_after(),
        "delivered_seq",
        "read_seq",
        "user__shares_receipts",
    )


def topic_number(conversation_id: Any, column: str) -> Coalesce:
    """A number of the conversation's topic; 0 while nothing was ever told there."""
    topics = Topic.objects.filter(name=topic_name(conversation_id))
    numbers = Subquery(topics.values(column)[:1], output_field=BigIntegerField())
    return Coalesce(numbers, 0, output_field=BigIntegerField())


def head_stored_at(conversation_id: Any) -> Subquery:
    """When the newest event of a conversation was stored: with the head it makes the position of that."""
    return log.stored_at(topic_name(conversation_id))


def topic_name(conversation_id: Any) -> Expression:
    """`conversation_topic`, as an expression."""
    return Concat(Value("conversation."), Cast(conversation_id, CharField()), output_field=CharField())


def readable_after() -> Any:
    """The seq after which a participant may read, as an expression on participants."""
    return Case(
        When(conversation__opens_history=True, then=Value(0, BigIntegerField())),
        default=F("joined_seq"),
        output_field=BigIntegerField(),
    )


def who_share(conversation_id: Any) -> QuerySet[Participant]:
    """The members of a conversation whose cursors may be told to others."""
    return Participant.objects.filter(conversation_id=conversation_id, user__shares_receipts=True)


def active_owners(conversation_id: Any) -> QuerySet[Participant]:
    """The owners of a conversation whose accounts are enabled."""
    members = Participant.objects.filter(conversation_id=conversation_id, user__is_active=True)
    return members.filter(role=Participant.Role.OWNER)


def without_owner(groups: QuerySet[Conversation], *, besides: int | None = None) -> list[tuple[int, int]]:
    """Those of some groups that nobody active owns, each with the participation of its heir. One query.

    An heir is the active admin who has been there longest, else the member; groups without any are left out.
    A user whom `besides` names does not count.
    """
    active = Participant.objects.filter(conversation_id=OuterRef("pk"), user__is_active=True)
    owners = active_owners(OuterRef("pk"))
    if besides is not None:
        active, owners = active.exclude(user_id=besides), owners.exclude(user_id=besides)
    is_admin = Case(When(role=Participant.Role.ADMIN, then=Value(0)), default=Value(1))
    orphans = groups.filter(~Exists(owners), kind=Conversation.Kind.GROUP).annotate(
        heir_id=Subquery(active.order_by(is_admin, "pk").values("pk")[:1])
    )
    return list(orphans.filter(heir_id__isnull=False).order_by("pk").values_list("pk", "heir_id"))
