"""Examines groups: each has an owner who can sign in."""

from __future__ import annotations

from collections.abc import Iterator

from chat.models import Conversation
from chat.selectors import without_owner
from doctor.examinations import Finding, examination
from realtime import id_ranges


@examination(
    remedy="In `manage.py shell`: `from chat.services import ensure_owners; ensure_owners([CONVERSATION])`. "
    "It announces the heir. Switch users off by the admin or `User.save`, not by `QuerySet.update`."
)
def owners() -> Iterator[Finding]:
    """A group with a member who can sign in has an owner who can."""
    for above, up_to in id_ranges(Conversation.objects.filter(kind=Conversation.Kind.GROUP)):
        orphans = without_owner(Conversation.objects.filter(pk__gt=above, pk__lte=up_to))
        for conversation_id, _heir in orphans:
            yield Finding(
                "nobody active owns a group",
                {"conversation": conversation_id},
                "an owner who can sign in",
                "none",
            )
