"""The accounts' examinations for `manage.py doctor`: sessions, names, tickets, refresh tokens."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from django.db.models import F, Max
from django.utils import timezone
from rest_framework_simplejwt.token_blacklist.models import OutstandingToken

from accounts.handles import Handle, handles_of
from accounts.models import Forgetting, Session, Ticket, User
from accounts.tickets import TICKET_TTL_SECONDS
from doctor.examinations import Finding, examination, snapshot
from realtime import id_ranges

#: Rows reported of one fault.
SHOWN = 100
#: Allowed difference between the clocks of two servers.
CLOCKS = dt.timedelta(minutes=1)
#: The longest that `manage.py forget_user` takes, however much a user has written.
LONGEST_FORGETTING = dt.timedelta(days=1)


@examination(
    remedy="End these sessions in the admin (Sessions: sign out), and switch users off by the admin or "
    "`User.save`, not by `QuerySet.update`."
)
def sessions() -> Iterator[Finding]:
    """A disabled user has no session that is still signed in."""
    live = Session.objects.filter(user__is_active=False, revoked_at=None).order_by()
    for session_id, user_id in live.values_list("pk", "user_id")[:SHOWN]:
        where = {"user": user_id, "session": str(session_id)}
        yield Finding("a disabled user is signed in", where, "the session revoked", "still signed in")


@examination(remedy="Run the same `manage.py forget_user` again: it does what is left to do.")
def forgettings() -> Iterator[Finding]:
    """A user who was to be forgotten is forgotten a day later."""
    begun = Forgetting.objects.filter(begun_at__lt=timezone.now() - LONGEST_FORGETTING)
    for user_id in begun.order_by("pk").values_list("pk", flat=True)[:SHOWN]:
        yield Finding("a user is half forgotten", {"user": user_id}, "nothing left to forget", "a beginning")


@examination(
    remedy="Rename one of the two users that a finding names (in the admin, or `user.save()` in a shell); "
    "where a handle is missing or left over, save the user again."
)
def handles() -> Iterator[Finding]:
    """Each username and e-mail is one user's alone, and nobody else's looks like it."""
    shown = 0
    for above, last in id_ranges(User.objects.all()):
        with snapshot():
            people = list(
                User.objects.filter(pk__gt=above, pk__lte=last).values_list("pk", "username", "email")
            )
            stored = list(
                Handle.objects.filter(user__gt=above, user__lte=last).values_list(
                    "user_id", "key", "disputed"
                )
            )
        wanted = {(pk, key) for pk, username, email in people for key in handles_of(username, email)}
        held = {(pk, key) for pk, key, _ in stored}
        found = [
            *((pk, "a name has no handle", "a row in accounts_handle", "none") for pk, _ in wanted - held),
            *((pk, "a handle is not the user's name", "no row", "a row") for pk, _ in held - wanted),
            *(
                (pk, "two users share a name", "one user", "another user has it, or one that looks like it")
                for pk, _, disputed in stored
                if disputed
            ),
        ]
        for pk, what, expected, seen in sorted(found)[: SHOWN - shown]:
            shown += 1
            yield Finding(what, {"user": pk}, expected, seen)


@examination(remedy="Delete these rows of accounts_ticket: whoever needs a ticket buys another one.")
def tickets() -> Iterator[Finding]:
    """A ticket belongs to its session's user, lives for seconds, and is gone once another was sold later."""
    foreign = Ticket.objects.exclude(session=None).exclude(session__user=F("user"))
    for user_id, owner_id in foreign.values_list("user_id", "session__user_id")[:SHOWN]:
        where = {"table": "accounts_ticket", "user": user_id}
        yield Finding(
            "a ticket opens somebody else's session",
            where,
            f"user {user_id}",
            f"a session of user {owner_id}",
        )
    newest = Ticket.objects.aggregate(newest=Max("expires_at"))["newest"]
    if newest is None:
        return
    # Selling a ticket deletes the expired ones. So any that is left had not expired then, clocks aside.
    kept_from = newest - dt.timedelta(seconds=TICKET_TTL_SECONDS) - CLOCKS
    kept = Ticket.objects.filter(expires_at__lt=kept_from)
    for user_id, expires_at in kept.values_list("user_id", "expires_at")[:SHOWN]:
        where = {"table": "accounts_ticket", "user": user_id}
        yield Finding(
            "an expired ticket was kept", where, f"none older than {kept_from:%F %T}", f"{expires_at:%F %T}"
        )


@examination(
    remedy="Run `manage.py flushexpiredtokens` for the expired ones; empty the column `token` of the others."
)
def used_up_tokens() -> Iterator[Finding]:
    """A refresh token that is remembered was used up, and its text was not kept."""
    remembered = OutstandingToken.objects.order_by()
    for pk in remembered.exclude(token="").values_list("pk", flat=True)[:SHOWN]:
        where = {"table": "token_blacklist_outstandingtoken", "id": pk}
        yield Finding("a refresh token can be read", where, "no text", "a text")
    for pk in remembered.filter(token="", blacklistedtoken=None).values_list("pk", flat=True)[:SHOWN]:
        where = {"table": "token_blacklist_outstandingtoken", "id": pk}
        yield Finding("a token is remembered and not used up", where, "a row in the blacklist", "none")
