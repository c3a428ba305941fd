"""Queries about accounts."""

from __future__ import annotations

from django.db.models import PROTECT, Exists, ManyToOneRel, OuterRef, Q, QuerySet, Value
from django.db.models.functions import Lower

from accounts import handles
from accounts.models import Session, User
from realtime import counted_address

MAX_SESSIONS_LISTED = 100  # nobody reads a longer list of devices


def _answering_to(name: str) -> QuerySet[User]:
    # Both sides are lowered by the database, whose idea of "É" decides the unique constraints too.
    lowered = Lower(Value(name))
    people = User.objects.alias(lower_username=Lower("username"), lower_email=Lower("email"))
    return people.filter(Q(lower_username=lowered) | Q(lower_email=lowered))


def user_named(name: str) -> User | None:
    """The user with this username or e-mail; a username wins over an e-mail."""
    name = User.normalize_username(name)
    found = sorted(_answering_to(name), key=lambda user: user.username.lower() != name.lower())
    return found[0] if found else None


def is_taken(name: str, *, by_other_than: User | None = None) -> bool:
    """Whether another user has this username or e-mail, or one that looks like it.

    The two share one space: a username that is another's e-mail would sign in the wrong person.
    """
    return handles.is_taken(name, by_other_than=None if by_other_than is None else by_other_than.pk)


def has_signed_in_from(user_id: int | None, address: str) -> bool:
    """Whether a session of this user was opened from this address, as limits count addresses."""
    # Asked for unknown users too: nothing, not even the number of queries, may show whether a user exists.
    sessions = Session.objects.filter(user_id=user_id or 0).order_by("-last_used_at")
    known = sessions.values_list("address", flat=True)[:MAX_SESSIONS_LISTED]
    return address in {counted_address({"client": (each,)}) for each in known}


def live_sessions(user: User) -> QuerySet[Session]:
    """The devices this user is signed in on, the last used first."""
    return Session.objects.filter(user=user, revoked_at=None).order_by("-last_used_at")[:MAX_SESSIONS_LISTED]


def kept_by_others(users: QuerySet[User]) -> QuerySet[User]:
    """The users among some whom rows of others refer to: they cannot be deleted, only forgotten."""
    kept = Q()
    for relation in User._meta.get_fields(include_hidden=True):  # noqa: SLF001 - documented, in spite of its name
        if isinstance(relation, ManyToOneRel) and relation.on_delete is PROTECT:
            rows = relation.related_model._base_manager.filter(  # noqa: SLF001
                **{relation.field.name: OuterRef("pk")}
            )
            kept |= Q(Exists(rows))
    return users.filter(kept) if kept else users.none()
