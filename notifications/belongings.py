"""A user's data in inboxes, for export and forgetting: their own entries, and others' that name them."""

from __future__ import annotations

import json
from collections.abc import Iterator

import msgspec
from django.db.models import Q, QuerySet, TextField
from django.db.models.functions import Cast

from accounts.belongings import delete_in_batches
from accounts.leaving import BATCH, Row, exported, forgotten
from accounts.models import Forgetting, User
from notifications import kinds
from notifications.models import IdempotencyKey, Notification
from notifications.naming import Renaming
from realtime import Delivery, LoggedEvent, Topic, announcing, events, id_ranges, log


@exported("notifications")
def notifications(user: User) -> Iterator[Row]:
    """Export the user's inbox."""
    rows = Notification.objects.filter(user=user).order_by("pk")
    yield from rows.values(
        "id", "kind", "data", "title", "message", "count", "created_at", "read_at"
    ).iterator(BATCH)


@forgotten("entries of the user's own inbox were deleted")
def own_entries(person: Forgetting) -> int:
    """Delete the user's inbox, which nobody can read any more."""
    return delete_in_batches(Notification.objects.filter(user=person.user_id))


@forgotten("entries of others' inboxes were rewritten without the name")
def others_entries(person: Forgetting) -> int:
    """Take the user's name out of others' entries: their words, and the texts of their data."""
    if not (names := _names(person)):
        return 0
    renaming, rewritten = Renaming(names, person.user.username), 0
    rows = Notification.objects.annotate(data_text=Cast("data", TextField()))
    for above, up_to in id_ranges(Notification.objects.all()):
        ids = list(
            rows.filter(
                _any_in("title", names) | _any_in("message", names) | _any_in("data_text", names),
                pk__gt=above,
                pk__lte=up_to,
            ).values_list("pk", flat=True)
        )
        if ids:
            rewritten += _rewrite_entries(ids, renaming)
    return rewritten


@announcing()
def _rewrite_entries(ids: list[int], renaming: Renaming) -> int:
    changed = []
    entries = Notification.objects.select_for_update(no_key=True).filter(pk__in=ids)
    for entry in entries.order_by("user_id", "collapse_key", "pk"):
        told = {"title": entry.title, "message": entry.message, "data": entry.data}
        renamed = renaming.notification(told, kind=entry.kind)
        if renamed != told:
            entry.title, entry.message, entry.data = renamed["title"], renamed["message"], renamed["data"]
            changed.append(entry)
    Notification.objects.bulk_update(changed, ["title", "message", "data"])
    return len(changed)


@forgotten("notifications in others' logs were rewritten without the name")
def others_logs(person: Forgetting) -> int:
    """Take the user's name out of the logs that others' devices read when they resume."""
    if not (names := _names(person)):
        return 0
    renaming, rewritten = Renaming(names, person.user.username), 0
    naming = _any_in("body", names)
    for above, up_to in id_ranges(Topic.objects.filter(name__startswith="user.")):
        told = LoggedEvent.objects.filter(naming, topic_id__gt=above, topic_id__lte=up_to)
        for topic in told.order_by().values_list("topic__name", flat=True).distinct():
            rewritten += _rewrite_log(topic, told.filter(topic__name=topic), renaming)
    return rewritten


def _rewrite_log(topic: str, told: QuerySet[LoggedEvent], renaming: Renaming) -> int:
    rewritten = after = 0
    while page := _rewrite_page(topic, told.filter(seq__gt=after), renaming):
        after, count = page
        rewritten += count
    return rewritten


@announcing()
def _rewrite_page(topic: str, told: QuerySet[LoggedEvent], renaming: Renaming) -> tuple[int, int] | None:
    """Rewrite one page of a log: the page's last seq and the number of changed events; None at the end."""
    log.lock([topic], create=False)
    page = dict(told.order_by("seq").values_list("seq", "body")[:BATCH])
    if not page:
        return None
    bodies = {seq: _renamed(seq, body, renaming) for seq, body in page.items()}
    changed = {seq: body for seq, body in bodies.items() if body != page[seq]}
    log.rewrite(topic, changed)
    return max(page), len(changed)


def _renamed(seq: int, body: str, renaming: Renaming) -> str:
    told = Delivery("", seq, body)
    if not kinds.is_registered(told.type):
        return body
    return events.encode(renaming.notification(told.fields, kind=told.type))


@forgotten("answers to other services were rewritten without the name")
def answers(person: Forgetting) -> int:
    """Take the user's name out of the answers to repeated requests of services; kept for a day."""
    if not (names := _names(person)):
        return 0
    renaming, rewritten = Renaming(names, person.user.username), 0
    for answer in IdempotencyKey.objects.filter(_any_in("body", names)).iterator(BATCH):
        body = msgspec.json.encode(renaming.value(msgspec.json.decode(answer.body))).decode()
        rewritten += (
            IdempotencyKey.objects.filter(pk=answer.pk, body=answer.body).exclude(body=body).update(body=body)
        )
    return rewritten


def _names(person: Forgetting) -> list[str]:
    """The user's former names; none where forgetting runs again after it had finished."""
    return [name for name in (person.username, person.email) if name and name != person.user.username]


def _any_in(field: str, names: list[str]) -> Q:
    """The condition that a field contains one of the names, plain or as JSON writes it."""
    found = Q()
    for name in names:
        for written in {name, events.encode_text(name)[1:-1], json.dumps(name)[1:-1]}:
            found |= Q(**{f"{field}__contains": written})
    return found
