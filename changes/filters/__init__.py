"""Filters, rights and sorts of rows as values, evaluated alike in memory and by both databases.

    published = policy(ARTICLES, rows={"status": {"_eq": "published"}}, fields=["id", "title", "status"])
    rights = readable([published], {"$CURRENT_USER": 7})
    seen = view(ARTICLES, rights, {"filter": {"title": {"_icontains": "été"}}, "sort": "-id"})

    seen.sees(old_row, new_row, now)              # None, or what this watcher is told of the change
    Article.objects.filter(Matching(seen.rows))   # the same rows from the database

Nothing here knows sockets, models or the log; only `shaped` knows the shapes of tables. The reference for
clients is `docs/filters.md`.
"""

from changes.filters.conditions import (
    ALWAYS,
    NEVER,
    AllOf,
    AnyOf,
    Comparison,
    Condition,
    Field,
    Needs,
    Related,
    all_of,
    any_of,
    bound,
    depends_on_time,
)
from changes.filters.errors import Problem, QueryError
from changes.filters.expressions import Matching, ordering
from changes.filters.matching import matcher, matches
from changes.filters.operators import OPERATORS, Check
from changes.filters.parsing import USER_VARIABLES, parse_filter
from changes.filters.policies import policy
from changes.filters.queries import Page, parse_fields, parse_page, parse_search, parse_sort
from changes.filters.related import attach
from changes.filters.rights import Policy, Readable, everything, readable
from changes.filters.shaped import table_of
from changes.filters.sorting import Sort, SortKey, order_by, sorted_rows
from changes.filters.sql import where
from changes.filters.tables import Column, Relation, Row, Table
from changes.filters.values import Kind
from changes.filters.vendors import Sql
from changes.filters.views import ENCODER, Seen, Sight, View, view

__all__ = [
    "ALWAYS",
    "ENCODER",
    "NEVER",
    "OPERATORS",
    "USER_VARIABLES",
    "AllOf",
    "AnyOf",
    "Check",
    "Column",
    "Comparison",
    "Condition",
    "Field",
    "Kind",
    "Matching",
    "Needs",
    "Page",
    "Policy",
    "Problem",
    "QueryError",
    "Readable",
    "Related",
    "Relation",
    "Row",
    "Seen",
    "Sight",
    "Sort",
    "SortKey",
    "Sql",
    "Table",
    "View",
    "all_of",
    "any_of",
    "attach",
    "bound",
    "depends_on_time",
    "everything",
    "matcher",
    "matches",
    "order_by",
    "ordering",
    "parse_fields",
    "parse_filter",
    "parse_page",
    "parse_search",
    "parse_sort",
    "policy",
    "readable",
    "sorted_rows",
    "table_of",
    "view",
    "where",
]
