"""How long the log remembers: conversations for ever, other topics by age and count."""

from __future__ import annotations

import datetime as dt

from django.db.models import F

from realtime import events, log
from realtime.conf import conf
from realtime.models import LoggedEvent, Topic


def prune_all() -> int:
    """Prune every topic that has a retention; how many events were forgotten."""
    forgotten = 0
    for prefix, (days, count) in conf.log_retention.items():
        topics = Topic.objects.filter(name__startswith=prefix, head__gt=F("floor"))
        for name, head, floor in topics.values_list("name", "head", "floor").iterator():
            up_to = _newest_to_forget(name, head, days, count)
            if up_to > floor:  # else it need not be locked
                forgotten += log.prune(name, up_to=up_to)
    return forgotten


def _newest_to_forget(name: str, head: int, days: int | None, count: int | None) -> int:
    by_count = head - count if count is not None else 0
    by_age = 0
    if days is not None:
        before = events.now() - dt.timedelta(days=days)
        old = LoggedEvent.objects.filter(topic__name=name, created_at__lt=before)
        by_age = old.order_by("-seq").values_list("seq", flat=True).first() or 0
    return max(by_count, by_age, 0)
