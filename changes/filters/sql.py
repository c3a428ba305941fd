"""Conditions as SQL, for PostgreSQL and for SQLite: the rows it selects are those that match in memory.

What the two databases do differently is said explicitly, so that they agree: text is searched case by case
also on SQLite, is ordered by the code points also on PostgreSQL, and NULLs are last.

    where(condition, vendor="postgresql", alias="t")  →  Sql('"t"."status"::text = %s', ("draft",))
    Article.objects.filter(Matching(condition))     (`expressions`)
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from changes.filters.conditions import AllOf, Comparison, Condition, Field, Related
from changes.filters.folding import fold
from changes.filters.matching import FOLDED, value_at
from changes.filters.operators import Check
from changes.filters.values import Kind
from changes.filters.variables import UserValue
from changes.filters.vendors import VENDORS, Sql, Vendor, column_of, quoted


def where(condition: Condition, *, vendor: str, alias: str, now: dt.datetime | None = None) -> Sql:
    """A bound condition as the text of a WHERE clause; the alias is the table's, as SQL writes it."""
    return _Writer(VENDORS[vendor], alias, now or dt.datetime.now(dt.UTC)).condition(condition)


_SIGNS = {
    Check.LESS: "<",
    Check.LESS_OR_EQUAL: "<=",
    Check.GREATER: ">",
    Check.GREATER_OR_EQUAL: ">=",
}


class _Writer:
    """Writes conditions about one table at one moment."""

    def __init__(self, vendor: Vendor, alias: str, now: dt.datetime, depth: int = 0) -> None:
        self.vendor = vendor
        self.alias = alias
        self.now = now
        #: How many relations were followed to come here.
        self.depth = depth

    def condition(self, condition: Condition) -> Sql:
        """A condition, in brackets where it has parts."""
        if isinstance(condition, Comparison):
            return self._comparison(condition)
        if isinstance(condition, Related):
            return self._related(condition)
        if not condition.parts:
            return Sql("1 = 1" if isinstance(condition, AllOf) else "1 = 0")
        word = " AND " if isinstance(condition, AllOf) else " OR "
        return _joined(word, map(self.condition, condition.parts)).within("(", ")")

    def _related(self, condition: Related) -> Sql:
        relation, alias = condition.relation, f"related_{self.depth + 1}"
        inner = _Writer(self.vendor, alias, self.now, self.depth + 1).condition(condition.part)
        joined = f"{column_of(relation.to, alias)} = {column_of(relation.column, self.alias)}"
        rows = f"FROM {quoted(relation.table.stored_as)} AS {alias} WHERE {joined} AND "
        return inner.within(f"{'NOT ' if condition.is_negated else ''}EXISTS (SELECT 1 {rows}", ")")

    def _comparison(self, comparison: Comparison) -> Sql:
        column = column_of(comparison.field.column, self.alias)
        match comparison.check:
            case Check.IS_NULL:
                holds = self._is_null(comparison.field, column)
            case Check.IS_EMPTY:
                holds = f"COALESCE({self.vendor.text(column)}, '') = ''"
            case _:
                # A negation of NULL is NULL, and selects nothing.
                checked = self._checked(comparison, self._left(comparison.field, column))
                return checked.within("NOT (", ")") if comparison.is_negated else checked
        return Sql(f"NOT ({holds})" if comparison.is_negated else holds)

    def _left(self, field: Field, column: str) -> str:
        if field.part:
            return self.vendor.part(column, field.column.kind, field.part)
        return self.vendor.text(column) if field.kind is Kind.TEXT else column

    def _is_null(self, field: Field, column: str) -> str:
        if field.part:
            return f"{self._left(field, column)} IS NULL"
        if field.kind is Kind.JSON:
            return self.vendor.is_null_json(column)
        return f"{column} IS NULL"

    def _checked(self, comparison: Comparison, left: str) -> Sql:
        field, check, operand = comparison.field, comparison.check, comparison.operand
        members = operand if isinstance(operand, tuple) else (operand,)
        if any(isinstance(member, UserValue) for member in members):
            raise ValueError("The condition is not bound to a user.")
        if check in FOLDED:
            needle = fold(operand)
            return self._found(check, self.vendor.folded(Sql(left), needle), needle)
        if check in {Check.CONTAINS, Check.STARTS_WITH, Check.ENDS_WITH, Check.LIKE}:
            return self._found(check, Sql(left), operand)
        values = [self.vendor.parameter(field.kind, value_at(each, field.kind, self.now)) for each in members]
        if check is Check.EQUAL:
            return Sql(f"{left} = %s", tuple(values))
        if check is Check.IN:
            marks = ", ".join(["%s"] * len(values))
            return Sql(f"{left} IN ({marks})", tuple(values)) if values else Sql(f"{left} <> {left}")
        ordered = left if field.part else self.vendor.ordered(left, field.kind)
        if check is Check.BETWEEN:
            return Sql(f"{ordered} BETWEEN %s AND %s", tuple(values))
        return Sql(f"{ordered} {_SIGNS[check]} %s", tuple(values))

    def _found(self, check: Check, text: Sql, needle: str) -> Sql:
        match check:
            case Check.CONTAINS | Check.CONTAINS_LETTERS:
                return self.vendor.contains(text, needle)
            case Check.STARTS_WITH | Check.STARTS_WITH_LETTERS:
                return self.vendor.starts_with(text, needle)
            case Check.ENDS_WITH | Check.ENDS_WITH_LETTERS:
                return self.vendor.ends_with(text, needle)
            case Check.LIKE | Check.LIKE_LETTERS:
                return self.vendor.like(text, needle)
        return text.then(" = %s", needle)


def _joined(word: str, parts: Iterable[Sql]) -> Sql:
    listed = list(parts)
    return Sql(
        word.join(part.text for part in listed),
        tuple(parameter for part in listed for parameter in part.parameters),
    )
