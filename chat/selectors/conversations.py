"""Somebody's conversations, with what a list of them shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models import Count, F, OuterRef, Prefetch, Subquery, Value
from django.db.models.functions import Coalesce, Greatest

from chat.models import Conversation, Message, Participant
from chat.selectors.membership import Membership, readable_after, topic_number, who_share
from chat.selectors.messages import Said, said

DEFAULT_PAGE, MAX_PAGE = 50, 200
#: Members named in a list of conversations; a group's page asks for all of them.
MEMBERS_SHOWN = 10


def heads_of_conversations(*, user_id: int, limit: int) -> dict[int, int]:
    """The user's conversations, the latest first, each with the head of its log.

    Of more than `limit` those in which somebody spoke last: others may begin any number, and must not crowd
    out where people talk.
    """
    heads = Participant.objects.filter(user_id=user_id).annotate(
        head=topic_number(OuterRef("conversation_id"), "head")
    )
    rows = list(heads.order_by("-conversation_id").values_list("conversation_id", "head")[: limit + 1])
    if len(rows) > limit:
        latest = Message.objects.filter(conversation_id=OuterRef("conversation_id")).order_by("-seq")
        spoken = heads.annotate(last=Coalesce(Subquery(latest.values("pk")[:1]), 0))
        rows = list(
            spoken.order_by("-last", "-conversation_id").values_list("conversation_id", "head")[:limit]
        )
    return {conversation_id: head or 0 for conversation_id, head in rows}


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
    others = who_share(OuterRef("conversation_id")).exclude(user_id=user_id)
    shares = (
        Participant.objects.filter(
            user_id=user_id, conversation_id__in=Subquery(_ids_of(user_id, before, limit))
        )
        .annotate(visible_after=readable_after())
        .annotate(
            unread=Coalesce(Subquery(unread), Value(0)),
            last_id=Subquery(last.values("pk")[:1]),
            read_by_others=Coalesce(Subquery(others.order_by("read_seq").values("read_seq")[:1]), 0),
            head=topic_number(OuterRef("conversation_id"), "head"),
        )
    )
    by_conversation = {share.conversation_id: share for share in shares}
    last_ids = [share.last_id for share in by_conversation.values() if share.last_id]
    messages = {row[0]: Said(*row) for row in said().filter(pk__in=last_ids)}
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


def conversations_to_note() -> list[int]:
    """Conversations with events that their members' inboxes do not know of yet."""
    rows = Conversation.objects.annotate(head=topic_number(OuterRef("pk"), "head")).filter(
        head__gt=F("noticed_seq")
    )
    return list(rows.values_list("pk", flat=True))
