"""The core's examinations: the log's numbers and bodies, and every table's references and unique columns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from django.apps import apps
from django.db import connection
from django.db.models import (
    Count,
    Exists,
    F,
    ForeignKey,
    Max,
    Min,
    Model,
    OuterRef,
    Q,
    UniqueConstraint,
    Window,
)
from django.db.models.functions import Lead

from doctor import examinations
from doctor.examinations import Finding, examination, snapshot, table
from realtime import Delivery, LoggedEvent, Topic, id_ranges

#: The most findings of one fault in one place: a broken table would have millions.
SHOWN = 100


# --- the log ----------------------------------------------------------------------------------------


@examination(
    app="realtime",
    remedy="Restore these events from a backup; where there is none, raise the topic's floor above the gap, "
    "so that clients are told to load the history, and set its head to its last event.",
)
def log_numbers() -> Iterator[Finding]:
    """The events of every topic are numbered from its floor + 1 to its head, without a gap."""
    for above, up_to in id_ranges(Topic.objects.all()):
        with snapshot():
            events = LoggedEvent.objects.filter(topic_id__gt=above, topic_id__lte=up_to).order_by()
            extents = {
                topic_id: extent
                for topic_id, *extent in events.values("topic_id")
                .annotate(count=Count("seq"), first=Min("seq"), last=Max("seq"))
                .values_list("topic_id", "count", "first", "last")
            }
            topics = Topic.objects.filter(pk__gt=above, pk__lte=up_to).order_by("pk")
            found = [
                finding
                for topic in topics
                if extents.get(topic.pk, [0, topic.floor + 1, topic.floor])
                != [topic.head - topic.floor, topic.floor + 1, topic.head]
                for finding in _misnumbered(topic)
            ]
        yield from found


def _misnumbered(topic: Topic) -> Iterator[Finding]:
    where = {"topic": topic.name}
    numbers = f"floor {topic.floor}, head {topic.head}"
    if not 0 <= topic.floor <= topic.head:
        yield Finding("its floor is not between 0 and its head", where, "0 <= floor <= head", numbers)
    outside = LoggedEvent.objects.filter(Q(seq__gt=topic.head) | Q(seq__lte=topic.floor), topic=topic)
    lost = outside.aggregate(count=Count("seq"), first=Min("seq"), last=Max("seq"))
    if lost["count"]:
        found = f"{lost['count']} from seq {lost['first']} to {lost['last']}"
        yield Finding("it has events outside of floor and head", where, f"none: {numbers}", found)
    for first, last in _gaps(topic):
        found = f"none from seq {first} to {last}"
        yield Finding("it lacks events", where, "one event at every seq", found)


def _gaps(topic: Topic) -> Iterator[tuple[int, int]]:
    """The first and the last seq of each gap between floor and head."""
    inside = LoggedEvent.objects.filter(topic=topic, seq__gt=topic.floor, seq__lte=topic.head)
    extent = inside.aggregate(first=Min("seq"), last=Max("seq"))
    if extent["first"] is None:
        if topic.head > topic.floor:
            yield topic.floor + 1, topic.head
        return
    if extent["first"] > topic.floor + 1:
        yield topic.floor + 1, extent["first"] - 1
    followed = inside.annotate(next=Window(Lead("seq"), order_by=F("seq").asc()))
    holes = followed.filter(next__gt=F("seq") + 1).order_by("seq").values_list("seq", "next")
    for before, after in holes[:SHOWN]:
        yield before + 1, after - 1
    if extent["last"] < topic.head:
        yield extent["last"] + 1, topic.head


class _Body(msgspec.Struct):
    """The members that every logged body has."""

    type: str
    seq: int


_decode_body = msgspec.json.Decoder(_Body).decode

# Compared as row values, which is the order of the primary key: PostgreSQL and SQLite both walk its index.
_BODIES = """
SELECT topic_id, seq, body FROM realtime_loggedevent
WHERE (topic_id, seq) > (%s, %s) ORDER BY topic_id, seq LIMIT %s
"""


def is_readable(body: str) -> bool:
    """Whether a logged body is well-formed for `log_bodies`, whatever its seq is."""
    try:
        decoded = _decode_body(body)
    except (msgspec.DecodeError, UnicodeError):
        return False
    return decoded.type != "" and Delivery("", None, body).type == decoded.type


@examination(
    app="realtime",
    remedy="Replace the text by the right one from a backup; a client that comes upon it is stuck there.",
)
def log_bodies() -> Iterator[Finding]:
    """Every logged text is JSON that begins with its type and holds the seq at which it stands."""
    # Decoded in Python: before version 16, PostgreSQL cannot tell whether a text is JSON without ending the
    # query at the first that is not.
    last = (0, 0)
    while True:
        with connection.cursor() as cursor:
            cursor.execute(_BODIES, [*last, examinations.BATCH])
            rows = cursor.fetchall()
        if not rows:
            return
        wrong = [(topic_id, seq, fault) for topic_id, seq, body in rows if (fault := _fault_of(body, seq))]
        names = Topic.objects.in_bulk({topic_id for topic_id, *_ in wrong}) if wrong else {}
        for topic_id, seq, fault in wrong:
            topic = names[topic_id].name if topic_id in names else str(topic_id)
            yield Finding(
                "an event is unreadable", {"topic": topic, "seq": seq}, f"type and seq {seq}", fault
            )
        last = rows[-1][:2]


def _fault_of(body: str, seq: int) -> str:
    if not is_readable(body):
        return "no JSON object that begins with its type and holds its seq"
    number = _decode_body(body).seq
    return "" if number == seq else f"seq {number}"


# --- every table ------------------------------------------------------------------------------------


@examination(
    app="realtime",
    remedy="Restore the missing row from a backup, or delete the row that points to it; then find out "
    "who switched the database's own foreign keys off.",
)
def references() -> Iterator[Finding]:
    """Every foreign key leads to a row: nothing is orphaned."""
    for model in _stored_models():
        for field in model._meta.concrete_fields:  # noqa: SLF001 - documented, in spite of its name
            if not isinstance(field, ForeignKey):
                continue
            target = field.target_field
            parents = target.model._base_manager.filter(**{target.attname: OuterRef(field.attname)})  # noqa: SLF001
            orphans = model._base_manager.filter(  # noqa: SLF001
                ~Exists(parents), **{f"{field.name}__isnull": False}
            )
            for pk, lost in orphans.order_by().values_list("pk", field.attname)[:SHOWN]:
                yield Finding(
                    "a row points nowhere",
                    {"table": table(model), "id": str(pk), "column": field.column},
                    f"a row of {table(target.model)}",
                    f"none with {target.column} {lost}",
                )


@examination(
    app="realtime",
    remedy="Keep one of the rows, delete the others, and make the unique index anew: it is lost or damaged.",
)
def uniqueness() -> Iterator[Finding]:
    """Values that must be unique are unique, even if the index that guards them was lost."""
    for model in _stored_models():
        for label, expressions, condition in _unique_sets(model):
            columns = {f"unique_{number}": each for number, each in enumerate(expressions)}
            rows = model._base_manager.annotate(**columns).filter(  # noqa: SLF001
                condition, **{f"{name}__isnull": False for name in columns}
            )
            counted = rows.order_by().values(*columns).annotate(rows=Count("*")).filter(rows__gt=1)
            for twice in counted[:SHOWN]:
                count = twice.pop("rows")
                ids = sorted(str(pk) for pk in rows.filter(**twice).values_list("pk", flat=True)[:5])
                where = {"table": table(model), "unique": label}
                yield Finding(
                    "rows are the same", where, "one row", f"{count} rows, with id {', '.join(ids)}"
                )


def _stored_models() -> Iterator[type[Model]]:
    for model in apps.get_models(include_auto_created=True):
        if model._meta.managed and not model._meta.proxy:  # noqa: SLF001
            yield model


def _unique_sets(model: type[Model]) -> Iterator[tuple[str, list[Any], Q]]:
    """Each unique set of a model: its name, its columns or expressions, and the rows it is about."""
    options = model._meta  # noqa: SLF001
    for field in options.concrete_fields:
        if field.unique and not field.primary_key:
            yield str(field.column), [F(field.attname)], Q()
    for names in options.unique_together:
        yield ", ".join(names), [F(name) for name in names], Q()
    for constraint in options.constraints:
        if isinstance(constraint, UniqueConstraint):
            columns = [*map(F, constraint.fields), *constraint.expressions]
            yield str(constraint.name), columns, constraint.condition or Q()
