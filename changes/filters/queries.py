"""The other members of a query, as clients write them: fields, sort, limit, offset, page, search.

Each comes typed or as a text, because newer clients of Directus send what they would put into a URL.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from changes.filters.asked import MAX_INTEGER, value_from_filter
from changes.filters.conditions import NEVER, Comparison, Condition, Field, any_of
from changes.filters.cutting import Nested, Shown
from changes.filters.errors import Problem, QueryError, shown, unreadable_field
from changes.filters.operators import Check
from changes.filters.parsing import MAX_RELATIONS, RightsOf, field_of
from changes.filters.rights import Readable
from changes.filters.sorting import Sort, SortKey
from changes.filters.tables import Table
from changes.filters.values import Kind

#: Names in a list of fields.
MAX_FIELDS = 200
#: Relations that a list of fields follows in all: `*.*.*` multiplies.
MAX_NESTED = 50
#: Columns to sort by.
MAX_SORT = 8
#: Characters of a search.
MAX_SEARCH = 200


def parse_fields(
    given: Any, table: Table, readable: Readable, related: RightsOf | None = None
) -> tuple[Shown, ...]:
    """The fields to show, in the order asked for; `*` and nothing are all that may be read.

    `author.email` and `{"author": ["email"]}` are of a related row, for which `related` says what may be
    read.
    """
    return _Fields(related).of(_listed(given, "fields", MAX_FIELDS) or ["*"], table, readable, depth=0)


class _Fields:
    """A list of fields under way."""

    def __init__(self, related: RightsOf | None) -> None:
        self.related = related
        self.nested = 0

    def of(self, names: list[Any], table: Table, readable: Readable, *, depth: int) -> tuple[Shown, ...]:
        """The fields of one table, and below them those of related rows."""
        relations = self.open_relations(table, readable)
        plain, below = _split(names, relations)
        shown: dict[str, Shown] = {}
        for name in plain:
            if name == "*":
                allowed = readable.fields
                shown.update((each.name, Field(each)) for each in table.columns if each.name in allowed)
            else:
                field = field_of(name, table, readable.fields)
                shown[field.name] = field
        for name, inner in below.items():
            if name not in relations:
                raise unreadable_field(name)
            self.nested += 1
            if depth >= MAX_RELATIONS or self.nested > MAX_NESTED:
                raise QueryError("fields follow too many relations.", Problem.TOO_LARGE)
            relation, rights = table.relations[name], relations[name]
            shown[name] = Nested(relation, self.of(inner, relation.table, rights, depth=depth + 1), rights)
        return tuple(shown.values())

    def open_relations(self, table: Table, readable: Readable) -> dict[str, Readable]:
        """What may be read at the end of each relation that may be followed."""
        if self.related is None:
            return {}
        allowed = readable.fields
        relations = table.relations.values()
        rights = {each.name: self.related(each) for each in relations if each.column.name in allowed}
        return {name: each for name, each in rights.items() if each.policies}


def _split(names: list[Any], open_ones: Iterable[str]) -> tuple[list[Any], dict[str, list[Any]]]:
    """Names of our own fields, and by relation what is asked of the related rows."""
    plain: list[Any] = []
    below: dict[str, list[Any]] = {}
    for name in names:
        if isinstance(name, dict):
            for relation, inner in name.items():
                below.setdefault(relation, []).extend(_listed(inner, "fields", MAX_FIELDS) or ["*"])
        elif isinstance(name, str) and "." in name:
            relation, _, rest = name.partition(".")
            if relation == "*":
                plain.append("*")
            for each in open_ones if relation == "*" else [relation]:
                below.setdefault(each, []).append(rest)
        else:
            plain.append(name)
    return plain, below


def parse_sort(given: Any, table: Table, readable: Readable) -> Sort:
    """The order that is asked for, and after it the primary key."""
    keys: dict[str, SortKey] = {}
    for name in _listed(given, "sort", MAX_SORT):
        if not isinstance(name, str):
            raise QueryError(f"A field to sort by is a text, not {shown(name)}.", Problem.SHAPE)
        column = field_of(name.removeprefix("-"), table, readable.fields).column
        if "(" in name or column.kind in {Kind.JSON, Kind.BYTES, Kind.OTHER}:
            raise QueryError(f"Rows cannot be sorted by {shown(name)}.", Problem.OPERATOR)
        keys.setdefault(column.name, SortKey(column, name.startswith("-"), readable.guard(column.name)))
    for name in table.key:
        keys.setdefault(name, SortKey(table.by_name[name]))
    return tuple(keys.values())


def parse_search(given: Any, table: Table, readable: Readable) -> Condition:
    """Rows with this text in one of their texts, whatever its case, or with this number or UUID."""
    if not isinstance(given, str) or not given or len(given) > MAX_SEARCH:
        raise QueryError(f"A search is a text of 1 to {MAX_SEARCH} characters.", Problem.VALUE)
    return any_of(NEVER, *_found(given, table, readable))


def _found(text: str, table: Table, readable: Readable) -> Iterator[Condition]:
    allowed = readable.fields
    for column in table.columns:
        if column.name not in allowed:
            continue
        if column.kind in {Kind.TEXT, Kind.INTEGER, Kind.NUMBER, Kind.DECIMAL, Kind.UUID}:
            check = Check.CONTAINS_LETTERS if column.kind is Kind.TEXT else Check.EQUAL
            try:
                yield Comparison(Field(column), check, value_from_filter(column.kind, text))
            except ValueError:
                continue


@dataclass(frozen=True, slots=True)
class Page:
    """How many rows, and after how many; a limit of None is no limit."""

    limit: int | None
    offset: int = 0


def parse_page(
    *, limit: Any = None, offset: Any = None, page: Any = None, default: int = 100, maximum: int | None = None
) -> Page:
    """The part of a snapshot: `page` counts from 1 and replaces `offset`; a limit of -1 is none."""
    size: int | None = default if limit is None else _whole(limit, "limit", least=-1)
    if size == -1:
        size = None
    if maximum is not None:
        size = maximum if size is None else min(size, maximum)
    if page is not None:
        number = _whole(page, "page", least=1)
        return Page(size, min((number - 1) * (size or 0), MAX_INTEGER))
    return Page(size, 0 if offset is None else _whole(offset, "offset", least=0))


def _whole(given: Any, name: str, *, least: int) -> int:
    try:
        number: int = value_from_filter(Kind.INTEGER, given)
    except ValueError:
        number = least - 1
    if number < least:
        raise QueryError(f"{name} takes a whole number from {least} on, not {shown(given)}.", Problem.VALUE)
    return number


def _listed(given: Any, name: str, most: int) -> list[Any]:
    if isinstance(given, str):
        given = [part.strip() for part in given.split(",", most + 1) if part.strip()]
    if given is None:
        return []
    if not isinstance(given, list | tuple):
        raise QueryError(f"{name} takes a list of names, or a text with commas.", Problem.SHAPE)
    if len(given) > most:
        raise QueryError(f"{name} takes at most {most} names.", Problem.TOO_LARGE)
    return list(given)
