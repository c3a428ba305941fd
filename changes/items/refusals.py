"""What the database or an app refuses of a row, told as an error that a client can read.

A refusal names the constraint at best. Which field that means is looked up afterwards, when the transaction
is undone: only who is refused pays for it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.db import (
    DatabaseError,
    DataError,
    IntegrityError,
    OperationalError,
    ProgrammingError,
    connection,
    transaction,
)
from django.db.models import ProtectedError, RestrictedError

from changes.filters.vendors import quoted
from changes.items.errors import InvalidRowError, ProblemKind, RowNotAllowedError, RowProblem
from changes.items.given_rows import GivenRow
from changes.items.target import Target
from changes.shapes import Field, Kind, foreign_keys_of
from realtime import BusyError

RETRY_MS = 1_000


@dataclass
class Attempt:
    """A write under way: what is being written when the database refuses it."""

    target: Target
    is_deletion: bool = False
    #: Whether several rows are written: what the end of the transaction refuses may be any of them.
    are_several: bool = False
    row: GivenRow | None = None
    #: What stands in SQL for a value of a field, with `%s` for the parameter.
    expression: Callable[[Field], str] = lambda _field: "%s"
    parameter: Callable[[Field, Any], Any] = lambda _field, value: value

    def problem(self, kind: ProblemKind, message: str, name: str | None = None, rule: str = "") -> RowProblem:
        """A problem of the row that is being written. Its writer has to know the field."""
        if self.row is None:
            return RowProblem(kind, message, name, rule=rule)
        return self.row.problem(kind, message, name, rule)


@contextmanager
def refusals(attempt: Attempt) -> Iterator[None]:
    """Around a transaction: what is refused in it becomes an InvalidRowError."""
    try:
        yield
    except ValidationError as error:
        raise InvalidRowError(problems_of(error, attempt)) from error
    except (ProtectedError, RestrictedError) as error:
        raise InvalidRowError([_leading_here(attempt)]) from error
    except DatabaseError as error:
        problem = _OF_VENDOR[connection.vendor](error, attempt)
        if problem is None:
            raise
        raise InvalidRowError([problem]) from error


def problems_of(error: ValidationError, attempt: Attempt) -> list[RowProblem]:
    """What an app's validation says."""
    by_field = error.error_dict if hasattr(error, "error_dict") else {NON_FIELD_ERRORS: error.error_list}
    return [
        _said(name if name in attempt.target.known_fields else None, each, attempt)
        for name, errors in by_field.items()
        for each in errors
    ]


def _said(name: str | None, error: ValidationError, attempt: Attempt) -> RowProblem:
    said, code = " ".join(error.messages), error.code or "invalid"
    kind = _KIND_OF_CODE.get(code, ProblemKind.RULE)
    return attempt.problem(kind, f"{name}: {said}" if name else said, name, rule=code)


#: By the codes of Django's validators; any other is a rule.
_KIND_OF_CODE = {
    "null": ProblemKind.NOT_NULL,
    "unique": ProblemKind.NOT_UNIQUE,
    "unique_together": ProblemKind.NOT_UNIQUE,
    "max_length": ProblemKind.TOO_LONG,
    **dict.fromkeys(
        ("min_value", "max_value", "max_digits", "max_decimal_places", "max_whole_digits"),
        ProblemKind.OUT_OF_RANGE,
    ),
}


# ── what both databases refuse ───────────────────────────────────────────────────────────────────────────


def _leading_here(attempt: Attempt) -> RowProblem:
    return attempt.problem(ProblemKind.FOREIGN_KEY, "Other rows lead to this one.")


def _leading_nowhere(attempt: Attempt, fields: list[str]) -> RowProblem:
    name = _first(fields, attempt)
    return attempt.problem(ProblemKind.FOREIGN_KEY, f"{name or 'A field'} leads to no row.", name)


def _null(attempt: Attempt, fields: list[str]) -> RowProblem:
    name = _first(fields, attempt)
    if name is not None and attempt.row is not None and name not in attempt.row.given:
        return required(attempt, name)
    return attempt.problem(ProblemKind.NOT_NULL, f"{name or 'A field'} cannot be null.", name)


def required(attempt: Attempt, name: str) -> RowProblem:
    """The problem of a field that is not given, and has to be."""
    known = _first([name], attempt)
    return attempt.problem(ProblemKind.RULE, f"{known or 'A field'} is required.", known, rule="required")


