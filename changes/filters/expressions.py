"""Conditions and sorts in Django's querysets."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.db.models import BooleanField, Expression, OrderBy, TextField

from changes.filters.conditions import Condition
from changes.filters.sorting import Sort, SortKey, sorted_by
from changes.filters.sql import where
from changes.filters.vendors import Sql


class _AboutTable(Expression):
    """SQL about the first table of a query, whatever alias it has there."""

    def sql(self, vendor: str, alias: str) -> Sql:
        """The expression for a table of this alias."""
        raise NotImplementedError

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        """What Django asks of an expression."""
        # Django writes an alias of its own, U0, without quotes.
        alias = compiler.quote_name_unless_alias(compiler.query.get_initial_alias())
        sql = self.sql(connection.vendor, alias)
        return sql.text, sql.parameters


class Matching(_AboutTable):
    """A bound condition: `Article.objects.filter(Matching(condition))`."""

    def __init__(self, condition: Condition, now: dt.datetime | None = None) -> None:
        super().__init__(output_field=BooleanField())
        self.condition = condition
        self.now = now

    def sql(self, vendor: str, alias: str) -> Sql:
        """The condition as a text of SQL."""
        return where(self.condition, vendor=vendor, alias=alias, now=self.now)


class _SortedBy(_AboutTable):
    """What one key of a sort orders by."""

    def __init__(self, key: SortKey, now: dt.datetime | None = None) -> None:
        super().__init__(output_field=TextField())
        self.key = key
        self.now = now

    def sql(self, vendor: str, alias: str) -> Sql:
        """The column, guarded."""
        return sorted_by(self.key, vendor=vendor, alias=alias, now=self.now)


def ordering(sort: Sort, now: dt.datetime | None = None) -> list[OrderBy]:
    """A sort for `QuerySet.order_by`."""
    return [
        OrderBy(
            _SortedBy(key, now),
            descending=key.is_descending,
            nulls_first=key.is_descending or None,
            nulls_last=not key.is_descending or None,
        )
        for key in sort
    ]
