"""A table of articles and one of their authors, as an app would declare them."""

from __future__ import annotations

import datetime as dt
from typing import Any

from changes.filters import Column, Kind, Relation, Table

AUTHORS = Table(
    "authors",
    (
        Column("id", Kind.INTEGER, is_nullable=False),
        Column("name", Kind.TEXT),
        Column("email", Kind.TEXT),
    ),
)
ARTICLES = Table(
    "articles",
    (
        Column("id", Kind.INTEGER, is_nullable=False),
        Column("title", Kind.TEXT),
        Column("status", Kind.TEXT),
        Column("author", Kind.INTEGER, db_column="author_id"),
        Column("price", Kind.DECIMAL),
        Column("score", Kind.NUMBER),
        Column("is_open", Kind.BOOLEAN),
        Column("created_at", Kind.DATETIME),
        Column("day", Kind.DATE),
        Column("opens", Kind.TIME),
        Column("token", Kind.UUID),
        Column("meta", Kind.JSON),
    ),
)
AUTHOR = Relation("author", ARTICLES.by_name["author"], AUTHORS, AUTHORS.by_name["id"])
WRITTEN = Relation("articles", AUTHORS.by_name["id"], ARTICLES, ARTICLES.by_name["author"], is_many=True)
ARTICLES.relations["author"] = AUTHOR
AUTHORS.relations["articles"] = WRITTEN

NOW = dt.datetime(2026, 12, 1, 12, 0, tzinfo=dt.UTC)


def article(**values: Any) -> dict[Any, Any]:
    """A published article of author 7, with these values."""
    usual = {"id": 1, "title": "Été", "status": "published", "author": 7}
    return ARTICLES.row_of(dict.fromkeys(ARTICLES.names) | usual | values)


def author(number: int, **values: Any) -> dict[Any, Any]:
    """An author of this number."""
    return AUTHORS.row_of({"id": number, "name": "Ana", "email": "ana@example.com"} | values)