def _not_unique(attempt: Attempt, fields: list[str]) -> RowProblem:
    known = [name for name in fields if name in attempt.target.known_fields]
    what = " and ".join(known) if known and len(known) == len(fields) else "value"
    return attempt.problem(ProblemKind.NOT_UNIQUE, f"Another row has this {what}.", _first(fields, attempt))


def _constraint(attempt: Attempt, name: str | None, fields: list[str]) -> RowProblem:
    """A check of the table; a model may have words for it."""
    message = None
    for constraint in _constraints(attempt):
        if constraint.name == name and constraint.violation_error_message:
            message = str(constraint.get_violation_error_message())
    field = _first(fields, attempt) if len(fields) == 1 else None
    return attempt.problem(
        ProblemKind.RULE, message or f"{field or 'The row'} is not what the table takes.", field, rule="check"
    )


def _constraints(attempt: Attempt) -> list[Any]:
    model = attempt.target.opened.collection.model
    return [] if model is None else list(model._meta.constraints)  # noqa: SLF001 - documented


def _first(fields: Iterable[str], attempt: Attempt) -> str | None:
    """The field that a problem of several is told of: one that was given, if there is."""
    known = [name for name in fields if name in attempt.target.known_fields]
    given = attempt.row.given if attempt.row is not None else {}
    return next((name for name in known if name in given), known[0] if known else None)


def _fields(columns: Iterable[str], attempt: Attempt) -> list[str]:
    """The fields of these columns; of one that is no field, the name of the column, which nobody is told."""
    by_column = {field.column: field.name for field in attempt.target.opened.shape.fields}
    return [by_column.get(column, "") for column in columns]


# ── PostgreSQL ───────────────────────────────────────────────────────────────────────────────────────────

_LOCK_NOT_AVAILABLE = "55P03"
#: By the row security of PostgreSQL, or a view; the first also says that a role may not write at all.
_CHECKED = {"42501", "44000"}
#: Said of values too: by types like `tsvector`, which have a syntax. That of our statements is right.
_SYNTAX_IN_VALUE = "42601"
_IS_PART = "SELECT to_regclass(%s) = to_regclass(%s) OR pg_partition_root(to_regclass(%s)) = to_regclass(%s)"
_COLUMNS_OF_CONSTRAINT = """
    SELECT a.attname FROM pg_attribute a
    WHERE a.attrelid = to_regclass(%s) AND a.attnum = ANY(coalesce(
        (SELECT conkey FROM pg_constraint WHERE conrelid = a.attrelid AND conname = %s),
        (SELECT indkey::int2[] FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
         WHERE i.indrelid = a.attrelid AND c.relname = %s)
    ))
    ORDER BY a.attnum
"""


def _of_postgresql(error: DatabaseError, attempt: Attempt) -> RowProblem | None:
    cause: Any = error.__cause__
    state: str = getattr(cause, "sqlstate", None) or ""
    diagnosis: Any = getattr(cause, "diag", None)
    if state == _LOCK_NOT_AVAILABLE:
        raise BusyError(retry_after_ms=RETRY_MS) from error
    if state in _CHECKED and getattr(diagnosis, "source_function", "") == "ExecWithCheckOptions":
        raise RowNotAllowedError from error
    if state == "P0001":  # a trigger that says why
        return attempt.problem(ProblemKind.RULE, diagnosis.message_primary, rule="trigger")
    if state[:2] == "23":
        return _integrity(state, diagnosis, attempt)
    if state[:2] in {"22", "54"} or state == _SYNTAX_IN_VALUE or isinstance(error, DataError):
        name = _at_fault(attempt)
        kind = _KIND_OF_STATE.get(state, ProblemKind.TOO_LONG if state[:2] == "54" else ProblemKind.VALUE)
        return attempt.problem(
            kind, f"{name or 'A field'} {_WORDS.get(kind, 'cannot hold this value')}.", name
        )
    return None


_KIND_OF_STATE = {
    "22001": ProblemKind.TOO_LONG,
    "22003": ProblemKind.OUT_OF_RANGE,
    "22008": ProblemKind.OUT_OF_RANGE,
}
_WORDS = {
    ProblemKind.TOO_LONG: "takes no value of this length",
    ProblemKind.OUT_OF_RANGE: "takes no value of this size",
}


