"""Filters of the Directus language, as its clients write them, become conditions.

    {"status": {"_in": ["draft", "review"]}, "_or": [{"author": "$CURRENT_USER"}, {"year(created_at)": {"_gt":
    2025}}]}

A field that is not readable is refused in the words for one that does not exist. Limits keep a filter from
costing more than its evaluation is worth; they are counted before anything is built.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from changes.filters.asked import value_from_filter
from changes.filters.conditions import (
    PARTS,
    Comparison,
    Condition,
    Field,
    Leaf,
    Part,
    Related,
    all_of,
    any_of,
    transformed,
    tuple_of,
)
from changes.filters.errors import Problem, QueryError, shown, unreadable_field
from changes.filters.operators import OPERATORS, Check, Operand, Operator
from changes.filters.rights import Readable
from changes.filters.tables import Relation, Table
from changes.filters.values import Kind, Value
from changes.filters.variables import Now, UserValue, is_list, variable_in

#: Levels of `_and` and `_or` and of fields: a filter written by a person has three or four.
MAX_DEPTH = 12
#: Comparisons in one filter.
MAX_COMPARISONS = 100
#: Relations that a filter or a list of fields follows, one after the other.
MAX_RELATIONS = 4
#: Members of all lists of one filter. SQLite takes 32,766 parameters, PostgreSQL twice as many.
MAX_VALUES = 1_000
#: Characters of all texts in one filter; also of a filter that is given as JSON text.
MAX_CHARACTERS = 32_768

_LOGICAL = ("_and", "_or")

#: What a client may say of the user without knowing more: nothing else is told to filters.
USER_VARIABLES = frozenset({"$CURRENT_USER", "$CURRENT_ROLE", "$CURRENT_ROLES", "$CURRENT_POLICIES"})


#: What somebody may read of the table at the end of a relation.
RightsOf = Callable[[Relation], Readable]


def parse_filter(
    given: Any,
    table: Table,
    *,
    readable: Collection[str] | None = None,
    variables: Collection[str] = USER_VARIABLES,
    related: RightsOf | None = None,
) -> Condition:
    """The condition that a filter means, a JSON object or its text; a QueryError says what is wrong with it.

    `readable` are the fields that it may name (all, if None), `variables` the values of the user, `related`
    what may be read of the table at the end of a relation; without it no filter follows one.
    """
    if isinstance(given, str | bytes):
        given = _json(given)
    if given is None:
        given = {}
    _measure(given)
    allowed = table.by_name if readable is None else readable
    return _Parser(table, allowed, variables, related or _nothing_related, _Spent()).all_of(given)


def _nothing_related(_relation: Relation) -> Readable:
    return Readable()


def _json(text: str | bytes) -> Any:
    if len(text) > MAX_CHARACTERS:
        raise _too_large(f"longer than {MAX_CHARACTERS} characters")
    try:
        return msgspec.json.decode(text) if text.strip() else {}
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        raise QueryError("The filter is not JSON.", Problem.SHAPE) from None


def _too_large(why: str) -> QueryError:
    return QueryError(f"The filter is {why}.", Problem.TOO_LARGE)


def _measure(given: Any) -> None:
    """Refuse what is nested too deeply or has too much in it, without recursion."""
    level, depth, values, characters = [given], 0, 0, 0
    while level:
        below: list[Any] = []
        for node in level:
            if isinstance(node, dict):
                characters += sum(map(len, node))
                below.extend(node.values())
            elif isinstance(node, list | tuple):
                below.extend(node)
            elif isinstance(node, str):
                characters += len(node)
        # A field, its operator and a list of values are levels as well.
        depth, values, level = depth + 1, values + len(below), below
        if depth > 2 * MAX_DEPTH:
            raise _too_large(f"nested deeper than {MAX_DEPTH} levels")
        if values > 4 * MAX_VALUES or characters > MAX_CHARACTERS:
            raise _too_large("too long")


def field_of(name: Any, table: Table, readable: Collection[str]) -> Field:
    """The field that a client names, `title` or `year(created_at)`; a QueryError if it may not be read."""
    column_name, function = name, None
    if isinstance(name, str) and name.endswith(")") and "(" in name:
        function, _, column_name = name[:-1].partition("(")
    column = table.by_name.get(column_name) if isinstance(column_name, str) else None
    if column is None or column.name not in readable:
        raise unreadable_field(column_name)
    if function is None:
        return Field(column)
    if function not in PARTS.get(column.kind, ()):
        raise QueryError(f"There is no function {shown(function)} of {column.name}.", Problem.OPERATOR)
    return Field(column, Part(function))


@dataclass(slots=True)
class _Spent:
    """What a filter has used of its limits."""

    comparisons: int = 0
    values: int = 0


@dataclass(frozen=True, slots=True)
class _Parser:
    """A filter about one table under way."""

    table: Table
    readable: Collection[str]
    variables: Collection[str]
    related: RightsOf
    spent: _Spent
    #: How many relations were followed to come here.
    followed: int = 0

    def all_of(self, given: Any, depth: int = 1) -> Condition:
        """An object: every member holds."""
        if not isinstance(given, dict):
            raise QueryError(f"A filter is an object, not {shown(given)}.", Problem.SHAPE)
        if depth > MAX_DEPTH:
            raise _too_large(f"nested deeper than {MAX_DEPTH} levels")
        return all_of(*(self._member(key, value, depth) for key, value in given.items()))

    def _member(self, key: Any, value: Any, depth: int) -> Condition:
        if key in _LOGICAL:
            return self._logical(key, value, depth)
        relation = self.table.relations.get(key) if isinstance(key, str) else None
        if relation and relation.is_many:
            given = value if isinstance(value, dict) else {"_some": value}
            return self._about_related(relation, given, depth + 1)
        field = field_of(key, self.table, self.readable)
        if not isinstance(value, dict):
            value = {"_eq": value}
        theirs = {name: each for name, each in value.items() if relation and not _is_about_field(name)}
        ours = {name: each for name, each in value.items() if name not in theirs}
        conditions = [*self._comparisons(key, field, ours, depth + 1)]
        if relation and theirs:
            conditions.append(self._about_related(relation, theirs, depth + 1))
        return all_of(*conditions)

    def _logical(self, name: str, given: Any, depth: int) -> Condition:
        if not isinstance(given, list | tuple):
            raise QueryError(f"{name} takes a list of filters.", Problem.SHAPE)
        parts = [self.all_of(part, depth + 1) for part in given]
        # An empty list asks for nothing; the reference passes it over, in both.
        return all_of(*parts) if name == "_and" or not parts else any_of(*parts)

    def _below(self, key: str, name: str, given: Any, depth: int) -> Condition:
        """{"price": {"_or": [{"_lt": 1}, {"_gt": 9}]}} is {"_or": [{"price": …}, {"price": …}]}."""
        parts = [{key: part} for part in given] if isinstance(given, list | tuple) else given
        return self._logical(name, parts, depth)

    def _about_related(self, relation: Relation, given: dict[str, Any], depth: int) -> Condition:
        rights = self.related(relation)
        if relation.column.name not in self.readable or not rights.policies:
            raise unreadable_field(relation.name)
        if self.followed == MAX_RELATIONS:
            raise _too_large(f"about more than {MAX_RELATIONS} relations behind each other")
        inner = replace(self, table=relation.table, readable=rights.fields, followed=self.followed + 1)
        if relation.is_many:
            return all_of(*inner.some_or_none(relation, rights, given, depth))

        def related(leaf: Leaf) -> Condition:
            # Of a row that is not there, or not theirs to read, every field is NULL.
            is_null = isinstance(leaf, Comparison) and leaf.check in {Check.IS_NULL, Check.IS_EMPTY}
            if is_null and not leaf.is_negated:
                leaf = replace(leaf, is_negated=True)
                return Related(relation, rights.matching(leaf), is_negated=True)
            return Related(relation, rights.matching(leaf))

        return transformed(inner.all_of(given, depth), related)

    def some_or_none(
        self, relation: Relation, rights: Readable, given: dict[str, Any], depth: int
    ) -> Iterator[Condition]:
        """What is said of many related rows: that there is one, or none."""
        bare = {name: each for name, each in given.items() if name not in {"_some", "_none"}}
        for name, each in [*given.items(), *([("_some", bare)] if bare else [])]:
            if name in {"_some", "_none"}:
                part = rights.matching(self.all_of(each, depth))
                yield Related(relation, part, is_negated=name == "_none")

    def _comparisons(self, key: str, field: Field, given: dict[Any, Any], depth: int) -> Iterator[Condition]:
        if depth > MAX_DEPTH:
            raise _too_large(f"nested deeper than {MAX_DEPTH} levels")
        for name, value in given.items():
            if name in _LOGICAL:
                yield self._below(key, name, value, depth)
                continue
            operator = OPERATORS.get(name) if isinstance(name, str) else None
            if operator is None or field.kind not in operator.kinds:
                raise QueryError(f"There is no operator {shown(name)} for {key}.", Problem.OPERATOR)
            self.spent.comparisons += 1
            if self.spent.comparisons > MAX_COMPARISONS:
                raise _too_large(f"of more than {MAX_COMPARISONS} comparisons")
            yield self._comparison(field, operator, value, f"{key}.{name}")

    def _comparison(self, field: Field, operator: Operator, given: Any, where: str) -> Condition:
        check, is_negated = operator.check, operator.is_negated
        match operator.operand:
            case Operand.NOTHING:
                is_asked = {True: True, False: False, "true": True, "false": False}.get(
                    given if isinstance(given, bool | str) else None
                )
                if is_asked is None:
                    raise QueryError(f"{where} takes true or false.", Problem.VALUE)
                return Comparison(field, check, is_negated=is_negated == is_asked)
            case Operand.ONE if _is_null(given) and check is Check.EQUAL:
                return Comparison(field, Check.IS_NULL, is_negated=is_negated)
            case Operand.ONE:
                return Comparison(field, check, self._value(field, given, where), is_negated)
            case Operand.PAIR:
                pair = _listed(given)
                if len(pair) != 2:
                    raise QueryError(f"{where} takes a list of two values.", Problem.VALUE)
                return Comparison(
                    field, check, tuple(self._value(field, each, where) for each in pair), is_negated
                )
            case Operand.LIST:
                return self._in(field, given, where, is_negated=is_negated)

    def _in(self, field: Field, given: Any, where: str, *, is_negated: bool) -> Condition:
        members = _listed(given)
        self.spent.values += len(members)
        if not members:
            raise QueryError(f"{where} takes a list of values, and not an empty one.", Problem.VALUE)
        if self.spent.values > MAX_VALUES:
            raise _too_large(f"of more than {MAX_VALUES} values in lists")
        operands = tuple_of(self._value(field, each, where, in_list=True) for each in members)
        return Comparison(field, Check.IN, operands, is_negated)

    def _value(
        self, field: Field, given: Any, where: str, *, in_list: bool = False
    ) -> Value | UserValue | Now:
        if isinstance(given, str) and not given:
            raise QueryError(f'{where} takes no empty text; use "_empty" or "_nempty".', Problem.VALUE)
        if _is_null(given):
            raise QueryError(f'{where} takes no null; use "_null" or "_nnull".', Problem.VALUE)
        try:
            variable = variable_in(given) if isinstance(given, str) else None
            if isinstance(variable, UserValue):
                return self._of_user(variable, where, in_list=in_list)
            if isinstance(variable, Now):
                if field.kind not in {Kind.DATETIME, Kind.DATE}:
                    raise ValueError(f"a value of kind {field.kind}, not a moment")
                return variable
            return value_from_filter(field.kind, given)
        except ValueError as error:
            raise QueryError(f"{where} takes {error}, not {shown(given)}.", Problem.VALUE) from None

    def _of_user(self, variable: UserValue, where: str, *, in_list: bool) -> UserValue:
        if variable.name not in self.variables:
            raise QueryError(f"{where}: there is no variable {shown(variable.name)}.", Problem.VALUE)
        if is_list(variable.name) and not in_list:
            raise QueryError(f"{where} takes one value, and {variable.name} is a list.", Problem.VALUE)
        return variable


def _is_about_field(name: Any) -> bool:
    return name in OPERATORS or name in _LOGICAL


def _is_null(given: Any) -> bool:
    return given is None or given == "null"


def _listed(given: Any) -> list[Any]:
    """A list, or a text with commas; one variable is a list of one."""
    if isinstance(given, str):
        return [member.strip() for member in given.split(",")] if given.strip() else []
    return list(given) if isinstance(given, list | tuple) else []
