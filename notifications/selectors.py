"""Selectors: questions about a user's inbox, and about the topics that their sockets may follow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from django.db.models import Q

from accounts.errors import UnknownUserError
from accounts.models import User
from notifications import rows
from notifications.models import Notification
from notifications.sources import Source, topics_for
from realtime import NO_NUMBERS, START, Position, log, positions, slice_of, user_topic


class Standing(NamedTuple):
    """The end of a user's own topic, and how many entries are unread there."""

    end: Position
    unread_count: int


def standing(user_id: int) -> Standing:
    """The standing of a user, read in one statement so that both parts belong together."""
    own = user_topic(user_id)
    found = rows.standing(user_id, own)
    if found is None:
        return Standing(START, 0)
    head, stored_at, unread_count = found
    return Standing(positions.at(own, head, stored_at), unread_count)


def unread_count(user_id: int) -> int:
    """The number of a user's unread entries."""
    return Notification.objects.filter(user_id=user_id, read_at=None).count()


def notification_of(*, user_id: int, notification_id: int) -> Notification | None:
    """An entry of this user, if there is one with this id."""
    return Notification.objects.filter(user_id=user_id, pk=notification_id).first()


def users_named(recipients: Sequence[int | str]) -> list[User]:
    """The users that a service named by id or username; raises UnknownUserError if one is missing."""
    ids = {name for name in recipients if isinstance(name, int)}
    names = {name for name in recipients if isinstance(name, str)}
    found = list(User.objects.filter(Q(pk__in=ids) | Q(username__in=names)).order_by("pk"))
    known = {user.pk for user in found} | {user.username for user in found}
    if missing := [name for name in recipients if name not in known]:
        raise UnknownUserError(f"Unknown user: {missing[0]}")
    return found


@dataclass(frozen=True, slots=True)
class InboxPage:
    """A page of entries, newest first, and the position of the inbox just before they were read."""

    notifications: Sequence[Notification]
    #: Older entries have ids below this; None where there are none.
    older_before: int | None
    #: Newer entries have ids above this; None where there are none.
    newer_after: int | None
    standing: Standing


def inbox(
    *, user_id: int, limit: int, before: int | None = None, after: int | None = None, unread: bool = False
) -> InboxPage:
    """The newest entries, those with ids below `before`, or the oldest above `after`. Three queries."""
    # The position is read before the rows: an entry that arrives in between is told again, and never missed.
    now = standing(user_id)
    entries = Notification.objects.filter(user_id=user_id)
    if unread:
        entries = entries.filter(read_at=None)
    page = slice_of(entries, "pk", before=before, after=after, limit=limit)
    is_behind = page.behind != NO_NUMBERS and entries.filter(pk__range=page.behind).exists()
    return InboxPage(
        notifications=page.rows,
        older_before=page.older_before(is_behind=is_behind),
        newer_after=page.newer_after(is_behind=is_behind),
        standing=now,
    )


@dataclass(frozen=True, slots=True)
class Following:
    """The topics that a socket may follow, and the state of its user's own topic."""

    #: The seq up to which the user's own topic is pruned.
    floor: int
    #: The positions of that topic at the given seqs.
    places: Sequence[Position]
    topics: Sequence[tuple[Source, str, int]]


def following(*, user_id: int, limit: int, seqs: Sequence[int] = ()) -> Following:
    """The topics that a socket may follow now, and the positions of its user's own topic at `seqs`."""
    floor, places = log.floor_and_places(user_topic(user_id), seqs)
    return Following(floor=floor, places=places, topics=topics_for(user_id, limit=limit))