def _integrity(state: str, diagnosis: Any, attempt: Attempt) -> RowProblem:
    is_ours, fields = False, []
    if diagnosis.table_name:
        refused_by = f"{quoted(diagnosis.schema_name)}.{quoted(diagnosis.table_name)}"
        with connection.cursor() as cursor:
            ours = quoted(attempt.target.table.stored_as)
            cursor.execute(_IS_PART, [refused_by, ours, refused_by, ours])
            is_ours = bool(cursor.fetchone()[0])
            if is_ours and diagnosis.column_name:
                fields = _fields([diagnosis.column_name], attempt)
            elif is_ours:
                name = diagnosis.constraint_name
                cursor.execute(_COLUMNS_OF_CONSTRAINT, [refused_by, name, name])
                fields = _fields([column for (column,) in cursor.fetchall()], attempt)
    if state == "23503":
        is_here = attempt.is_deletion or not is_ours
        return _leading_here(attempt) if is_here else _leading_nowhere(attempt, fields)
    if state in {"23505", "23P01"}:
        return _not_unique(attempt, fields)
    if state == "23502":
        return _null(attempt, fields)
    if not diagnosis.table_name and (name := _at_fault(attempt)):  # the check of a domain
        fields = [name]
    return _constraint(attempt, diagnosis.constraint_name, fields)


def _at_fault(attempt: Attempt) -> str | None:
    """The field whose value PostgreSQL does not take; its errors about values name none.

    It looks at most values when it plans an UPDATE, so nothing is written; at those of other types, and of
    domains, when it makes a row of JSON.
    """
    table, row = quoted(attempt.target.table.stored_as), attempt.row
    for name, value in row.values.items() if row is not None else ():
        field = attempt.target.fields[name]
        column = quoted(field.column)
        planned = f"EXPLAIN UPDATE {table} SET {column} = {attempt.expression(field)} WHERE false"  # noqa: S608 - quoted
        made = f"SELECT (jsonb_populate_record(NULL::{table}, %s::jsonb)).{column}"
        tried = [(planned, attempt.parameter(field, value))]
        if field.kind is not Kind.DURATION and row is not None:  # whose JSON only we read
            tried.append((made, json.dumps({field.column: row.given[name]})))
        if not all(_is_taken(*each) for each in tried):
            return name
    return None


def _is_taken(statement: str, parameter: Any) -> bool:
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement, [parameter])
    except (DataError, IntegrityError, OperationalError, ProgrammingError):
        return False
    return True


# ── SQLite ───────────────────────────────────────────────────────────────────────────────────────────────


def _of_sqlite(error: DatabaseError, attempt: Attempt) -> RowProblem | None:
    name, message = getattr(error.__cause__, "sqlite_errorname", ""), str(error)
    if name == "SQLITE_TOOBIG":
        return attempt.problem(ProblemKind.TOO_LONG, "A field takes no value of this length.")
    if not isinstance(error, IntegrityError):
        return None
    if "FOREIGN KEY" in message:  # also that of a trigger, which ON DELETE RESTRICT is
        return _foreign_key_of_sqlite(attempt)
    what = message.partition(": ")[2]
    if name in {"SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY", "SQLITE_CONSTRAINT_ROWID"}:
        return _not_unique(attempt, _named(what.split(", "), attempt))
    if name == "SQLITE_CONSTRAINT_NOTNULL":
        return _null(attempt, _named([what], attempt))
    if name == "SQLITE_CONSTRAINT_TRIGGER":
        return attempt.problem(ProblemKind.RULE, message, rule="trigger")
    if name in {"SQLITE_CONSTRAINT_DATATYPE", "SQLITE_MISMATCH"}:
        return attempt.problem(ProblemKind.VALUE, "A field cannot hold this value.")
    return _constraint(attempt, what, [])


def _named(columns: Iterable[str], attempt: Attempt) -> list[str]:
    """The fields that an error names with their table."""
    before = f"{attempt.target.table.stored_as}."
    return _fields((column.removeprefix(before) for column in columns), attempt)


def _foreign_key_of_sqlite(attempt: Attempt) -> RowProblem:
    """SQLite says no more than that there is one; so each is looked at."""
    row, table = attempt.row, attempt.target.table.stored_as
    if attempt.is_deletion:
        return _leading_here(attempt)
    if row is None:
        return _leading_nowhere(attempt, [])
    for column, (other, other_column) in foreign_keys_of(table).items():
        [name] = _fields([column], attempt)
        value = row.values.get(name)
        if value is None:
            continue
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT 1 FROM {quoted(other)} WHERE {quoted(other_column)} = %s", [value])  # noqa: S608 - quoted
            if cursor.fetchone() is None:
                return _leading_nowhere(attempt, [name])
    return _leading_here(attempt)


_OF_VENDOR = {"postgresql": _of_postgresql, "sqlite": _of_sqlite}
