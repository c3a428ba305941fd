"""A user's conversations, with everything that a list of them shows."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple

from django.db.models import Count, Exists, F, OuterRef, Prefetch, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce, Greatest

from chat import rows
from chat.errors import NotAParticipantError
from chat.models import Conversation, Message, Participant
from chat.selectors.activity import ListPosition, latest_active
from chat.selectors.membership import (
    Membership,
    Share,
    head_stored_at,
    memberships_of,
    readable_after,
    topic_number,
    who_share,
)
from chat.selectors.messages import ShownMessage, shown_messages

DEFAULT_PAGE, MAX_PAGE = 50, 200
#: Members named per conversation in a list; a group's page asks for all members.
MEMBERS_SHOWN = 10


def heads_of_conversations(*, user_id: int, limit: int) -> dict[int, int]:
    """The user's conversations, the latest first, each with the head of its log.

    Of more than `limit`, those in which somebody spoke last: strangers may open any number of conversations
    with the user, and must not crowd out the used ones.
    """
    found = rows.heads(user_id, limit + 1)
    if len(found) > limit:
        heads = Participant.objects.filter(user_id=user_id).annotate(
            head=topic_number(OuterRef("conversation_id"), "head")
        )
        latest = Message.objects.filter(conversation_id=OuterRef("conversation_id")).order_by("-seq")
        spoken = heads.annotate(last=Coalesce(Subquery(latest.values("pk")[:1]), 0))
        found = list(
            spoken.order_by("-last", "-conversation_id").values_list("conversation_id", "head")[:limit]
        )
    return dict(found)


def latest_memberships(user_id: int, *, limit: int) -> list[Membership]:
    """The user's memberships; of more than `limit`, those where somebody spoke last."""
    heads = heads_of_conversations(user_id=user_id, limit=limit)
    return memberships_of(user_id, heads if len(heads) == limit else None)


def conversation_of(*, user_id: int, conversation_id: int) -> Any:
    """One of the user's conversations, as a list shows it; raises NotAParticipantError if it is none."""
    shown = _shown(user_id, [conversation_id])
    if not shown:
        raise NotAParticipantError
    return shown[0]


def conversations_of(
    *, user_id: int, position: ListPosition | None = None, limit: int = DEFAULT_PAGE
) -> tuple[list[Any], ListPosition | None]:
    """A page of the user's conversations, the one active last first, and the position of the next page."""
    page, following = latest_active(user_id, position=position, limit=limit)
    return _shown(user_id, [each.conversation_id for each in page]), following


def conversations_before(*, user_id: int, before: int, limit: int) -> tuple[list[Any], int | None]:
    """The user's conversations with ids below one, the highest first, and the id at which to go on.

    Lists used to have this order, and links to their pages still work.
    """
    rows = Participant.objects.filter(user_id=user_id, conversation_id__lt=before).order_by(
        "-conversation_id"
    )
    found = list(rows.values_list("conversation_id", flat=True)[: limit + 1])
    return _shown(user_id, found[:limit]), found[limit - 1] if len(found) > limit else None


def _shown(user_id: int, conversation_ids: Sequence[int]) -> list[Any]:
    """Those of these conversations that are the user's, with members, last message and unread count.

    The number of queries does not grow with the number of conversations. A user who is removed meanwhile sees
    nothing that came later: membership is read after the members, and together with the messages.
    """
    first_members = Participant.objects.select_related("user").order_by("pk")[:MEMBERS_SHOWN]
    # The query is the same for an outsider and for an unknown id, and costs the same.
    theirs = Exists(Participant.objects.filter(conversation_id=OuterRef("pk"), user_id=user_id))
    conversations: dict[int, Any] = (
        Conversation.objects.filter(theirs)
        .annotate(member_count=Count("participants"))
        .prefetch_related(Prefetch("participants", first_members, to_attr="first_members"))
        .in_bulk(conversation_ids)
    )
    shares = {share.conversation_id: share for share in _shares(user_id, conversations)}
    last_ids = [share.last_id for share in shares.values() if share.last_id]
    mine = shown_messages().filter(pk__in=last_ids, conversation__participants__user_id=user_id)
    messages = {row[0]: ShownMessage(*row) for row in mine}
    shown = []
    for conversation_id in conversation_ids:
        share = shares.get(conversation_id)
        if share is not None and (share.last_id is None or share.last_id in messages):
            conversation = conversations[conversation_id]
            conversation.my = share
            conversation.last_message = messages.get(share.last_id)
            shown.append(conversation)
    return shown


class Unread(NamedTuple):
    """A user's cursors and unread count in a conversation, and the head at which they were counted."""

    conversation_id: int
    delivered_seq: int
    read_seq: int
    unread_count: int
    last_seq: int


def unread_in(shares: Collection[Share]) -> dict[Share, Unread | NotAParticipantError]:
    """The unread counts of several pairs of a user and a conversation. One query."""
    rows = (
        Participant.objects.filter(
            user_id__in={user_id for user_id, _ in shares},
            conversation_id__in={conversation_id for _, conversation_id in shares},
        )
        .annotate(visible_after=readable_after())
        .annotate(unread=_unread(), head=topic_number(OuterRef("conversation_id"), "head"))
        .values_list("user_id", "conversation_id", "delivered_seq", "read_seq", "unread", "head")
    )
    found = {(user_id, rest[0]): Unread(*rest) for user_id, *rest in rows}
    return {share: found.get(share) or NotAParticipantError() for share in shares}


def _unread() -> Coalesce:
    """The number of others' messages that a participant (annotated with `visible_after`) has not read."""
    unread = (
        Message.objects.filter(conversation_id=OuterRef("conversation_id"), deleted_at__isnull=True)
        .filter(seq__gt=Greatest(OuterRef("read_seq"), OuterRef("visible_after")))
        .exclude(sender_id=OuterRef("user_id"))
        .order_by()
        .values("conversation_id")
        .annotate(n=Count("pk"))
        .values("n")
    )
    return Coalesce(Subquery(unread), Value(0))


def _shares(user_id: int, conversation_ids: Iterable[int]) -> QuerySet[Participant, Any]:
    """The user's participations in these conversations, annotated from log and messages. One query."""
    last = Message.objects.filter(
        conversation_id=OuterRef("conversation_id"),
        deleted_at__isnull=True,
        seq__gt=OuterRef("visible_after"),
    ).order_by("-seq")
    others = who_share(OuterRef("conversation_id")).exclude(user_id=user_id)
    return (
        Participant.objects.filter(user_id=user_id, conversation_id__in=list(conversation_ids))
        .annotate(visible_after=readable_after())
        .annotate(
            unread=_unread(),
            last_id=Subquery(last.values("pk")[:1]),
            read_by_others=Coalesce(Subquery(others.order_by("read_seq").values("read_seq")[:1]), 0),
            head=topic_number(OuterRef("conversation_id"), "head"),
            head_stored_at=head_stored_at(OuterRef("conversation_id")),
        )
    )


def members_of(*, user_id: int, conversation_id: int) -> Sequence[Participant]:
    """The members of one of the user's conversations in the order they joined; else NotAParticipantError."""
    rows = Participant.objects.filter(conversation_id=conversation_id).select_related("user")
    members = list(rows.order_by("pk"))
    if all(member.user_id != user_id for member in members):
        raise NotAParticipantError
    return members


def conversations_to_note() -> list[int]:
    """The conversations with events that were not noted in their members' inboxes yet."""
    rows = Conversation.objects.annotate(head=topic_number(OuterRef("pk"), "head")).filter(
        head__gt=F("noticed_seq")
    )
    return list(rows.values_list("pk", flat=True))
