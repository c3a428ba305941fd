"""The collections of the demo: its tables, under the names of the guides, and who may do what with them."""

from __future__ import annotations

from typing import Any

from changes import ALL_FIELDS, allow, anybody, signed_in, watch
from demo.models import Article, Comment, Mood, Order, Post, Product, WallMessage
from demo.people import READER


def reader(user: Any) -> bool:
    """The user `reader`."""
    return user is not None and user.username == READER.username


def others(user: Any) -> bool:
    """Every user but `reader`."""
    return user is not None and user.username != READER.username


published = allow("read", to=reader, rows={"status": "published"}, fields=["id", "title", "status"])

watch(Article, name="articles", fields=ALL_FIELDS, rights=[published])
watch(
    WallMessage,
    name="messages",
    fields=ALL_FIELDS,
    rights=[allow("read", to=signed_in), allow("create", to=others)],
)
watch(Order, name="orders", fields=ALL_FIELDS, rights=[allow("read", "create", to=others)])
watch(Post, name="posts", fields=ALL_FIELDS, rights=[allow("read", "create", to=others)])
watch(
    Comment, name="comments", fields=ALL_FIELDS, rights=[allow("read", "create", to=others)], follows=["post"]
)
watch(Product, name="products", fields=ALL_FIELDS)
watch(
    Mood,
    name="humeur",
    fields=ALL_FIELDS,
    rights=[allow("read", to=anybody), allow("create", "update", "delete", to=signed_in)],
)
