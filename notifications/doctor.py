"""The notifications' examinations for `manage.py doctor`: what must hold of stored entries."""

from __future__ import annotations

from collections.abc import Iterator

from django.db.models import Count, Max, Min

from doctor.examinations import Finding, examination
from notifications import kinds
from notifications.models import Notification

#: Rows shown of one fault; there may be millions.
SHOWN = 100


@examination(remedy="Install the app that registers this kind again, or delete its entries.")
def known_kinds() -> Iterator[Finding]:
    """Each entry's kind is registered by an installed app."""
    stored = (
        Notification.objects.order_by()
        .values("kind")
        .annotate(rows=Count("*"), first=Min("pk"), last=Max("pk"))
    )
    for row in stored.order_by("kind"):
        if not kinds.is_registered(row["kind"]):
            where = {"table": "notifications_notification", "kind": row["kind"]}
            found = f"{row['rows']} entries, with ids from {row['first']} to {row['last']}"
            yield Finding("entries are of an unknown kind", where, "none", found)


@examination(remedy="Set the count to 1, or mark the entry read: its user then loses nothing but a number.")
def counts() -> Iterator[Finding]:
    """Each entry stands for at least one thing, and for several only under a key."""
    empty = Notification.objects.filter(count__lt=1) | Notification.objects.filter(
        count__gt=1, collapse_key=""
    )
    for pk, count in empty.order_by().values_list("pk", "count")[:SHOWN]:
        where = {"table": "notifications_notification", "id": pk}
        yield Finding(
            "an entry stands for a wrong number of things", where, "1, or more under a key", str(count)
        )
