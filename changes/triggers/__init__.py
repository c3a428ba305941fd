"""The triggers that note changes: what there should be, what there is, and how one becomes the other.

`migrate` installs, refreshes and removes them. A system check and the doctor compare. Where there is a
collection, rights sources have theirs too.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

from django.db import connection, transaction

from changes.models import NotedChange
from changes.registry import SOURCE_PREFIX, Collection, Watched, rights_sources, topic_of
from changes.registry import collections as declared
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
    """Have those who watch these collections told that changes were missed.

    Of a rights source, whoever watches any collection is told that rights may have changed.
    """
    everywhere = [collection.topic for collection in declared()]
    topics = {name: everywhere if name.startswith(SOURCE_PREFIX) else [topic_of(name)] for name in names}
    known = set(Topic.objects.filter(name__in=set(chain(*topics.values()))).values_list("name", flat=True))
    now = round(time.time() * 1000)
    NotedChange.objects.bulk_create(
        NotedChange(collection=name, write=0, noted_at=now)
        for name in sorted(topics)
        if not known.isdisjoint(topics[name])
    )


def _compare(collections: Iterable[Collection], present: Mapping[str, Present]) -> _Difference:
    wanted: dict[str, Part] = {}
    impossible = {}
    for watched in _watched(collections):
        try:
            shape = shape_of(watched)
        except NoShapeError as error:
            impossible[watched.name] = str(error)
            continue
        parts = _DATABASES[connection.vendor].parts(watched, shape)
        wanted |= {part.key: part for part in parts}
    return _Difference(
        missing={key: part for key, part in wanted.items() if key not in present},
        changed={
            key: part for key, part in wanted.items() if key in present and present[key].text != part.text
        },
        left_over={key: part for key, part in present.items() if key not in wanted},
        impossible=impossible,
    )


def _watched(collections: Iterable[Collection]) -> list[Watched]:
    """The collections and the rights sources; without the first nobody has rights to anything."""
    listed = list(collections)
    return [*listed, *rights_sources()] if listed else []


def _execute(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)
