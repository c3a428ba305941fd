"""Retention: prunes the log by age and count; conversations are kept for ever."""

from __future__ import annotations

import datetime as dt

from django.db.models import F

from realtime import events, log
from realtime.chores import Chore, daily
from realtime.defaults import conf
from realtime.models import LoggedEvent, Topic

#: Topics in one step of the chore. A step takes seconds, during most of which it holds no lock.
TOPICS = 5_000


@daily("log")
def prune_some(position: tuple[str, str] | None) -> tuple[int, tuple[str, str] | None]:
    """Do a step of the chore: prune the next topics of a prefix, by name, from where the last step ended."""
    prefixes = sorted(conf.log_retention)
    if not prefixes:
        return 0, None
    prefix, after = position or (prefixes[0], "")
    days, count = conf.log_retention[prefix]
    # A topic with only its newest event left has nothing to prune.
    topics = Topic.objects.filter(name__startswith=prefix, name__gt=after, head__gt=F("floor") + 1)
    found = list(topics.order_by("name").values_list("name", "head", "floor")[:TOPICS])
    pruned = 0
    for name, head, floor in found:
        up_to = _newest_to_prune(name, head, days, count)
        if up_to > floor:  # else the topic need not be locked
            pruned += log.prune(name, up_to=up_to)
    if len(found) == TOPICS:
        return pruned, (prefix, found[-1][0])
    later = [other for other in prefixes if other > prefix]
    return pruned, (later[0], "") if later else None


def prune_all() -> int:
    """Prune every topic that has a retention; returns how many events were pruned."""
    return Chore("log", prune_some).do()


def _newest_to_prune(name: str, head: int, days: int | None, count: int | None) -> int:
    by_count = head - count if count is not None else 0
    by_age = 0
    if days is not None:
        before = events.now() - dt.timedelta(days=days)
        old = LoggedEvent.objects.filter(topic__name=name, created_at__lt=before)
        by_age = old.order_by("-seq").values_list("seq", flat=True).first() or 0
    return max(min(max(by_count, by_age), head - 1), 0)
