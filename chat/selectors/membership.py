"""Memberships: who is a member of a conversation, and from which seq on they may read."""

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
    """One user's membership of a conversation, read in one statement with the head of its log.

    Because of that one statement, a subscription that begins at `head` cannot miss the member's removal.
    """

    conversation_id: int
    user_id: int
    kind: str
    title: str
    role: str
    head: int
    #: When the newest event was stored; None when the log keeps none.
    head_stored_at: dt.datetime | None
    floor: int
    #: The member may read the events after this seq.
    readable_after: int
    delivered_seq: int
    read_seq: int
    #: Whether other members may see the two cursors.
    shares_receipts: bool

    @property
    def end(self) -> Position:
        """The position of the newest event."""
        return positions.at(conversation_topic(self.conversation_id), self.head, self.head_stored_at)


#: A pair of a user's id and a conversation's id.
Share = tuple[int, int]


def membership_for(*, user_id: int, conversation_id: int) -> Membership:
    """The user's membership; raises NotAParticipantError, for unknown conversations too."""
    share = (user_id, conversation_id)
    membership = memberships_for([share])[share]
    if isinstance(membership, NotAParticipantError):
        raise membership
    return membership


def memberships_for(shares: Collection[Share]) -> dict[Share, Membership | NotAParticipantError]:
    """The memberships of several pairs, as `membership_for` finds one. One query."""
    # Reads every combination of these users and conversations: one condition per pair would cost more.
    rows = _memberships().filter(
        user_id__in={user_id for user_id, _ in shares},
        conversation_id__in={conversation_id for _, conversation_id in shares},
    )
    found = {(row[1], row[0]): Membership._make(row) for row in rows}
    return {share: found.get(share) or NotAParticipantError() for share in shares}


def memberships_of(user_id: int, conversation_ids: Collection[int] | None = None) -> list[Membership]:
    """The user's memberships in all conversations, or in these. One query."""
    rows = _memberships().filter(user_id=user_id)
    if conversation_ids is not None:
        rows = rows.filter(conversation_id__in=conversation_ids)
    return [Membership._make(row) for row in rows]


def departures_of(shares: Collection[Share]) -> dict[Share, int]:
    """The seq at which each of these users last left each of these conversations; 0 for never. One query."""
    rows = Departure.objects.filter(
        user_id__in={user_id for user_id, _ in shares},
        conversation_id__in={conversation_id for _, conversation_id in shares},
    )
    found = {(user_id, pk): seq for user_id, pk, seq in rows.values_list("user_id", "conversation_id", "seq")}
    return {share: found.get(share, 0) for share in shares}


@cache
def _memberships() -> QuerySet[Participant, Any]:
    """All memberships, in Membership's field order. Cached: building it takes as long as the rest."""
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
    """A column of a conversation's topic, as an expression; 0 while the conversation has no topic."""
    topics = Topic.objects.filter(name=topic_name(conversation_id))
    numbers = Subquery(topics.values(column)[:1], output_field=BigIntegerField())
    return Coalesce(numbers, 0, output_field=BigIntegerField())


def head_stored_at(conversation_id: Any) -> Subquery:
    """When the newest event of a conversation was stored; with the head it makes a position."""
    return log.stored_at(topic_name(conversation_id))


def topic_name(conversation_id: Any) -> Expression:
    """`conversation_topic` as an expression in SQL."""
    return Concat(Value("conversation."), Cast(conversation_id, CharField()), output_field=CharField())


def readable_after() -> Any:
    """The seq after which a participant may read, as an expression."""
    return Case(
        When(conversation__opens_history=True, then=Value(0, BigIntegerField())),
        default=F("joined_seq"),
        output_field=BigIntegerField(),
    )


def who_share(conversation_id: Any) -> QuerySet[Participant]:
    """The members of a conversation who share their cursors with others."""
    return Participant.objects.filter(conversation_id=conversation_id, user__shares_receipts=True)


def active_owners(conversation_id: Any) -> QuerySet[Participant]:
    """The owners of a conversation whose accounts are enabled."""
    members = Participant.objects.filter(conversation_id=conversation_id, user__is_active=True)
    return members.filter(role=Participant.Role.OWNER)


def without_owner(groups: QuerySet[Conversation], *, besides: int | None = None) -> list[tuple[int, int]]:
    """The given groups that no active user owns, each with the id of its heir's participation. One query.

    The heir is the active admin who has been a member longest, else the active member who has; groups without
    an active member are left out. The user `besides` does not count.
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
