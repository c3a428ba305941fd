"""Filters as Supabase writes them: `column=op.value` for changes, and parameters `column=op.value` for rows.

Both become conditions of `changes.filters`, which mean the same in memory and in both databases. A value that
is NULL satisfies no operator but `is` and `isdistinct`, negated or not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from changes.filters import (
    NEVER,
    Check,
    Column,
    Comparison,
    Condition,
    Field,
    Kind,
    Problem,
    QueryError,
    Readable,
    Table,
    all_of,
    any_of,
)
from changes.filters.asked import value_from_filter
from changes.filters.conditions import tuple_of
from changes.filters.patterns import MAX_PATTERN, matcher_of

#: Conditions of one filter, and values of one `in`.
MAX_CONDITIONS, MAX_VALUES = 50, 100

_ORDERED = {"lt": Check.LESS, "lte": Check.LESS_OR_EQUAL, "gt": Check.GREATER, "gte": Check.GREATER_OR_EQUAL}
_UNORDERED = frozenset({Kind.BOOLEAN, Kind.JSON, Kind.BYTES, Kind.OTHER, Kind.UUID})
_NO_VALUE = frozenset({Kind.JSON, Kind.BYTES, Kind.OTHER})
_IS = re.compile("null|true|false|unknown", re.IGNORECASE)
#: Operators that PostgREST knows and that are refused here: a pattern can take longer than all the rest.
_REFUSED = frozenset({"match", "imatch"})


def parse(text: str, table: Table, readable: Readable) -> Condition:
    """The filter of a subscription to changes: conditions with commas between them; all have to hold."""
    if not text.strip():
        return all_of()
    conditions = _pieces(text)
    if len(conditions) > MAX_CONDITIONS:
        raise QueryError(f"A filter has at most {MAX_CONDITIONS} conditions.", Problem.TOO_LARGE)
    return all_of(*(_condition(piece, table, readable) for piece in conditions))


def _condition(piece: str, table: Table, readable: Readable) -> Condition:
    name, equals, asked = piece.partition("=")
    if not equals:
        raise QueryError(f"Expected column=operator.value, not {piece[:40]!r}.", Problem.SHAPE)
    return compared(column_of(name.strip(), table, readable), asked, quoted=True)


def column_of(name: str, table: Table, readable: Readable) -> Column:
    """The column of this name in the database, if it may be named."""
    column = next((each for each in table.columns if each.stored_as == name), None)
    if column is None or column.name not in readable.fields:
        raise QueryError(f"column {table.name}.{name[:60]} does not exist", Problem.FIELD)
    return column


def compared(column: Column, asked: str, *, quoted: bool) -> Condition:
    """The condition that `operator.value`, perhaps with `not.` before it, asks of a column.

    `quoted`: a value in double quotes is what is between them.
    """
    is_negated = asked.startswith("not.")
    name, dot, value = asked.removeprefix("not.").partition(".")
    if not dot:
        raise QueryError(f"Expected operator.value, not {asked[:40]!r}.", Problem.SHAPE)
    if quoted and name != "in":
        value = _unquoted(value)
    return _compared(column, name, value, is_negated=is_negated)


def _compared(column: Column, name: str, value: str, *, is_negated: bool) -> Condition:
    field = Field(column)
    if name == "is":
        return _is(field, value, is_negated=is_negated)
    if name == "isdistinct":
        same = Comparison(field, Check.EQUAL, _value(column, value))
        null = Comparison(field, Check.IS_NULL)
        other = Comparison(field, Check.EQUAL, same.operand, is_negated=True)
        return same if is_negated else any_of(other, null)
    if name in ("eq", "neq"):
        return Comparison(field, Check.EQUAL, _value(column, value), is_negated is (name == "eq"))
    if name in _ORDERED:
        if column.kind in _UNORDERED:
            raise _unknown(name, column)
        return Comparison(field, _ORDERED[name], _value(column, value), is_negated)
    if name == "in":
        values = tuple_of(_value(column, each) for each in _listed(value))
        return Comparison(field, Check.IN, values, is_negated) if values else NEVER
    if name in ("like", "ilike"):
        if column.kind is not Kind.TEXT:
            raise _unknown(name, column)
        check = Check.LIKE if name == "like" else Check.LIKE_LETTERS
        return Comparison(field, check, _pattern(value), is_negated)
    raise _unknown(name, column)


def _is(field: Field, value: str, *, is_negated: bool) -> Condition:
    word = value.lower()
    if not _IS.fullmatch(word):
        raise QueryError("`is` takes null, true, false or unknown.", Problem.VALUE)
    if word in ("null", "unknown"):
        return Comparison(field, Check.IS_NULL, None, is_negated)
    if field.kind is not Kind.BOOLEAN:
        raise _unknown(f"is.{word}", field.column)
    holds = Comparison(field, Check.EQUAL, word == "true")
    if not is_negated:
        return holds
    return any_of(Comparison(field, Check.EQUAL, word != "true"), Comparison(field, Check.IS_NULL))


def _value(column: Column, text: str) -> Any:
    if column.kind in _NO_VALUE:
        raise _unknown("a comparison", column)
    try:
        return value_from_filter(column.kind, text)
    except ValueError as error:
        raise QueryError(f"{column.name} takes {error}, not {text[:40]!r}.", Problem.VALUE) from None


def _pattern(text: str) -> str:
    try:
        if len(text) > MAX_PATTERN:
            raise ValueError(f"a pattern of at most {MAX_PATTERN} characters")
        matcher_of(text)
    except ValueError as error:
        raise QueryError(f"like takes {error}.", Problem.VALUE) from None
    return text


def _unknown(name: str, column: Column) -> QueryError:
    if name in _REFUSED:
        return QueryError(f"The operator {name} is not supported: use like or ilike.", Problem.OPERATOR)
    return QueryError(f"There is no operator {name[:20]!r} for {column.name}.", Problem.OPERATOR)


# --- text ---------------------------------------------------------------------------------------------


def _pieces(text: str) -> list[str]:
    """The parts between commas; those in brackets and in double quotes do not separate."""
    return list(_split(text, opens_after=".(,"))


def _split(text: str, *, opens_after: str) -> Iterator[str]:
    piece: list[str] = []
    depth, is_quoted, before = 0, False, ","
    at = iter(text)
    for character in at:
        if is_quoted and character == "\\":
            piece += [character, next(at, "")]
            continue
        if character == '"' and (is_quoted or before in opens_after):
            is_quoted = not is_quoted
        elif not is_quoted:
            depth += (character == "(") - (character == ")")
            if character == "," and depth <= 0:
                yield "".join(piece)
                piece, before = [], ","
                continue
        piece.append(character)
        before = character
    if is_quoted:
        raise QueryError("A quote is opened and not closed.", Problem.SHAPE)
    yield "".join(piece)


def _listed(value: str) -> list[str]:
    """The values in `(a,"b,c",d)`."""
    if not (value.startswith("(") and value.endswith(")")):
        raise QueryError("`in` takes a list in brackets: in.(1,2)", Problem.VALUE)
    values = (
        [_unquoted(each.strip()) for each in _split(value[1:-1], opens_after=",( ")] if value[1:-1] else []
    )
    if len(values) > MAX_VALUES:
        raise QueryError(f"`in` takes at most {MAX_VALUES} values.", Problem.TOO_LARGE)
    return values


def _unquoted(text: str) -> str:
    """What is between double quotes, if it is wholly between them."""
    if len(text) < 2 or text[0] != '"' or text[-1] != '"':
        return text
    return re.sub(r"\\(.)", r"\1", text[1:-1], flags=re.DOTALL)
