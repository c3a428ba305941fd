"""Sending and reading notifications: what is stored is announced, and both happen together or not at all."""

from __future__ import annotations

import datetime as dt
import json
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection, connections, transaction
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from notifications import selectors, services
from notifications.collapsed import Collapsed, collapse, read_collapsed
from notifications.errors import InvalidDataError, UnknownKindError
from notifications.models import Notification
from notifications.services import (
    mark_all_read,
    mark_read,
    notify,
    notify_many,
)
from realtime import log
from realtime.errors import InvalidTextError
from realtime.testing import Published, position_at
from tests.factories import make_user
from tests.notifications.conftest import own

pytestmark = pytest.mark.django_db
#: For tests of what happens after the commit, or in several threads.
commits = pytest.mark.django_db(transaction=True)


def paid(user: User, payment_id: int = 789, **options: Any) -> Notification:
    return notify(user=user, kind="payment_completed", data={"payment_id": payment_id}, **options)


def in_threads(work: Callable[[int], object], count: int) -> list[Any]:
    """Do the same thing at the same moment in several threads, each with a connection of its own."""
    barrier = threading.Barrier(count)
    results: list[Any] = [None] * count

    def run(index: int) -> None:
        try:
            barrier.wait()
            results[index] = work(index)
        except Exception as error:  # noqa: BLE001 - compared by the test
            results[index] = error
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(index,)) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


# --- sending ----------------------------------------------------------------------------------------


@commits
def test_notification_is_stored_and_announced_as_the_guide_shows_it(ana: User, published: Published) -> None:
    stored = paid(ana)

    ((topic, frame),) = published
    assert topic == own(ana)
    assert list(frame) == ["type", "title", "message", "data", "id", "created_at", "count", "seq"]
    assert frame == {
        "type": "payment_completed",
        "title": "Payment confirmed",
        "message": "Your payment has been processed",
        "data": {"payment_id": 789},
        "id": stored.pk,
        "created_at": frame["created_at"],
        "count": 1,
        "seq": 1,
    }
    assert frame["created_at"].endswith("Z")
    assert dt.datetime.fromisoformat(frame["created_at"]) == stored.created_at
    row = Notification.objects.get()
    assert (row.user, row.kind, row.title, row.data) == (
        ana,
        "payment_completed",
        frame["title"],
        frame["data"],
    )
    assert (row.read_at, row.count, row.created_at) == (None, 1, stored.created_at)


@commits
def test_announced_text_is_the_one_in_the_log(ana: User, published: Published) -> None:
    paid(ana)

    ((_, seq, body),) = log.replay(own(ana), after=0, limit=10)
    assert seq == 1
    assert json.loads(body) == {**published[0][1], "position": position_at(own(ana), 1)}
    assert body.startswith('{"type":"payment_completed",')


@commits
def test_rolled_back_notification_is_never_announced(ana: User, published: Published) -> None:
    with transaction.atomic():
        paid(ana)
        transaction.set_rollback(True)
    paid(ana, payment_id=2)  # shows that announcements work, so the silence above means something

    assert [event["data"] for event in published.of_type("payment_completed")] == [{"payment_id": 2}]
    assert Notification.objects.count() == 1


@commits
def test_nothing_is_announced_before_the_commit(ana: User, published: Published) -> None:
    with transaction.atomic():
        paid(ana)
        before = list(published)

    assert before == []
    assert len(published) == 1


@commits
@pytest.mark.parametrize(
    ("language", "title"),
    [
        ("fr", "Paiement confirmé"),
        ("fr-ca", "Paiement confirmé"),
        ("en", "Payment confirmed"),
        ("xx", "Payment confirmed"),
    ],
)
def test_recipient_reads_their_own_language(language: str, title: str, published: Published) -> None:
    stored = paid(make_user("john", language=language))

    assert stored.title == title
    assert published[0][1]["title"] == title


