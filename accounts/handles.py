"""Handles: the usernames and e-mails of all users, in one table with one unique key.

Signing in takes either, so no two users may share one, whichever of the two it is, nor have two that are
taken for each other (`names.py`). The database holds it, whoever writes at the same time. The table follows
`save()`, fixtures, and the `update()`, `bulk_create()` and `bulk_update()` of `User.objects`; what SQL writes
past them is found by `manage.py doctor`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from django.conf import settings
from django.contrib.auth.models import UserManager as DjangoUserManager
from django.db import models, transaction

from accounts.names import MAX_KEY_CHARACTERS, key_of

#: The fields of a user that are handles.
NAMED = frozenset({"username", "email"})
#: Users whose handles are written by one statement.
BATCH = 500


class Handle(models.Model):
    """One name of one user, as the unique key that no other user may have."""

    key = models.CharField(max_length=MAX_KEY_CHARACTERS)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    #: 0, or the id of a user who shared the name with another before handles existed.
    disputed = models.BigIntegerField(default=0, db_default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["key", "disputed"], name="accounts_handle_of_one_user")
        ]

    def __str__(self) -> str:
        return f"{self.key} of {self.user_id}"


def handles_of(username: str, email: str | None) -> set[str]:
    """The keys of one user: two, or one if the username is the e-mail."""
    return {key_of(name) for name in (username, email) if name}


def owner_of(name: str) -> int | None:
    """The id of the user who has this name, or one with the same key."""
    found = Handle.objects.filter(key=key_of(name)).order_by("disputed")
    return found.values_list("user_id", flat=True).first()


def is_taken(name: str, *, by_other_than: int | None = None) -> bool:
    """Whether another user has this name, or one with the same key."""
    found = Handle.objects.filter(key=key_of(name))
    return (found if by_other_than is None else found.exclude(user=by_other_than)).exists()


def follow(user_ids: Iterable[int], *, using: str) -> None:
    """Update the handles of users to their stored names, inside of the writer's transaction.

    Raises IntegrityError where one is somebody else's.
    """
    ids = sorted(user_ids)
    users = Handle.user.field.related_model._base_manager.using(using)  # noqa: SLF001 - documented
    handles = Handle.objects.using(using)
    for batch in (ids[start : start + BATCH] for start in range(0, len(ids), BATCH)):
        wanted = {
            (key, pk)
            for pk, *names in users.filter(pk__in=batch).values_list("pk", *sorted(NAMED, reverse=True))
            for key in handles_of(*names)
        }
        held = {(handle.key, handle.user_id): handle.pk for handle in handles.filter(user__in=batch)}
        stale = [pk for handle, pk in held.items() if handle not in wanted]
        if stale:
            handles.filter(pk__in=stale).delete()
        # In one order, so that two writers who want the same two handles do not deadlock.
        handles.bulk_create(Handle(key=key, user_id=pk) for key, pk in sorted(wanted - held.keys()))


class UserQuerySet(models.QuerySet[Any]):
    """A queryset of users; whatever writes names through it writes the handles too."""

    def update(self, **changes: Any) -> int:
        if NAMED.isdisjoint(changes):
            return super().update(**changes)
        with transaction.atomic(using=self.db):
            # Before the write: the filter may be on the names.
            ids = list(self.order_by().select_for_update(no_key=True).values_list("pk", flat=True))
            updated = super().update(**changes)
            follow(ids, using=self.db)
        return updated

    update.alters_data = True  # type: ignore[attr-defined]  # Django's note to templates

    def bulk_create(self, objs: Iterable[Any], *args: Any, **options: Any) -> list[Any]:
        with transaction.atomic(using=self.db):
            made = super().bulk_create(objs, *args, **options)
            follow(self._ids_of(made), using=self.db)
        return made

    def _ids_of(self, users: Sequence[Any]) -> Iterable[int]:
        """The ids of users that were written; the database returns none where conflicts were ignored."""
        unknown = [user.username for user in users if user.pk is None]
        yield from (user.pk for user in users if user.pk is not None)
        for start in range(0, len(unknown), BATCH):
            named = self.filter(username__in=unknown[start : start + BATCH])
            yield from named.values_list("pk", flat=True)


class UserManager(DjangoUserManager.from_queryset(UserQuerySet)):  # type: ignore[misc]  # a class made at run time
    """Django's manager of users, on `UserQuerySet`."""

    use_in_migrations = False
