"""Articles are exported with their author, and nobody's once the author is forgotten."""

from __future__ import annotations

import pytest

from accounts.forgetting import forget
from accounts.leaving import sections
from demo.models import Article
from tests.factories import make_user

pytestmark = pytest.mark.django_db(transaction=True)


def test_articles_are_exported_and_then_forgotten_with_their_author():
    fritz, ana = make_user("fritz"), make_user("ana")
    Article.objects.create(title="Mine", author=fritz)
    Article.objects.create(title="Another's", author=ana)
    [articles] = [section.rows for section in sections() if section.name == "articles"]

    assert [row["title"] for row in articles(fritz)] == ["Mine"]
    for _ in forget(fritz, deletes_messages=False):
        pass
    assert dict(Article.objects.values_list("title", "author")) == {"Mine": None, "Another's": ana.pk}
