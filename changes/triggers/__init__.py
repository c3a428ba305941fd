"""The triggers that note changes: what there should be, what there is, and how one becomes the other.

`migrate` installs, refreshes and removes them. A system check and the doctor compare.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from django.db import connection, transaction

from changes.models import NotedChange
from changes.registry import Collection, topic_of
from changes.shapes import NoShapeError, shape_of
from changes.triggers import postgresql, sqlite
from changes.triggers.parts import Part, Present
from realtime import Topic

_DATABASES = {"postgresql": postgresql, "sqlite": sqlite}


@dataclass(frozen=True, slots=True)
class Fault:
    """A part of the triggers that is not as it should be."""

    collection: str
    part: str
    what: str


class _Difference(NamedTuple):
    missing: dict[str, Part]
    changed: dict[str, Part]
    left_over: dict[str, Present]
    #: Collections whose table is not there, or not as they want it, and why.
    impossible: dict[str, str]


def faults(collections: Iterable[Collection]) -> list[Fault]:
    """Compare the triggers that the database has with those that it should have."""
    present = _DATABASES[connection.vendor].present()
    found = _compare(collections, present)
    return [
        *(Fault(name, "its table", why) for name, why in found.impossible.items()),
        *(Fault(part.collection, key, "missing") for key, part in found.missing.items()),
        *(
            Fault(part.collection, key, "disabled" if present[key].is_disabled else "outdated")
            for key, part in found.changed.items()
        ),
        *(Fault("", key, "left over") for key in found.left_over),
    ]


def install(collections: Iterable[Collection]) -> list[Fault]:
    """Make the triggers what they should be; returns what cannot be made.

    Changes may have been missed where one was absent or another: whoever watches is told so.
    """
    vendor = _DATABASES[connection.vendor]
    with transaction.atomic():
        found = _compare(collections, vendor.present())
        made = [*found.missing.values(), *found.changed.values()]
        for present in found.left_over.values():
            _execute(present.drop)
        for part in made:
            for statement in part.create:
                _execute(statement)
        note_missed({part.collection for part in made})
    return [Fault(name, "its table", why) for name, why in found.impossible.items()]


def remove_all() -> None:
    """Remove every trigger that notes changes."""
    with transaction.atomic():
        for present in _DATABASES[connection.vendor].present().values():
            _execute(present.drop)


def note_missed(names: Iterable[str]) -> None:
    """Have those who watch these collections told that changes were missed."""
    told = Topic.objects.filter(name__in=[topic_of(name) for name in names]).values_list("name", flat=True)
    topics, now = set(told), round(time.time() * 1000)
    NotedChange.objects.bulk_create(
        NotedChange(collection=name, write=0, noted_at=now)
        for name in sorted(names)
        if topic_of(name) in topics
    )


def _compare(collections: Iterable[Collection], present: Mapping[str, Present]) -> _Difference:
    wanted: dict[str, Part] = {}
    impossible = {}
    for collection in collections:
        try:
            shape = shape_of(collection)
        except NoShapeError as error:
            impossible[collection.name] = str(error)
            continue
        parts = _DATABASES[connection.vendor].parts(collection, shape)
        wanted |= {part.key: part for part in parts}
    return _Difference(
        missing={key: part for key, part in wanted.items() if key not in present},
        changed={
            key: part for key, part in wanted.items() if key in present and present[key].text != part.text
        },
        left_over={key: part for key, part in present.items() if key not in wanted},
        impossible=impossible,
    )


def _execute(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)
