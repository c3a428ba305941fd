"""The accounts' parts of exporting and forgetting a user: profile, sessions, credentials."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db.models import QuerySet
from rest_framework_simplejwt.token_blacklist.models import OutstandingToken

from accounts.leaving import BATCH, Row, exported, forgotten
from accounts.models import Forgetting, Session, Ticket, User
from accounts.services import SWITCHES

_PROFILE = ("username", "email", "first_name", "last_name", "language", *SWITCHES)
_ACCOUNT = ("date_joined", "last_login", "is_active", "is_staff", "is_superuser")


@exported("profile")
def profile(user: User) -> Iterator[Row]:
    """Export the profile as one row: what the user entered, and what the site set."""
    yield from User.objects.filter(pk=user.pk).values("id", *_PROFILE, *_ACCOUNT)


@exported("sessions")
def sessions(user: User) -> Iterator[Row]:
    """Export the sessions, without tokens or passwords."""
    rows = Session.objects.filter(user=user).order_by("created_at")
    yield from rows.values(
        "id", "created_at", "last_used_at", "revoked_at", "user_agent", "address"
    ).iterator(BATCH)


@forgotten("sessions, tickets and used-up tokens were deleted")
def credentials(person: Forgetting) -> int:
    """Delete the user's credentials, which are all revoked already."""
    return sum(
        delete_in_batches(rows)
        for rows in (
            Ticket.objects.filter(user=person.user_id),
            OutstandingToken.objects.filter(user=person.user_id),
            Session.objects.filter(user=person.user_id),
        )
    )


@forgotten("lines of the admin's history were renamed")
def admin_history(person: Forgetting) -> int:
    """Keep what staff did to the account in the admin's history, without the user's name."""
    kind = ContentType.objects.get_for_model(User)
    lines = LogEntry.objects.filter(content_type=kind, object_id=str(person.user_id))
    return lines.exclude(object_repr=person.user.username).update(object_repr=person.user.username)


def delete_in_batches(rows: QuerySet[Any]) -> int:
    """Delete rows in short transactions; returns how many there were."""
    deleted = 0
    while batch := list(rows.order_by("pk").values_list("pk", flat=True)[:BATCH]):
        rows.filter(pk__in=batch).delete()
        deleted += len(batch)
    return deleted
