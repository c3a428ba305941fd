"""Divides all conversations with their logs into pieces that fit into one short snapshot."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from django.db.models import BigIntegerField, Count, OuterRef, Subquery
from django.db.models.functions import Coalesce

from chat.events import conversation_topic
from chat.models import Conversation, Message
from doctor import examinations
from realtime import LoggedEvent, Topic, id_ranges


class ConversationLog(NamedTuple):
    """A conversation, with the bounds of its log and the number of its members."""

    conversation_id: int
    topic_id: int
    floor: int
    #: The highest seq of the head, the log and the messages, which may disagree.
    last: int
    members: int


def conversation_logs() -> Iterator[list[ConversationLog]]:
    """Groups of conversations that have a topic; a group has one batch of events and members at most.

    A conversation with more is a group by itself. One that grows meanwhile is a little larger when it is
    read.
    """
    for above, up_to in id_ranges(Conversation.objects.all()):
        together: list[ConversationLog] = []
        load = 0
        for each in _logs_between(above, up_to):
            heavy = each.last - each.floor + each.members
            if together and load + heavy > examinations.BATCH:
                yield together
                together, load = [], 0
            together.append(each)
            load += heavy
        if together:
            yield together


def _logs_between(above: int, up_to: int) -> list[ConversationLog]:
    last_message = Message.objects.filter(conversation_id=OuterRef("pk")).order_by("-seq").values("seq")[:1]
    conversations = {
        pk: row
        for pk, *row in Conversation.objects.filter(pk__gt=above, pk__lte=up_to)
        .annotate(members_count=Count("participants"), last=_or_zero(last_message))
        .order_by("pk")
        .values_list("pk", "members_count", "last")
    }
    topics = topics_of(conversations)
    return [
        ConversationLog(pk, topic.pk, topic.floor, max(last, end_of(topic)), members)
        for pk, (members, last) in conversations.items()
        if (topic := topics.get(pk))
    ]


def topics_of(conversation_ids: Any) -> dict[int, Topic]:
    """The topics of conversations, each with the seq of its last event for `end_of`."""
    names = {conversation_topic(pk): pk for pk in conversation_ids}
    last = LoggedEvent.objects.filter(topic_id=OuterRef("pk")).order_by("-seq").values("seq")[:1]
    rows = Topic.objects.filter(name__in=names).annotate(last_logged=_or_zero(last))
    return {names[row.name]: row for row in rows}


def end_of(topic: Any) -> int:
    """The end of a log: its head, or its last event if that is later, a fault which `log_numbers` reports."""
    return max(topic.head, topic.last_logged)


def _or_zero(rows: Any) -> Coalesce:
    return Coalesce(Subquery(rows), 0, output_field=BigIntegerField())
