"""Forgetting a user: nothing is left of them but a number, and their messages if those are to stay.

The row of the user stays, under a name that nobody can register: messages, and the log, point to its number.
Each step works in short transactions; a run that was killed is finished by the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from django.db.models import Q, Value
from django.db.models.functions import Lower

from accounts import services
from accounts.events import AccountDisabled, user_topic
from accounts.leaving import steps
from accounts.models import Forgetting, User, forgotten_name
from realtime import LoggedEvent, announcing, log


def in_progress(name: str) -> Forgetting | None:
    """The unfinished forgetting of a user who had this username or e-mail."""
    lowered = Lower(Value(User.normalize_username(name)))
    begun = Forgetting.objects.select_related("user").alias(
        lower_username=Lower("username"), lower_email=Lower("email")
    )
    return begun.filter(Q(lower_username=lowered) | Q(lower_email=lowered)).first()


def forget(
    user: User, *, deletes_messages: bool, settle: Callable[[], None] = lambda: None
) -> Iterator[tuple[str, int]]:
    """Forget a user; yields what was done, and to how many things, as it is done.

    `settle` waits until every process has heard that the account is closed: what was on its way until then,
    under the old name, is found by a second round.
    """
    person = _begin(user, deletes_messages=deletes_messages)
    for step in steps():
        yield step.report, step.work(person)
    settle()
    for step in steps():
        if late := step.work(person):
            yield step.report, late
    yield "events were forgotten on the user's own topic", _finish(person)


def _begin(user: User, *, deletes_messages: bool) -> Forgetting:
    """Close the account, then take its name away, so that topics are locked in the order of everybody."""
    with announcing():
        person, _ = Forgetting.objects.get_or_create(
            user=user, defaults={"username": user.username, "email": user.email or ""}
        )
        if deletes_messages and not person.deletes_messages:
            person.deletes_messages = True
            person.save(update_fields=["deletes_messages"])
        if user.is_active:
            services.deactivate(user=user)
        else:  # disabled by a writer that may not have told its sockets
            services.access_was_withdrawn(user=user, disabled=True)
    with announcing():
        user.groups.clear()
        user.user_permissions.clear()
        user.username, user.email = forgotten_name(user.pk), None
        user.first_name = user.last_name = user.language = ""
        user.is_staff = user.is_superuser = False
        user.last_login = None
        if user.has_usable_password():
            user.set_unusable_password()
        user.save()
    person.user = user
    return person


def _finish(person: Forgetting) -> int:
    """Delete the user's events, but for the end of the account, which a socket may still have to read."""
    topic = user_topic(person.user_id)
    ends = LoggedEvent.objects.filter(topic__name=topic, body__startswith=f'{{"type":"{_ENDED}"')
    last = ends.order_by("-seq").values_list("seq", flat=True).first() or 1
    forgotten = log.prune(topic, up_to=last - 1)
    person.delete()
    return forgotten


_ENDED = AccountDisabled.__struct_config__.tag
