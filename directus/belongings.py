"""The dialect's part of exporting and forgetting a user: the static token."""

from __future__ import annotations

from collections.abc import Iterator

from accounts.leaving import Row, exported, forgotten
from accounts.models import Forgetting, User
from directus.models import StaticToken


@exported("static_tokens")
def static_tokens(user: User) -> Iterator[Row]:
    """Export when the static token was set; the token itself is not stored."""
    yield from StaticToken.objects.filter(user=user).values("created_at")


@forgotten("static tokens were deleted")
def credentials(person: Forgetting) -> int:
    """Delete the static token, which opens nothing any more."""
    found = StaticToken.objects.filter(user=person.user_id)
    count = found.count()
    found.delete()
    return count