@pytest.mark.parametrize(("default", "title"), [("fr", "Paiement confirmé"), ("en", "Payment confirmed")])
def test_user_without_a_language_reads_the_servers(
    ana: User, settings: Any, default: str, title: str
) -> None:
    settings.LANGUAGE_CODE = default

    assert paid(ana).title == title


def test_placeholders_are_filled_from_variables_and_data(ana: User) -> None:
    stored = notify(
        user=ana, kind="message_received", data={"conversation_id": 123}, variables={"sender": "John"}
    )

    assert (stored.message, stored.data) == ("John sent a message", {"conversation_id": 123})


def test_own_words_replace_those_of_the_kind(ana: User) -> None:
    stored = paid(ana, title="Merci", message="Commande 7")

    assert (stored.title, stored.message) == ("Merci", "Commande 7")


@pytest.mark.parametrize("words", [{"title": "\x00"}, {"message": "\ud800"}, {"title": "x" * 201}])
def test_own_words_that_cannot_be_stored_are_refused(ana: User, words: Any) -> None:
    with pytest.raises(InvalidTextError):
        paid(ana, **words)


@commits
def test_wrong_kind_or_data_stores_and_announces_nothing(ana: User, published: Published) -> None:
    with pytest.raises(UnknownKindError):
        notify(user=ana, kind="lottery_won", data={})
    with pytest.raises(InvalidDataError):
        notify(user=ana, kind="payment_completed", data={})

    assert not Notification.objects.exists()
    assert published == []


@commits
def test_each_of_many_is_told_in_their_language(ana: User, clara: User, published: Published) -> None:
    john = make_user("john", language="fr")

    stored = notify_many(users=[ana, john, ana], kind="listing_published", data={"listing_id": 456})

    assert {row.user_id: row.title for row in stored} == {
        ana.pk: "Listing published",
        john.pk: "Annonce publiée",
    }
    assert {topic: event["title"] for topic, event in published} == {
        own(ana): "Listing published",
        own(john): "Annonce publiée",
    }
    assert not Notification.objects.filter(user=clara).exists()


@commits
@pytest.mark.parametrize("collapse_key", ["", "sale"])
def test_telling_many_costs_as_many_queries_as_telling_one(collapse_key: str) -> None:
    users = [make_user(f"user{index}") for index in range(8)]

    def queries_for(some: list[User]) -> int:
        with CaptureQueriesContext(connection) as queries:
            notify_many(
                users=some, kind="listing_published", data={"listing_id": 1}, collapse_key=collapse_key
            )
        return len(queries)

    notify_many(
        users=users, kind="listing_published", data={"listing_id": 1}
    )  # their topics exist from now on
    assert queries_for(users[:2]) == queries_for(users[2:]) <= 10


@commits
def test_telling_nobody_is_nothing(published: Published) -> None:
    assert notify_many(users=[], kind="listing_published", data={"listing_id": 1}) == []
    assert notify_many(users=[], kind="listing_published", data={"listing_id": 1}, collapse_key="k") == []
    assert published == []


@commits
def test_unread_notification_takes_in_the_next_of_its_key(
    ana: User, bruno: User, published: Published
) -> None:
    first = paid(ana, 1, collapse_key="payments")
    paid(bruno, 1, collapse_key="payments")
    second = paid(ana, 2, collapse_key="payments")
    other = paid(ana, 3, collapse_key="other")

    assert (second.pk, second.count, second.data) == (first.pk, 2, {"payment_id": 2})
    assert other.pk != first.pk
    assert [event["count"] for topic, event in published if topic == own(ana)] == [1, 2, 1]

    mark_read(user_id=ana.pk, ids=[first.pk])
    third = paid(ana, 4, collapse_key="payments")
    assert third.pk != first.pk
    assert third.count == 1


# --- entries for many things ------------------------------------------------------------------------


def messages(counts: dict[int, int], *, sender: str = "John", conversation_id: int = 123) -> Collapsed:
    return Collapsed(
        collapse_key=f"conversation.{conversation_id}",
        kind="message_received",
        data={"conversation_id": conversation_id},
        counts=counts,
        variables={"sender": sender},
    )


