"""Creating, updating and deleting rows for a user: all rows of a call, or none."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from django.db import DataError, connection

from changes.filters import ALWAYS, Condition, all_of
from changes.filters.values import Value
from changes.items import given_rows
from changes.items.errors import InvalidRowError, ProblemKind, RowNotFoundError, RowProblem
from changes.items.given_rows import MAX_ROWS, GivenRow
from changes.items.given_values import size_of
from changes.items.instances import ModelRows
from changes.items.refusals import Attempt, refusals
from changes.items.tables import TableRows
from changes.items.target import Target, target
from changes.rights import Action
from realtime import announcing, remaining, time_budget

#: A row as a client gives it: values by the names of fields.
JsonRow = Mapping[str, Any]


def create(user: Any, name: str, values: JsonRow | Sequence[JsonRow]) -> list[Value]:
    """Create one row or several in the collection of that name; returns their keys."""
    of = target(Action.CREATE, name, user)
    rows = [GivenRow(number, given) for number, given in enumerate(given_rows.listed(values))]
    attempt, store = _writing(of, Action.CREATE)
    problems = given_rows.convert(of, rows, store)
    attempt.are_several = len(rows) > 1
    with _transaction(attempt):
        _refuse(store.check(rows, problems))
        for row, key in zip(rows, store.create(rows), strict=True):
            row.key = key
        _require(of, rows)
    return [row.key for row in rows]


def update(
    user: Any, name: str, values: JsonRow, *, keys: Iterable[Any] | None = None, matching: Any = None
) -> list[Value]:
    """Write the same values to several rows; returns their keys.

    The rows are those of `keys`, or those that are `matching` a filter: one as a client writes it, or a bound
    condition.
    """
    of = target(Action.UPDATE, name, user)
    attempt, store = _writing(of, Action.UPDATE)
    row = GivenRow(0, _without_key(of, *given_rows.listed([values])))
    _refuse(given_rows.convert(of, [row], store))
    with _transaction(attempt):
        found = _locked(of, of.rule(row.given), keys, matching)
        given_rows.bound(len(found), len(found) * size_of(row.given))
        attempt.are_several = len(found) > 1
        rows = [GivenRow(number, row.given, row.values, key) for number, key in enumerate(found)]
        _refuse([problem for key in found for problem in _moved(of, values, key)][:1])
        _update(of, store, rows)
    return found


def update_each(user: Any, name: str, values: Sequence[JsonRow]) -> list[Value]:
    """Write to each row the values that are given together with its key; returns the keys."""
    of = target(Action.UPDATE, name, user)
    attempt, store = _writing(of, Action.UPDATE)
    rows = [_with_key(of, number, given) for number, given in enumerate(given_rows.listed(values))]
    _refuse(given_rows.convert(of, rows, store))
    attempt.are_several = len(rows) > 1
    with _transaction(attempt):
        _locked(of, of.rule(), [row.key for row in rows], None, are_keys=True)
        for rule, some in _by_rule(of, rows).items():
            _all_there(of.matching(rule, some), some)
        _update(of, store, rows)
    return list(dict.fromkeys(row.key for row in rows))


def delete(user: Any, name: str, *, keys: Iterable[Any] | None = None, matching: Any = None) -> list[Value]:
    """Delete the rows of these keys, or those that are `matching` a filter; returns their keys."""
    of = target(Action.DELETE, name, user)
    attempt, store = _writing(of, Action.DELETE)
    with _transaction(attempt):
        found = _locked(of, of.rule(), keys, matching, for_delete=True)
        if found:
            store.delete(found)
    return found


# ── the parts of a call ──────────────────────────────────────────────────────────────────────────────────


def _writing(of: Target, action: Action) -> tuple[Attempt, ModelRows | TableRows]:
    attempt = Attempt(of, is_deletion=action is Action.DELETE)
    model = of.opened.collection.model
    return attempt, TableRows(of, attempt) if model is None else ModelRows(of, attempt, model)


@contextmanager
def _transaction(attempt: Attempt) -> Iterator[None]:
    """All of the block or nothing, in the time that the caller has; what is refused is an InvalidRowError."""
    with refusals(attempt), announcing():
        left = remaining()
        if left is not None and connection.vendor == "postgresql":
            # The server must give up before the connection is: one that waits for a lock would not notice.
            patience = max(time_budget.LOCK_MARGIN_SECONDS, left - time_budget.LOCK_MARGIN_SECONDS)
            with connection.cursor() as cursor:
                cursor.execute("SELECT set_config('lock_timeout', %s, true)", [f"{patience:g}s"])
        yield
        if attempt.are_several:  # some constraints are looked at when it is committed
            attempt.row = None


def _refuse(problems: Sequence[RowProblem]) -> None:
    if problems:
        raise InvalidRowError(problems)


def _locked(
    of: Target,
    rule: Condition,
    keys: Iterable[Any] | None,
    matching: Any,
    *,
    are_keys: bool = False,
    for_delete: bool = False,
) -> list[Value]:
    """Lock the rows that are meant, if the rule holds for them; RowNotFoundError, if a key is left over."""
    if keys is None:
        if matching is None:
            raise TypeError("which rows? They have keys, or match a filter")
        matched = of.lock(all_of(rule, of.filtered(matching)), limit=MAX_ROWS + 1, for_delete=for_delete)
        given_rows.bound(len(matched))
        return matched
    given = list(keys)
    given_rows.bound(len(given))
    wanted = list(dict.fromkeys(given if are_keys else map(of.key, given)))
    readable = all_of(rule, of.readable.rows)
    found: list[Value] = []
    for some in of.have(sorted(wanted, key=repr)):
        try:
            found += of.lock(all_of(readable, some), limit=MAX_ROWS, for_delete=for_delete)
        except DataError:  # PostgreSQL knows more of a type than a filter does
            raise RowNotFoundError from None
    _all_there(found, wanted)
    return wanted


def _all_there(found: Iterable[Value], wanted: Iterable[Value]) -> None:
    if not set(found) >= set(wanted):
        raise RowNotFoundError


def _update(of: Target, store: ModelRows | TableRows, rows: Sequence[GivenRow]) -> None:
    """Write to rows that are locked."""
    store.load([row.key for row in rows])
    problems = store.check(rows)
    _refuse([problem for problem in problems if problem.row == problems[0].row])
    store.update(rows)
    _require(of, rows)


def _require(of: Target, rows: Sequence[GivenRow]) -> None:
    """The rows as they are now have to be the writer's to write, with the fields that were given."""
    for rule, keys in _by_rule(of, rows).items():
        if rule != ALWAYS or None in keys:
            of.require(rule, keys)


