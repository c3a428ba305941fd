"""Members of queries that say how many rows are meant, typed or as texts, as in an address."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from changes.filters import Page, QueryError, parse_page
from directus.defaults import conf
from directus.errors import InvalidQueryError

#: Rows of an answer that asks for all of them: so many fit into memory beside those of others.
MOST_ROWS = 10_000


def page_of(query: Mapping[str, Any]) -> Page:
    """The part of the rows that a query asks for."""
    most = min(conf.query_limit_max or MOST_ROWS, MOST_ROWS)
    try:
        return parse_page(
            limit=query.get("limit"),
            offset=query.get("offset"),
            page=query.get("page"),
            default=conf.query_limit_default,
            maximum=most,
        )
    except QueryError as error:
        raise InvalidQueryError(error.message) from None


def counts_in(given: Any) -> tuple[str, ...]:
    """The counts that `meta` names: `*`, a text with commas, or a list."""
    names = given.split(",") if isinstance(given, str) else given if isinstance(given, list) else []
    wanted = {name.strip() for name in names if isinstance(name, str)}
    known = ("total_count", "filter_count")
    return known if "*" in wanted else tuple(name for name in known if name in wanted)