def entries(user: User) -> list[tuple[str, int, Any]]:
    rows = Notification.objects.filter(user=user, read_at=None).order_by("pk")
    return [(row.message, row.count, row.data) for row in rows]


@commits
def test_collapsed_entry_is_in_the_inbox_and_not_announced(ana: User, published: Published) -> None:
    john = make_user("john", language="fr")

    collapse(entries=[messages({ana.pk: 2, john.pk: 5}, sender="Zoé")])

    assert entries(ana) == [("Zoé sent a message", 2, {"conversation_id": 123})]
    assert entries(john) == [("Zoé a envoyé un message", 5, {"conversation_id": 123})]
    assert published == []
    row = Notification.objects.get(user=john)
    assert (row.kind, row.title) == ("message_received", "Nouveau message")
    assert (row.created_at - ana.date_joined).total_seconds() < 60


def test_cost_for_each_of_many_people_is_the_same(db):
    """The cost once grew with the number of people: for 10,000 it took 13 s, in which nobody else could
    write."""
    # SQLite works in this very thread: its CPU is the cost, whatever else the machine does meanwhile.
    clock = time.thread_time if connection.vendor == "sqlite" else time.perf_counter
    User.objects.bulk_create(User(username=f"member{number}") for number in range(4_400))
    people = list(User.objects.values_list("pk", flat=True))

    def seconds(some: list[int]) -> float:
        """The least of several runs, each as if it was the first."""

        def once() -> float:
            with transaction.atomic():
                began = clock()
                collapse(entries=[messages(dict.fromkeys(some, 1))])
                took = clock() - began
                transaction.set_rollback(True)
            return took

        return min(once() for _ in range(4))

    few, many = seconds(people[:400]), seconds(people[800:])

    assert len(people[800:]) >= 9 * 400
    assert many < 4 * 9 * few


def test_collapsed_entry_grows_until_it_is_read(ana: User, bruno: User) -> None:
    collapse(entries=[messages({ana.pk: 2, bruno.pk: 1})])
    collapse(entries=[messages({ana.pk: 3}, sender="Zoé"), messages({ana.pk: 1}, conversation_id=4)])

    assert entries(ana) == [
        ("Zoé sent a message", 5, {"conversation_id": 123}),
        ("John sent a message", 1, {"conversation_id": 4}),
    ]
    assert read_collapsed(user_id=ana.pk, collapse_key="conversation.123") == 1
    assert read_collapsed(user_id=ana.pk, collapse_key="conversation.123") == 0
    assert entries(ana) == [("John sent a message", 1, {"conversation_id": 4})]
    assert entries(bruno) == [("John sent a message", 1, {"conversation_id": 123})]

    collapse(entries=[messages({ana.pk: 1})])
    assert [count for _, count, _ in entries(ana)] == [1, 1]


def test_collapsing_leaves_out_users_who_are_gone_or_have_nothing(ana: User, bruno: User) -> None:
    collapse(entries=[messages({ana.pk: 0, bruno.pk: 1, 10**9: 7}), messages({})])
    collapse(entries=[])

    assert entries(ana) == []
    assert len(entries(bruno)) == 1
    assert Notification.objects.count() == 1


def test_collapsing_costs_two_statements_for_any_number() -> None:
    users = [make_user(f"user{index}", language=["", "fr"][index % 2]) for index in range(6)]

    def statements(*wanted: Collapsed) -> int:
        with CaptureQueriesContext(connection) as queries:
            collapse(entries=wanted)
        return len([query for query in queries if query["sql"].lstrip().startswith(("INSERT", "SELECT"))])

    few = statements(messages({users[0].pk: 1}))
    many = statements(*(messages({user.pk: 1 for user in users}, conversation_id=n) for n in range(3)))
    assert few == many == 2


