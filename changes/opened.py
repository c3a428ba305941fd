"""Collections as the database has them: their columns, what leads from one to another, and who may do what.

The shape of a table is read once a process: a migration is followed by a restart of the servers.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache

from django.db.models import ForeignKey

from changes.errors import UnknownCollectionError
from changes.filters import Policy, Relation, Table, table_of
from changes.permitted import policies_of
from changes.registry import Collection, collections
from changes.rights import Right
from changes.shapes import NoShapeError, Shape, described, foreign_keys_of, model_fields, shape_of

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Opened:
    """A collection whose table was looked at."""

    collection: Collection
    shape: Shape
    #: Its columns, and the tables of other collections that its rows lead to.
    table: Table
    #: What its app allows, ready to be asked.
    policies: tuple[tuple[Right, Policy], ...]


def opened(name: str) -> Opened:
    """The collection of that name; the first call reads the shapes of all tables."""
    found = everything_opened().get(name)
    if found is None:
        raise UnknownCollectionError
    return found


def everything_opened() -> Mapping[str, Opened]:
    """All collections whose tables are there, by name."""
    return _all_of(tuple(collections()))


@lru_cache(maxsize=1)
def _all_of(declared: tuple[Collection, ...]) -> Mapping[str, Opened]:
    shapes: dict[Collection, Shape] = {}
    for collection in declared:
        try:
            shapes[collection] = shape_of(collection)
        except NoShapeError as error:
            logger.error("The collection %s cannot be read: %s", collection.name, error)
    tables = _related(shapes)
    return {
        collection.name: Opened(collection, shapes[collection], table, policies_of(table, collection.rights))
        for collection, table in tables.items()
    }


def forget() -> None:
    """Read the shapes of tables again when they are next asked for, because a migration ran."""
    _all_of.cache_clear()


def described_by_models() -> dict[Collection, Table]:
    """The tables of collections that have a model, as the models describe them. Asks no database."""
    return _related(
        {each: described(each.model, each.fields) for each in collections() if each.model is not None}
    )


def read_from_database() -> dict[Collection, Table]:
    """The tables of collections as the database has them at this moment; without those that it has not."""
    shapes = {}
    for collection in collections():
        with suppress(NoShapeError):
            shapes[collection] = shape_of(collection)
    return _related(shapes)


def _related(shapes: Mapping[Collection, Shape]) -> dict[Collection, Table]:
    tables = {collection: table_of(collection.name, shape) for collection, shape in shapes.items()}
    for collection in tables:
        _relate(collection, tables)
    return tables


def _relate(collection: Collection, tables: Mapping[Collection, Table]) -> None:
    """Enter what the foreign keys of a collection lead to, and the way back."""
    table = tables[collection]
    by_table = {each.table: each for each in tables}
    for name, (target, column, back) in foreign_keys(collection).items():
        other = by_table.get(target)
        if other is None or name not in table.by_name:
            continue
        theirs = next((each for each in tables[other].columns if each.stored_as == column), None)
        if theirs is None:
            continue
        ours = table.by_name[name]
        table.relations[name] = Relation(name, ours, tables[other], theirs)
        if back and back not in tables[other].by_name:
            tables[other].relations.setdefault(back, Relation(back, theirs, table, ours, is_many=True))


def foreign_keys(collection: Collection) -> dict[str, tuple[str, str, str]]:
    """By field: the table and the column that a foreign key names, and what the way back is called."""
    if collection.model is None:
        found = foreign_keys_of(collection.table)
        return {name: (table, column, collection.name) for name, (table, column) in found.items()}
    keys = {}
    for field in model_fields(collection.model).values():
        if isinstance(field, ForeignKey):
            remote = field.target_field
            back = "" if field.remote_field.hidden else field.remote_field.get_accessor_name()
            keys[field.name] = (remote.model._meta.db_table, remote.column or "", back or "")  # noqa: SLF001 - documented
    return keys
