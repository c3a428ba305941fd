"""The first rows of the demo's collections."""

from __future__ import annotations

import datetime as dt
import uuid
from decimal import Decimal

from accounts.models import User
from demo.models import Article, Comment, Mood, Order, Post, Product, WallMessage

_MOMENT = dt.datetime(2025, 12, 9, 10, 30, tzinfo=dt.UTC)
_GREETING = uuid.UUID("5f0f6e0a-0000-4000-8000-000000000001")


def first_rows(author: User) -> list[str]:
    """Fill each collection that is empty; returns what they hold."""
    tables = (Article, Post, Comment, Product, Order, WallMessage, Mood)
    empty = [table for table in tables if not table._base_manager.exists()]  # noqa: SLF001 - Django's documented name
    for row in _rows(author):
        if type(row) in empty:
            row.save(force_insert=True)
    return [str(table._meta.verbose_name_plural) for table in empty]  # noqa: SLF001 - the same


def _rows(author: User) -> list[Article | Post | Comment | Product | Order | WallMessage | Mood]:
    return [
        Article(title="Hello, world", status="published", author=author),
        Article(title="Not finished", author=author),
        Post(title="A first post", content="It changes while you look."),
        Comment(content="It does."),
        Product(name="Lamp", price=Decimal("49.90")),
        Product(name="Chair", price=Decimal("120.00")),
        Order(customer_name="Ana", total=Decimal("49.90")),
        WallMessage(id=_GREETING, content="Bonjour", user_id="ana", timestamp=_MOMENT),
        Mood(nom="Bruno", emoji="🙂", created_at=_MOMENT),
    ]