def _by_rule(of: Target, rows: Iterable[GivenRow]) -> dict[Condition, list[Value]]:
    """The keys of rows by the condition under which their fields may be written: mostly there is one."""
    rules: dict[frozenset[str], Condition] = {}
    keys: dict[Condition, list[Value]] = {}
    for row in rows:
        names = frozenset(row.given)
        rule = rules[names] = rules[names] if names in rules else of.rule(names)
        keys.setdefault(rule, []).append(row.key)
    return keys


# ── keys among values ────────────────────────────────────────────────────────────────────────────────────


def _without_key(of: Target, values: JsonRow) -> JsonRow:
    """The values of an update. Clients send rows whole; a key among them is compared, never written."""
    return {name: value for name, value in values.items() if name not in of.table.key}


def _moved(of: Target, values: JsonRow, key: Value) -> Iterator[RowProblem]:
    """Parts of a key among the values that are not the row's own."""
    parts = dict(zip(of.table.key, key if len(of.table.key) > 1 else [key], strict=True))
    for name in of.table.key:
        if name in values and not of.is_key_part(name, values[name], parts[name]):
            yield RowProblem(
                ProblemKind.VALUE, f"{name} is the key, which no update changes.", name, values[name]
            )


def _with_key(of: Target, number: int, given: JsonRow) -> GivenRow:
    if missing := [name for name in of.table.key if given.get(name) is None]:
        message = f"{missing[0]} is required."
        raise InvalidRowError(
            [RowProblem(ProblemKind.RULE, message, missing[0], rule="required", row=number)]
        )
    key = of.key(given if len(of.table.key) > 1 else given[of.table.key[0]])
    return GivenRow(number, _without_key(of, given), key=key)
