"""A position belongs to its topic's own log: to no other topic, and to no other past."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from realtime import log
from realtime.events import Event
from realtime.log import positions
from realtime.log.positions import Position, parse
from realtime.models import LoggedEvent, Topic

MOMENT = dt.datetime(2026, 11, 30, 18, 0, 0, 123456, tzinfo=dt.UTC)


class Said(Event, tag="said", frozen=True):
    words: str
    seq: int = 0


def append(*words: str, topic: str = "talk.1") -> list[Position]:
    """Append an event; the position that listeners are told for it."""
    with transaction.atomic():
        logged = log.append([(topic, Said(words=each)) for each in words])
    return [told(event.body) for event in logged]


def told(body: str) -> Position:
    found = parse(json.loads(body)["position"])
    assert found is not None
    return found


# ── the text ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("position", [Position(0), Position(981), Position(981, "3f9c2a71d0")])
def test_position_is_read_as_it_was_given(position):
    assert parse(str(position)) == position


@pytest.mark.parametrize(
    "text",
    [
        *("", "-", "981-", "-3f9c2a71d0", "+1", "-1", "1.0", "0x1", "1e1", "٣", "null", " 1", "1 ", "1\n"),
        *(
            "981-3f9c2a71d",
            "981-3f9c2a71d00",
            "981-3F9C2A71D0",
            "981-3f9c2a71dg",
            "981-3f9c2a71d0-",
            "1-" * 9,
        ),
        *("981_3f9c2a71d0", "981-٣f9c2a71d0", "9" * 17, "9" * 5000, "9" * 17 + "-3f9c2a71d0", "\x00"),
        "0-3f9c2a71d0",  # there is no event at 0 that could have a mark
    ],
)
def test_text_that_is_no_position_is_none(text):
    assert parse(text) is None


def test_mark_is_of_this_topic_this_seq_and_this_microsecond():
    mark = positions.mark_of("talk.1", 981, MOMENT)
    others = {
        positions.mark_of("talk.2", 981, MOMENT),
        positions.mark_of("talk.1", 982, MOMENT),
        positions.mark_of("talk.1", 981, MOMENT + dt.timedelta(microseconds=1)),
        positions.mark_of("talk.1", 981, MOMENT - dt.timedelta(hours=1)),
    }

    assert len(others | {mark}) == 5
    assert mark == positions.mark_of("talk.1", 981, MOMENT.astimezone(dt.timezone(dt.timedelta(hours=5))))


@pytest.mark.parametrize("words", ["", '","position":"7-0123456789', "é🎉\u2028", "x" * 10_000])
def test_text_of_an_event_ends_with_its_position(words):
    body = f'{{"type":"said","words":{json.dumps(words)},"seq":981}}'
    placed = positions.placed(body, 981, "3f9c2a71d0")

    assert json.loads(placed) == {**json.loads(body), "position": "981-3f9c2a71d0"}
    assert positions.mark_in(placed) == "3f9c2a71d0"
    assert positions.mark_in(body) == ""


# ── the log ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.django_db
def test_text_told_at_once_is_the_one_read_later():
    with transaction.atomic():
        logged = log.append([(name, Said(words="é")) for name in ("talk.1", "talk.2", "talk.1")])

    assert [e for e in logged if e.topic == "talk.1"] == log.replay("talk.1", after=0, limit=9)
    assert log.ends(["talk.1", "talk.2", "talk.3"]) == {
        "talk.1": told(logged[2].body),
        "talk.2": told(logged[1].body),
        "talk.3": Position(0),
    }
    assert told(logged[0].body).mark != told(logged[1].body).mark  # one transaction, one seq, another topic


@pytest.mark.django_db
@pytest.mark.parametrize("fraction", [0, 1, 999_999, 123_000, 500_000])
def test_no_database_rounds_the_time_that_a_mark_is_made_of(monkeypatch, fraction):
    moment = MOMENT.replace(microsecond=fraction)
    monkeypatch.setattr(timezone, "now", lambda: moment)

    [position] = append("a")

    assert position == positions.at("talk.1", 1, moment)
    assert log.ends(["talk.1"])["talk.1"] == position
    assert told(log.replay("talk.1", after=0, limit=1)[0].body) == position
    assert log.floor_and_places("talk.1", [1, 2]) == (0, [position, Position(2)])


@pytest.mark.django_db
def test_page_names_the_mark_of_the_event_that_it_follows():
    first, second, third = append("a", "b", "c")

    assert log.replay("talk.1", after=1, limit=9).mark == first.mark
    assert log.read_on("talk.1", after=2, limit=1)[0].mark == second.mark
    assert log.read_on("talk.1", after=3, limit=9)[0].mark == third.mark
    assert log.read_on("talk.1", after=0, limit=9)[0].mark == ""
    assert log.read_on("talk.1", after=4, limit=9)[0].mark == ""


@pytest.mark.django_db
def test_deleted_words_leave_the_position_as_it_was():
    before = append("a", "secret", "c")

    log.bury("talk.1", {2: Said(words="")})

    assert [told(event.body) for event in log.replay("talk.1", after=0, limit=9)] == before


@pytest.mark.django_db
def test_pruned_event_has_no_mark_any_more():
    append("a")
    end = append("b", "c")[-1]
    log.prune("talk.1", up_to=2)

    assert log.floor_and_places("talk.1", [2, 3]) == (2, [Position(2), end])
    LoggedEvent.objects.all().delete()  # as older versions pruned
    assert log.ends(["talk.1"]) == {"talk.1": Position(3)}
    assert log.read_on("talk.1", after=3, limit=9)[0].mark == ""


@pytest.mark.django_db
def test_events_that_an_older_version_stored_have_positions_too():
    """Everything that makes a position was stored before there were positions."""
    topic = Topic.objects.create(name="talk.1", head=1)
    LoggedEvent.objects.create(topic=topic, seq=1, body='{"type":"said","seq":1}', created_at=MOMENT)

    position = positions.at("talk.1", 1, MOMENT)
    assert log.ends(["talk.1"]) == {"talk.1": position}
    assert (
        log.replay("talk.1", after=0, limit=9)[0].body == f'{{"type":"said","seq":1,"position":"{position}"}}'
    )


# ── another past ─────────────────────────────────────────────────────────────────────────────────────────


def back_to(seq: int, topic: str = "talk.1") -> None:
    """Put the log back to this seq, as a restored backup does."""
    LoggedEvent.objects.filter(topic__name=topic, seq__gt=seq).delete()
    Topic.objects.filter(name=topic).update(head=seq)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[dt.timedelta], None]:
    """Wall clocks that jump."""

    def jump(by: dt.timedelta) -> None:
        monkeypatch.setattr(timezone, "now", lambda: dt.datetime.now(dt.UTC) + by)

    return jump


@pytest.mark.django_db
@pytest.mark.parametrize("hours", [0, 1, -1, -100_000])
def test_new_past_gives_no_position_again_whatever_the_clock_says(clock, hours):
    lost = append("a", "b", "c", "d")
    back_to(2)
    clock(dt.timedelta(hours=hours))

    new = append("C", "D")

    assert [position.seq for position in new] == [3, 4]
    assert not {position.mark for position in new} & {position.mark for position in lost}
    assert [told(event.body) for event in log.replay("talk.1", after=0, limit=9)] == [*lost[:2], *new]


@pytest.mark.django_db
def test_positions_cost_no_query(django_assert_num_queries: Any):
    append("a", "b")

    with django_assert_num_queries(1):
        log.replay("talk.1", after=1, limit=9)
    with django_assert_num_queries(1):
        log.ends(["talk.1", "talk.2"])
    with django_assert_num_queries(1):
        log.floor_and_places("talk.1", [1, 2])


@pytest.mark.django_db
def test_time_zone_in_which_somebody_works_changes_no_mark():
    with timezone.override("Asia/Kathmandu"):
        [position] = append("a")
        assert log.ends(["talk.1"]) == {"talk.1": position}

    with timezone.override("America/St_Johns"):
        assert log.ends(["talk.1"]) == {"talk.1": position}
        assert told(log.replay("talk.1", after=0, limit=1)[0].body) == position
