"""The collections of the demo: its tables, under the names of the guides, and who may read them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from changes import ALL_FIELDS, Reading, watch
from demo.models import Article, Comment, Mood, Order, Post, Product, WallMessage
from demo.people import READER


@dataclass(frozen=True, slots=True)
class FieldIs:
    """The rows of which a field has one value."""

    field: str
    value: Any

    def matches(self, row: Mapping[str, Any]) -> bool:
        return bool(row.get(self.field) == self.value)


def signed_in(user: Any) -> Reading | None:
    """Everything, for any user but the reader of published articles."""
    return Reading() if user is not None and user.username != READER.username else None


def reader(user: Any) -> Reading | None:
    """What is published, for the user `reader`."""
    if user is None or user.username != READER.username:
        return None
    return Reading(frozenset({"id", "title", "status"}), FieldIs("status", "published"))


def every_user(user: Any) -> Reading | None:
    """Everything, for any user."""
    return Reading() if user is not None else None


def everybody(user: Any) -> Reading:
    """Everything, for anybody."""
    return Reading()


watch(Article, name="articles", fields=ALL_FIELDS, readable=reader)
watch(WallMessage, name="messages", fields=ALL_FIELDS, readable=every_user)
watch(Order, name="orders", fields=ALL_FIELDS, readable=signed_in)
watch(Post, name="posts", fields=ALL_FIELDS, readable=signed_in)
watch(Comment, name="comments", fields=ALL_FIELDS, readable=signed_in)
watch(Product, name="products", fields=ALL_FIELDS)
watch(Mood, name="humeur", fields=ALL_FIELDS, readable=everybody)
