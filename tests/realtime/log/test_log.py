"""The log: numbers without holes, in the order of commits, on both databases."""

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection, connections, transaction

from realtime import log
from realtime.events import Event
from realtime.log.retention import prune_all
from realtime.models import LoggedEvent, Topic
from realtime.publishing import announcing, publish_on_commit
from realtime.testing import position_at


class Said(Event, tag="said", frozen=True):
    words: str
    seq: int = 0


class Whispered(Event, tag="whispered", frozen=True):
    words: str


def in_threads(work: Callable[[int], Any], count: int) -> None:
    failures: list[BaseException] = []

    def run(number: int) -> None:
        try:
            work(number)
        except BaseException as error:  # noqa: BLE001 - shown by the test
            failures.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def seqs(name: str) -> list[int]:
    return list(LoggedEvent.objects.filter(topic__name=name).order_by("seq").values_list("seq", flat=True))


@pytest.mark.django_db
def test_events_are_numbered_from_one_and_kept_as_text() -> None:
    with transaction.atomic():
        logged = log.append(
            [("talk.1", Said(words="a")), ("talk.2", Said(words="b")), ("talk.1", Said(words="c"))]
        )

    assert [(event.topic, event.seq) for event in logged] == [("talk.1", 1), ("talk.2", 1), ("talk.1", 2)]
    assert [event.body for event in log.replay("talk.1", after=0, limit=10)] == [
        f'{{"type":"said","words":"a","seq":1,"position":"{position_at("talk.1", 1)}"}}',
        f'{{"type":"said","words":"c","seq":2,"position":"{position_at("talk.1", 2)}"}}',
    ]
    assert log.heads(["talk.1", "talk.2", "talk.3"]) == {"talk.1": 2, "talk.2": 1, "talk.3": 0}


@pytest.mark.django_db
def test_replay_begins_after_a_position_and_ends_at_a_limit() -> None:
    with transaction.atomic():
        log.append([("talk.1", Said(words=str(n))) for n in range(10)])

    assert [event.seq for event in log.replay("talk.1", after=3, limit=4)] == [4, 5, 6, 7]


@pytest.mark.django_db
def test_appending_nothing_costs_no_query(django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        assert log.append([]) == []


@pytest.mark.django_db
@pytest.mark.parametrize(
    "tell",
    [
        pytest.param(lambda event: log.append([("talk.1", Said(words="a")), ("talk.1", event)]), id="append"),
        pytest.param(lambda event: log.bury("talk.1", {1: event}), id="bury"),
        pytest.param(lambda event: publish_on_commit("talk.1", event), id="publish"),
    ],
)
def test_event_without_seq_is_refused_by_name_before_anything_is_stored(
    tell: Callable[[Event], object], django_assert_num_queries: Any
) -> None:
    with (
        django_assert_num_queries(0),
        pytest.raises(TypeError, match=r"^Whispered has no seq: .*int = 0`"),
    ):
        tell(Whispered(words="psst"))


@pytest.mark.django_db
def test_queries_do_not_grow_with_the_number_of_events(django_assert_num_queries: Any) -> None:
    log.lock(["talk.1"])
    # One statement of PostgreSQL's moves the heads too.
    statements = 3 if connection.vendor == "sqlite" else 2
    with django_assert_num_queries(statements):
        log.append([("talk.1", Said(words="one"))])
    with django_assert_num_queries(statements):
        log.append([("talk.1", Said(words=str(n))) for n in range(3)])


@pytest.mark.django_db(transaction=True)
def test_concurrent_appends_leave_neither_hole_nor_double() -> None:
    in_threads(lambda n: [publish_on_commit("talk.1", Said(words=f"{n}.{i}")) for i in range(5)], 8)

    assert seqs("talk.1") == list(range(1, 41))
    assert Topic.objects.get(name="talk.1").head == 40


@pytest.mark.django_db(transaction=True)
def test_rolled_back_append_leaves_no_hole() -> None:
    publish_on_commit("talk.1", Said(words="first"))
    with pytest.raises(RuntimeError), announcing():  # noqa: PT012 - the block is the transaction
        publish_on_commit("talk.1", Said(words="never"))
        raise RuntimeError
    publish_on_commit("talk.1", Said(words="second"))

    assert [json.loads(event.body)["words"] for event in log.replay("talk.1", after=0, limit=9)] == [
        "first",
        "second",
    ]
    assert seqs("talk.1") == [1, 2]


@pytest.mark.django_db(transaction=True)
def test_transactions_that_meet_in_opposite_order_do_not_deadlock() -> None:
    def tell(number: int) -> None:
        names = ["talk.1", "talk.2"] if number % 2 else ["talk.2", "talk.1"]
        for _ in range(5):
            with announcing():
                for name in names:
                    publish_on_commit(name, Said(words="hello"))

    in_threads(tell, 6)

    assert seqs("talk.1") == seqs("talk.2") == list(range(1, 31))


@pytest.mark.django_db
def test_buried_event_leaves_its_place_and_not_its_words() -> None:
    with transaction.atomic():
        log.append([("talk.1", Said(words=word)) for word in ("a", "secret", "c")])

    log.bury("talk.1", {2: Said(words="")})

    bodies = [event.body for event in log.replay("talk.1", after=0, limit=9)]
    assert bodies[1] == f'{{"type":"said","words":"","seq":2,"position":"{position_at("talk.1", 2)}"}}'
    assert "secret" not in "".join(bodies)


@pytest.mark.django_db(transaction=True)
def test_retention_forgets_users_topics_and_never_conversations(settings: Any) -> None:
    settings.RELAIS = {"log_retention": {"user.": (None, 3)}}
    for name in ("user.1", "conversation.1"):
        with announcing():
            for n in range(5):
                publish_on_commit(name, Said(words=str(n)))

    assert prune_all() == 2

    assert seqs("user.1") == [3, 4, 5]
    assert log.floor("user.1") == 2
    assert seqs("conversation.1") == [1, 2, 3, 4, 5]
    assert prune_all() == 0


@pytest.mark.django_db(transaction=True)
def test_retention_forgets_by_age(settings: Any) -> None:
    settings.RELAIS = {"log_retention": {"user.": (30, None)}}
    publish_on_commit("user.1", Said(words="old"))
    with connection.cursor() as cursor:
        cursor.execute("UPDATE realtime_loggedevent SET created_at = '2020-01-01 00:00:00+00:00'")
    publish_on_commit("user.1", Said(words="new"))

    assert prune_all() == 1

    assert seqs("user.1") == [2]
