"""The order of a user's conversations: the one active last comes first.

A conversation was active when somebody last spoke in it, or when the user joined, if that is later. Nothing
is stored for this order: the newest message of a conversation is one look-up in the index of its history.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from heapq import nlargest
from typing import Any, NamedTuple

from django.db.models import BigIntegerField, Func, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce, Greatest

from chat.models import Message, Participant
from chat.selectors.membership import topic_number
from realtime import LoggedEvent

#: A message is dated before its event; this is longer than the time between the two dates.
_APART = dt.timedelta(seconds=5)


class Activity(NamedTuple):
    """The time of a conversation's last activity in milliseconds, and its id; lists are sorted by both."""

    active_at: int
    conversation_id: int


class ListPosition(NamedTuple):
    """Where the next page of a list begins: below one conversation, in the list's order at one moment."""

    below: Activity
    as_of: int


def latest_active(
    user_id: int, *, position: ListPosition | None, limit: int
) -> tuple[list[Activity], ListPosition | None]:
    """The conversations of one page, and the position of the next page; None after the last.

    Later pages keep the order of the first: a conversation in which somebody speaks meanwhile is neither
    shown twice nor left out.
    """
    active = _last_active(user_id)
    if position is not None:
        moved = [pk for pk, active_at in active.items() if active_at > position.as_of]
        active |= _active_as_of(position.as_of, user_id, moved)
    listed = (Activity(active_at, pk) for pk, active_at in active.items())
    if position is not None:
        listed = (each for each in listed if each < position.below)
    found = nlargest(limit + 1, listed)
    page = found[:limit]
    if len(found) <= limit:
        return page, None
    return page, ListPosition(page[-1], position.as_of if position else page[0].active_at)


def _last_active(user_id: int) -> dict[int, int]:
    said = Message.objects.filter(conversation_id=OuterRef("conversation_id"))
    return _activity(Participant.objects.filter(user_id=user_id), said)


def _active_as_of(moment: int, user_id: int, conversation_ids: Collection[int]) -> dict[int, int]:
    """The activity of some conversations at an earlier moment, found in the log's index by time."""
    if not conversation_ids:
        return {}
    end = dt.datetime.fromtimestamp((moment + 1) / 1000, dt.UTC)
    told = LoggedEvent.objects.filter(topic_id=OuterRef("topic_id"), created_at__lt=end + _APART)
    shares = (
        Participant.objects.filter(user_id=user_id, conversation_id__in=conversation_ids)
        .annotate(topic_id=topic_number(OuterRef("conversation_id"), "pk"))
        .annotate(seq_then=Subquery(told.order_by("-created_at").values("seq")[:1]))
    )
    said = Message.objects.filter(
        conversation_id=OuterRef("conversation_id"), seq__lte=OuterRef("seq_then"), created_at__lt=end
    )
    return _activity(shares, said)


def _activity(shares: QuerySet[Participant, Any], said: QuerySet[Message]) -> dict[int, int]:
    spoken_at = Subquery(said.order_by("-seq").values(at=Milliseconds("created_at"))[:1])
    active_at = Greatest(Milliseconds("joined_at"), Coalesce(spoken_at, 0))
    return dict(shares.values_list("conversation_id", active_at))


class Milliseconds(Func):
    """A time as whole milliseconds since 1970; SQLite stores times as texts with fractions of any length."""

    output_field = BigIntegerField()
    template = "FLOOR(EXTRACT(EPOCH FROM %(expressions)s) * 1000)::bigint"

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        template = (
            "(CAST(strftime('%%%%s', substr(%(expressions)s, 1, 19)) AS INTEGER) * 1000"
            " + CAST(substr(%(expressions)s, 21, 3) AS INTEGER))"
        )
        return self.as_sql(compiler, connection, template=template, **context)
