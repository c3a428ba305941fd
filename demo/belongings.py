"""A user's rows of the demo, for export and forgetting: the articles that they wrote."""

from __future__ import annotations

from collections.abc import Iterator

from accounts.leaving import BATCH, Row, exported, forgotten
from accounts.models import Forgetting, User
from demo.models import Article


@exported("articles")
def articles(user: User) -> Iterator[Row]:
    """Export what they wrote."""
    yield from (
        Article.objects.filter(author=user).order_by("pk").values("id", "title", "status").iterator(BATCH)
    )


@forgotten("articles lost their author")
def authors(person: Forgetting) -> int:
    """Articles stay, and are nobody's."""
    return Article.objects.filter(author=person.user_id).update(author=None)
