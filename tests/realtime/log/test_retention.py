"""`manage.py prune_log`: the events that it removes, and those that it keeps for ever."""

from __future__ import annotations

import datetime as dt
import io
from typing import Any

import pytest
from django.core.management import call_command

from realtime import log
from realtime.events import Event
from realtime.models import LoggedEvent, Topic
from realtime.publishing import announcing, publish_on_commit

pytestmark = pytest.mark.django_db(transaction=True)


class Said(Event, frozen=True, tag="said"):
    words: str
    seq: int = 0


def say(topic: str, count: int) -> None:
    with announcing():
        for number in range(count):
            publish_on_commit(topic, Said(words=str(number)))


def prune() -> str:
    said = io.StringIO()
    call_command("prune_log", stdout=said)
    return said.getvalue()


def test_command_says_how_much_was_forgotten(settings):
    settings.RELAIS = {"log_retention": {"user.": (None, 2), "other.": (None, 1)}}
    for topic in ("user.1", "user.2", "other.1", "conversation.1"):
        say(topic, 4)

    assert prune() == "7 events forgotten\n"
    assert prune() == "0 events forgotten\n"
    assert LoggedEvent.objects.filter(topic__name="conversation.1").count() == 4


def test_users_topics_are_kept_for_a_month_by_default():
    say("user.1", 3)
    LoggedEvent.objects.filter(seq__lte=2).update(created_at=_days_ago(31))
    LoggedEvent.objects.filter(seq=2).update(created_at=_days_ago(29))

    assert prune() == "1 events forgotten\n"
    assert [event.seq for event in log.replay("user.1", after=0, limit=9)] == [2, 3]
    assert log.floor("user.1") == 1


def test_events_kept_for_ever_are_kept(settings):
    settings.RELAIS = {"log_retention": {"user.": (None, None)}}
    say("user.1", 3)
    LoggedEvent.objects.update(created_at=_days_ago(10_000))

    assert prune() == "0 events forgotten\n"


def test_prefix_is_a_prefix_and_no_pattern(settings):
    settings.RELAIS = {"log_retention": {"user_": (None, 1)}}
    say("user.1", 2)
    say("user_.1", 2)

    assert prune() == "1 events forgotten\n"
    assert log.floor("user.1") == 0


def test_newest_event_is_never_forgotten(settings):
    """Positions at the head are compared with the newest event."""
    settings.RELAIS = {"log_retention": {"user.": (1, 0)}}
    say("user.1", 3)
    LoggedEvent.objects.update(created_at=_days_ago(10_000))
    end = log.ends(["user.1"])["user.1"]

    assert prune() == "2 events forgotten\n"
    assert prune() == "0 events forgotten\n"
    assert log.prune("user.1", up_to=9) == 0
    assert log.ends(["user.1"])["user.1"] == end
    assert end.mark
    say("user.1", 1)
    assert prune() == "1 events forgotten\n"
    assert [event.seq for event in log.replay("user.1", after=0, limit=9)] == [4]


def test_topic_whose_log_is_empty_keeps_its_numbers():
    """Older versions removed the newest event too."""
    say("user.1", 3)
    LoggedEvent.objects.all().delete()
    say("user.1", 1)

    assert Topic.objects.get(name="user.1").head == 4
    assert log.read_on("user.1", after=0, limit=9)[1] == 4
    LoggedEvent.objects.all().delete()
    assert log.read_on("user.1", after=2, limit=9) == ([], 4)  # nothing to read, up to 4


def test_topics_without_anything_to_forget_are_not_touched(settings, django_assert_num_queries):
    settings.RELAIS = {"log_retention": {"user.": (None, 1)}}
    Topic.objects.bulk_create([Topic(name=f"user.{n}", head=5, floor=n % 2 + 4) for n in range(3_000)])

    with django_assert_num_queries(1):
        assert prune() == "0 events forgotten\n"


def test_topics_of_the_second_chunk_are_pruned_as_well(settings):
    settings.RELAIS = {"log_retention": {"user.": (None, 1)}}
    Topic.objects.bulk_create([Topic(name=f"user.{n}", head=5, floor=4) for n in range(2_100)])
    say("user.2050", 3)

    assert prune() == "2 events forgotten\n"


def _days_ago(days: int) -> Any:
    return dt.datetime.now(dt.UTC) - dt.timedelta(days=days)
