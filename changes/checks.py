"""System checks of what apps declare, and of the tables and triggers that the database has."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from django.apps import AppConfig
from django.contrib.auth import get_user_model
from django.core.checks import CheckMessage, Error, Tags, register
from django.core.checks import Warning as Caution
from django.db import DEFAULT_DB_ALIAS, DatabaseError, connection
from django.db.models import Field as ModelField
from django.db.models import ForeignKey

from changes import triggers, user_values
from changes.filters import Kind, Problem, QueryError, Table
from changes.models import NotedChange
from changes.opened import described_by_models, foreign_keys, read_from_database
from changes.permitted import policy_of
from changes.registry import MAX_NAME_LENGTH, Collection, collections, rights_sources
from changes.rights import Action, Right
from changes.shapes import model_fields
from realtime import TAG

_NAME = re.compile(rf"[a-z][a-z0-9_]{{0,{MAX_NAME_LENGTH - 1}}}\Z")
#: Tables that the reader itself writes to: watching one would never end.
_OURS = re.compile(r"(realtime|changes)_")


@register(TAG)
def check_collections(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """What is declared can be watched, and its rights mean something."""
    found = [Error(mistake, id="relais.E030") for mistake in _mistakes()]
    found += [
        Error(mistake, id="relais.E031")
        for mistake in (
            *user_values.mistakes(),
            *(mistake for each in collections() for mistake in (*_of_rights(each), *_of_fields(each))),
        )
    ]
    found += [Error(mistake, id="relais.E032") for mistake in _of_sources()]
    if not found:  # else it would be said twice
        found += [Error(mistake, id="relais.E031") for mistake in _of_rules()]
    return list(found)


def _mistakes() -> Iterator[str]:
    for collection in collections():
        if not _NAME.match(collection.name):
            yield (
                f"{collection.name!r} is no name for a collection: expected lower case like 'order_items', "
                f"at most {MAX_NAME_LENGTH} characters."
            )
        if _OURS.match(collection.table):
            yield f"The table {collection.table!r} cannot be watched: to tell its changes, it is changed."
    for what in ("name", "table"):
        for value, count in Counter(getattr(each, what) for each in collections()).items():
            if count > 1:
                yield f"{count} collections have the {what} {value!r}."


def _of_rights(collection: Collection) -> Iterator[str]:
    for right in collection.rights:
        if not callable(right.to):
            yield f"`to` in a right to {collection.name!r} must be a function of a user or None."
        if not right.actions:
            yield f"A right to {collection.name!r} allows nothing: name an action."
        for action in sorted(right.actions - set(Action)):
            yield f"{action!r} in a right to {collection.name!r} is none of {', '.join(Action)}."


def _of_fields(collection: Collection) -> Iterator[str]:
    if collection.fields == ():
        yield f"{collection.name!r} has no fields; all of them are ALL_FIELDS."
    model = collection.model
    if model is None:
        return
    options = model._meta  # noqa: SLF001 - documented, in spite of its name
    if options.abstract or options.proxy:
        yield f"{collection.name!r} must name the model that has the table, not {model.__name__}."
        return
    known = {field.name: field for field in model_fields(model).values()}
    for name in collection.follows:
        if not isinstance(known.get(name), ForeignKey):
            yield f"{collection.name!r} cannot follow {name!r}: {name!r} leads to no other row."
    for name in collection.fields or ():
        if name not in known:
            yield f"{model.__name__} has no column for the field {name!r} of {collection.name!r}."


def _of_sources() -> Iterator[str]:
    for source in rights_sources():
        declared = f"`watch_rights({source.model.__name__}, …)`"
        options = source.model._meta  # noqa: SLF001 - documented, in spite of its name
        if options.abstract or options.proxy:
            yield f"{declared} must name the model that has the table."
            continue
        if _OURS.match(source.table):
            yield f"{declared}: {source.table!r} cannot be watched: to tell its changes, it is changed."
        if not source.fields:
            yield f"{declared} names no fields."
        known = {field.name: field for field in model_fields(source.model).values()}
        for name in source.fields:
            if name not in known:
                yield f"{declared}: it has no column for the field {name!r}."
        if source.user in known and not _is_user(known[source.user]):
            yield f"{declared}: the field {source.user!r} leads to no user."


def _is_user(field: ModelField[Any, Any]) -> bool:
    key = get_user_model()._meta.pk  # noqa: SLF001 - documented, in spite of its name
    return field == key or (isinstance(field, ForeignKey) and field.target_field == key)


def _of_rules() -> Iterator[str]:
    """Mistakes in rules and fields of rights that models tell; `check_tables` finds the others."""
    for collection, table in described_by_models().items():
        for mistake in _of_policies(collection, table):
            if not _may_be_right(mistake, table):
                yield mistake.text


def _may_be_right(mistake: _Mistake, table: Table) -> bool:
    """Whether only the database can tell: what a strange column holds, what is in a table without a model."""
    if mistake.problem not in {Problem.OPERATOR, Problem.FIELD}:
        return False
    strange = [column.name for column in table.columns if column.kind is Kind.OTHER]
    if any(name in str(mistake.right.rows) for name in strange):
        return True
    unknown = {each.table for each in collections() if each.model is None}
    known = [each for each in collections() if each.model is not None]
    return any(target in unknown for each in known for target, *_ in foreign_keys(each).values())


class _Mistake(NamedTuple):
    right: Right
    text: str
    problem: Problem | None = None


def _of_policies(collection: Collection, table: Table) -> Iterator[_Mistake]:
    for right in collection.rights:
        try:
            policy_of(table, right)
        except QueryError as error:
            text = f"The rule of a right to {collection.name!r}: {error}"
            yield _Mistake(right, text, error.problem)
        except ValueError as error:
            yield _Mistake(right, f"A right to {collection.name!r}: {error}")


@register(Tags.database)
def check_tables(
    app_configs: Sequence[AppConfig] | None, databases: Sequence[str] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """Rights mean something for the tables that there are, also for those without a model."""
    if not databases or DEFAULT_DB_ALIAS not in databases or check_collections(None):
        return []
    try:
        tables = read_from_database()
    except DatabaseError as error:
        return [Caution(f"The tables could not be read: {error}", id="relais.W031")]
    return [
        Error(mistake.text, id="relais.E031")
        for collection, table in tables.items()
        for mistake in _of_policies(collection, table)
    ]


@register(Tags.database)
def check_triggers(
    app_configs: Sequence[AppConfig] | None, databases: Sequence[str] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """What notes changes is as declared; before the first migration there is nothing to compare."""
    if not databases or DEFAULT_DB_ALIAS not in databases or check_collections(None):
        return []
    try:
        if NotedChange._meta.db_table not in connection.introspection.table_names():  # noqa: SLF001 - documented
            return []
        faults = triggers.faults(collections())
    except DatabaseError as error:
        return [Caution(f"The triggers could not be compared: {error}", id="relais.W031")]
    return [
        Caution(
            f"What notes changes is not as declared: {fault.part} of {fault.collection!r} ({fault.what}).",
            hint="`manage.py migrate` installs, refreshes and removes triggers.",
            id="relais.W030",
        )
        for fault in faults
    ]