@commits
def test_collapsing_at_once_from_several_sides_counts_everything() -> None:
    # The users are named in opposite orders: without one order for the rows, two writers would block each
    # other.
    people = {user.pk: 1 for user in User.objects.bulk_create(User(username=f"user{n}") for n in range(200))}
    sides = [people, dict(reversed(people.items()))]

    results = in_threads(lambda index: collapse(entries=[messages(sides[index % 2])]), 8)

    assert results == [None] * 8
    assert set(Notification.objects.values_list("count", flat=True)) == {8}
    assert Notification.objects.count() == 200


# --- reading ----------------------------------------------------------------------------------------


@commits
def test_reading_is_announced_once_with_what_is_left(ana: User, published: Published) -> None:
    first, second, third = paid(ana, 1), paid(ana, 2), paid(ana, 3)

    assert mark_read(user_id=ana.pk, ids=[third.pk, first.pk]) == 1
    assert mark_read(user_id=ana.pk, ids=[first.pk]) == 1

    assert published.of_type("notifications_read") == [
        {"type": "notifications_read", "ids": [first.pk, third.pk], "unread_count": 1, "seq": 4}
    ]
    unread = Notification.objects.filter(read_at=None)
    assert list(unread) == [second]


@commits
def test_nobody_reads_what_is_not_theirs(ana: User, bruno: User, published: Published) -> None:
    mine, theirs = paid(ana), paid(bruno)

    assert mark_read(user_id=bruno.pk, ids=[mine.pk, 10**12]) == 1
    assert published.of_type("notifications_read") == []

    assert mark_read(user_id=bruno.pk, ids=[mine.pk, theirs.pk]) == 0
    assert Notification.objects.get(read_at=None) == mine
    assert published.of_type("notifications_read")[0]["ids"] == [theirs.pk]


@commits
def test_reading_everything_is_announced_once(ana: User, bruno: User, published: Published) -> None:
    for payment_id in range(3):
        paid(ana, payment_id)
    paid(bruno)

    assert mark_all_read(user_id=ana.pk) == 3
    assert mark_all_read(user_id=ana.pk) == 0

    assert published.of_type("notifications_read") == [
        {"type": "notifications_read", "ids": None, "unread_count": 0, "seq": 4}
    ]
    assert Notification.objects.get(read_at=None).user == bruno


@commits
def test_devices_that_read_at_once_are_told_counts_in_order(ana: User, published: Published) -> None:
    stored = [paid(ana, payment_id) for payment_id in range(6)]

    in_threads(lambda index: mark_read(user_id=ana.pk, ids=[stored[index].pk]), 6)

    told = sorted(published.of_type("notifications_read"), key=lambda event: event["seq"])
    assert [event["unread_count"] for event in told] == [5, 4, 3, 2, 1, 0]


@commits
def test_one_entry_read_at_once_on_several_devices_is_announced_once(ana: User, published: Published) -> None:
    stored = paid(ana)

    results = in_threads(lambda _: mark_read(user_id=ana.pk, ids=[stored.pk]), 4)

    assert results == [0] * 4
    assert len(published.of_type("notifications_read")) == 1


@commits
def test_everything_read_at_once_on_several_devices_is_announced_once(
    ana: User, published: Published
) -> None:
    paid(ana)

    results = in_threads(lambda _: mark_all_read(user_id=ana.pk), 4)

    assert sorted(results) == [0, 0, 0, 1]
    assert len(published.of_type("notifications_read")) == 1


# --- the position of an inbox -----------------------------------------------------------------------


def test_standing_names_head_and_unread_of_the_same_moment(ana: User, bruno: User) -> None:
    def standing(user_id: int) -> tuple[int, int]:
        found = selectors.standing(user_id)
        return found.end.seq, found.unread_count

    assert standing(ana.pk) == (0, 0)

    paid(ana)
    services.mark_all_read(user_id=ana.pk)
    paid(ana)
    paid(bruno)

    assert standing(ana.pk) == (3, 1)
    assert standing(10**9) == (0, 0)
