"""Related rows that go along with changes, of the relations that a collection `follows`.

A change is told on loops that ask no database, so the reader puts the related rows, as they are then, into
its event: once, however many watch. One that is gone by then, as after a cascade, goes along as it was.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence

import msgspec
from django.db import DatabaseError, transaction

from changes import noted, reading
from changes.filters import Relation, Row, Table
from changes.filters.values import value_from_json
from changes.noted import Noted
from changes.opened import Opened, everything_opened
from changes.rows import row_as_json

logger = logging.getLogger(__name__)

#: By relation, and by the key in a row's JSON: the related row.
Beside = dict[str, dict[str, msgspec.Raw]]

NOTHING: Beside = {}

_COLUMNS = msgspec.json.Decoder(dict[str, msgspec.Raw])


def beside(taken: Sequence[Noted]) -> dict[int, Beside]:
    """What goes along with each of these changes, by their numbers; one query for each relation."""
    found: dict[int, Beside] = {}
    _remember(taken)
    for name in {change.collection for change in taken}:
        collection = everything_opened().get(name)
        if collection is None or not collection.collection.follows:
            continue
        changes = [change for change in taken if change.collection == name]
        for relation in followed(collection):
            keys = {change.id: _keys(relation, change) for change in changes}
            wanted = {key for some in keys.values() for key in some}
            rows = _rows(relation, wanted)
            rows |= _gone(relation, wanted - rows.keys())
            for change in changes:
                along = {key: rows[key] for key in keys[change.id] if key in rows}
                if along:
                    found.setdefault(change.id, {})[relation.name] = along
    return found


def followed(collection: Opened) -> list[Relation]:
    """The relations whose rows go along: to one row of another collection."""
    relations = (collection.table.relations.get(name) for name in collection.collection.follows)
    return [relation for relation in relations if relation is not None and not relation.is_many]


def attached(table: Table, row: Row, text: msgspec.Raw, beside: Beside) -> Row:
    """A row with the related rows that went along with its change."""
    if not beside:
        return row
    written = _COLUMNS.decode(text)
    related = {}
    for name, rows in beside.items():
        relation = table.relations[name]
        found = rows.get(_key(written, relation))
        related[relation.place] = () if found is None else (relation.table.row(found),)
    return {**row, **related}


#: The rows that were deleted last, by field and key as JSON: a cascade may end in a later batch.
_deleted: OrderedDict[tuple[str, str], msgspec.Raw] = OrderedDict()
#: How many of them are kept.
MOST_DELETED = 1_000


def _remember(taken: Iterable[Noted]) -> None:
    led_to = {relation.table.name for each in everything_opened().values() for relation in followed(each)}
    for change in taken:
        if change.collection in led_to and change.new is None and change.old is not None:
            _deleted.update(_deleted_by(change))
    while len(_deleted) > MOST_DELETED:
        _deleted.popitem(last=False)


def _deleted_by(change: Noted) -> dict[tuple[str, str], msgspec.Raw]:
    """The row that a change deleted, by each value that may lead to it."""
    try:
        row = row_as_json(change.old or "")
    except (ValueError, RecursionError):
        return {}
    table = everything_opened()[change.collection].table
    written = _COLUMNS.decode(row)
    return {(f"{table.name}.{name}", _text(written.get(name))): row for name in table.key}


def _gone(relation: Relation, keys: set[str]) -> dict[str, msgspec.Raw]:
    """The rows that these keys led to, of those that were deleted lately or are about to be read."""
    place = f"{relation.table.name}.{relation.to.name}"
    found = {key: _deleted[place, key] for key in keys if (place, key) in _deleted}
    if left := keys - found.keys():
        for change in noted.deleted(relation.table.name, MOST_DELETED):
            found |= {
                key: row for (at, key), row in _deleted_by(change).items() if at == place and key in left
            }
    return found


def _keys(relation: Relation, change: Noted) -> set[str]:
    try:
        rows = [_COLUMNS.decode(row) for row in (change.old, change.new) if row is not None]
    except msgspec.DecodeError:
        return set()  # it cannot be read, and is told as missed
    return {key for row in rows if (key := _key(row, relation))}


def _key(row: Mapping[str, msgspec.Raw], relation: Relation) -> str:
    """The key as JSON; empty where there is none."""
    return _text(row.get(relation.column.name))


def _text(raw: msgspec.Raw | None) -> str:
    text = "null" if raw is None else bytes(raw).decode(errors="replace")
    return "" if text == "null" else text


def _rows(relation: Relation, keys: Iterable[str]) -> dict[str, msgspec.Raw]:
    values = {value_from_json(relation.to.kind, msgspec.Raw(key.encode())) for key in keys}
    if not values:
        return {}
    try:
        with transaction.atomic():
            rows = reading.texts_of(relation, frozenset(values))
    except DatabaseError:
        # What comes after it must not wait for a table that cannot be read.
        logger.exception("Rows of %s cannot go along with changes", relation.table.name)
        return {}
    return {bytes(_COLUMNS.decode(row)[relation.to.name]).decode(): row for row in rows}
