"""Catching up: one task per socket reads the log for all its subscriptions that are behind, each in turn."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Collection
from typing import Any

import pytest

from realtime.database import outages
from realtime.database.batch_loader import BatchLoader
from realtime.events import Delivery
from realtime.hub import pages
from realtime.hub.catch_up import TOGETHER
from realtime.hub.hub import Hub
from realtime.hub.pages import Page, PageKey
from realtime.hub.rendering import Frame
from realtime.log.positions import Position
from realtime.metrics.outages import Outage
from tests.realtime.listeners import Listener, body, settle


class Logs:
    """The logs of many topics, read by the questions that many subscriptions ask together."""

    page = 3

    def __init__(self) -> None:
        self.heads: dict[str, int] = {}
        #: The places in each question to the database, and the events on which the answers waited.
        self.questions: list[list[PageKey]] = []
        self.broken: set[str] = set()
        self.closed: dict[str, asyncio.Event] = {}
        #: The marks of events; empty where a topic has none.
        self.marks: dict[str, str] = {}

    def read(self, places: Collection[PageKey]) -> dict[PageKey, Page]:
        self.questions.append(list(places))
        return {place: self.page_after(place) for place in places}

    def page_after(self, place: PageKey) -> Page:
        if place.topic in self.broken:
            raise KeyError(place.topic)
        head = self.heads[place.topic]
        seqs = range(place.after + 1, min(head, place.after + self.page) + 1)
        deliveries = [Delivery(place.topic, seq, body(seq, topic=place.topic)) for seq in seqs]
        return Page(deliveries, seqs[-1] if seqs else head, self.marks.get(place.topic, ""))

    def pages_of(self, topic: str) -> int:
        return sum(place.topic == topic for question in self.questions for place in question)


@pytest.fixture
def logs(monkeypatch: pytest.MonkeyPatch) -> Logs:
    logs = Logs()

    async def run_in_thread(function: Any, places: list[PageKey]) -> Any:
        await asyncio.sleep(0)
        for place in places:
            if (gate := logs.closed.get(place.topic)) is not None:
                await gate.wait()
        return function(places)

    monkeypatch.setattr("realtime.database.batch_loader.run_in_thread", run_in_thread)
    monkeypatch.setattr(pages, "read_page", BatchLoader(logs.read, max_batch=8))
    monkeypatch.setattr(pages, "RETRY_SECONDS", 0)
    monkeypatch.setattr(outages, "DATABASE", Outage("The database"))
    return logs


@pytest.fixture
async def quiet_hub() -> Hub:
    """A hub that does nothing by itself."""
    return Hub(asyncio.get_running_loop())


def told_of(listener: Listener, topic: str) -> list[int]:
    events = [json.loads(frame) for frame in listener.told]
    return [event["seq"] for event in events if event["topic"] == topic]


def behind(logs: Logs, hub: Hub, listener: Listener, topic: str, head: int) -> Any:
    logs.heads[topic] = head
    return listener.subscribe(hub, topic, position=0, authorized_at=head)


async def test_busy_topic_among_many_holds_up_none_of_them(quiet_hub, logs) -> None:
    """All others are live after one page each; pages are asked for together."""
    ana = Listener()
    busy = behind(logs, quiet_hub, ana, "busy", 3_000)
    others = [behind(logs, quiet_hub, ana, f"talk.{number}", 2) for number in range(200)]

    while any(other.is_behind for other in others):
        await settle(1)
    busy_pages = logs.pages_of("busy")
    assert busy.is_behind
    assert busy_pages <= 201 // TOGETHER + 2
    assert len(logs.questions) <= 201 // TOGETHER + 2
    assert [len(question) for question in logs.questions[:25]] == [TOGETHER] * 25
    assert all(told_of(ana, f"talk.{number}") == [1, 2] for number in range(200))

    await ana.work
    assert not busy.is_behind
    assert told_of(ana, "busy") == list(range(1, 3_001))


async def test_each_subscription_gets_a_page_in_its_turn(quiet_hub, logs) -> None:
    ana = Listener()
    for number in range(20):
        behind(logs, quiet_hub, ana, f"talk.{number}", 12)

    rounds: list[int] = []
    while not ana.work.done():
        asked = Counter(place.topic for question in logs.questions for place in question)
        rounds.append(max(asked.values(), default=0) - min(asked.values(), default=0))
        await settle(1)

    assert max(rounds) <= 1
    assert logs.pages_of("talk.0") == 4
    assert all(told_of(ana, f"talk.{number}") == list(range(1, 13)) for number in range(20))


async def test_sockets_at_one_place_share_its_page(quiet_hub, logs) -> None:
    listeners = [Listener(user_id) for user_id in range(5)]
    for listener in listeners:
        behind(logs, quiet_hub, listener, "talk.1", 3)
    await settle()

    assert logs.pages_of("talk.1") == 1
    assert all(told_of(listener, "talk.1") == [1, 2, 3] for listener in listeners)


async def test_page_that_cannot_be_read_holds_up_no_other(quiet_hub, logs, monkeypatch) -> None:
    logs.broken.add("broken")
    ana = Listener()
    broken = behind(logs, quiet_hub, ana, "broken", 3)
    others = [behind(logs, quiet_hub, ana, f"talk.{number}", 30) for number in range(20)]

    await settle(500)
    assert not any(other.is_behind for other in others)
    assert broken.is_behind
    assert all(told_of(ana, f"talk.{number}") == list(range(1, 31)) for number in range(20))

    logs.broken.clear()
    await settle(50)
    assert not broken.is_behind
    assert told_of(ana, "broken") == [1, 2, 3]


async def test_page_that_cannot_be_read_is_not_asked_for_again_and_again(
    quiet_hub, logs, monkeypatch
) -> None:
    monkeypatch.setattr(pages, "RETRY_SECONDS", 60)
    logs.broken.add("broken")
    ana = Listener()
    behind(logs, quiet_hub, ana, "broken", 3)

    await settle(300)

    assert logs.pages_of("broken") == 1
    ana.work.cancel()


async def test_log_that_went_back_for_one_topic_holds_up_no_other(quiet_hub, logs, monkeypatch) -> None:
    """The topic's audience is further than its log, until the hub's next look finds that."""
    monkeypatch.setattr(pages, "RETRY_SECONDS", 60)
    ana, bruno = Listener(), Listener()
    logs.heads["gone"] = 2
    bruno.subscribe(quiet_hub, "gone", position=5, authorized_at=5)
    stuck = ana.subscribe(quiet_hub, "gone", position=2, authorized_at=5)
    others = [behind(logs, quiet_hub, ana, f"talk.{number}", 30) for number in range(20)]

    await settle(500)

    assert not any(other.is_behind for other in others)
    assert stuck.is_behind
    ana.work.cancel()


async def test_audience_that_reads_a_gap_holds_up_no_other(quiet_hub, logs) -> None:
    """The socket has read further than the bells told its audience; the missing part is slow to read."""
    ana, bruno = Listener(), Listener()
    logs.heads["slow"] = 5
    bruno.subscribe(quiet_hub, "slow", position=0)
    logs.closed["slow"] = asyncio.Event()
    ahead = ana.subscribe(quiet_hub, "slow", position=5, authorized_at=5)
    await settle()
    assert ahead.is_behind
    later = behind(logs, quiet_hub, ana, "talk.1", 3)

    await settle(50)
    logs.closed["slow"].set()
    del logs.closed["slow"]
    await settle(50)

    assert not ahead.is_behind
    assert not later.is_behind
    assert told_of(bruno, "slow") == [1, 2, 3, 4, 5]
    assert told_of(ana, "slow") == []


async def test_newcomer_is_read_for_at_once_while_others_wait_for_their_audiences(
    quiet_hub, logs, monkeypatch
) -> None:
    reading: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    ana, bruno = Listener(), Listener()
    logs.heads["slow"] = 5
    bruno.subscribe(quiet_hub, "slow", position=0)
    audience = quiet_hub.audience("slow")
    audience._healing = asyncio.ensure_future(reading)
    ana.subscribe(quiet_hub, "slow", position=5, authorized_at=5)
    await settle()

    later = behind(logs, quiet_hub, ana, "talk.1", 3)
    await settle(50)

    assert not later.is_behind
    reading.cancel()
    ana.work.cancel()


async def test_subscription_ahead_of_its_audience_a_second_time_makes_it_read_on(quiet_hub, logs) -> None:
    """It is not taken for a subscriber whose position never existed, and told twice."""
    ana, bruno = Listener(), Listener()
    behind(logs, quiet_hub, ana, "busy", 3_000)  # keeps the task busy all the time
    logs.heads["talk.1"] = 5
    bruno.subscribe(quiet_hub, "talk.1", position=0)
    subscription = ana.subscribe(quiet_hub, "talk.1", position=5, authorized_at=5)
    while subscription.is_behind:
        await settle(1)

    logs.heads["talk.1"] = 8  # the bells of the last two are lost
    quiet_hub.receive([("talk.1", 6, body(6, topic="talk.1"))])
    ana.has_room.clear()
    quiet_hub.audience("talk.1").write_pending()
    ana.has_room.set()
    assert subscription.is_behind
    while subscription.is_behind:
        await settle(1)
    assert not ana.work.done()
    quiet_hub.receive([("talk.1", seq, body(seq, topic="talk.1")) for seq in (7, 8)])

    assert told_of(ana, "talk.1") == [6, 7, 8]
    assert told_of(bruno, "talk.1") == [1, 2, 3, 4, 5, 6, 7, 8]
    ana.work.cancel()


async def test_page_for_a_subscription_that_ended_meanwhile_is_told_to_nobody(quiet_hub, logs) -> None:
    ana = Listener()
    logs.closed["talk.1"] = asyncio.Event()
    first = behind(logs, quiet_hub, ana, "talk.1", 3)
    second = ana.subscribe(quiet_hub, "talk.1", position=1, authorized_at=3, id="second")
    await settle()

    first.end()
    logs.closed["talk.1"].set()
    await settle(50)

    assert told_of(ana, "talk.1") == [2, 3]
    assert not second.is_behind
    assert ana.work.done()


# ── two subscriptions of one socket to one topic ─────────────────────────────────────────────────────────


class Marked:
    """Renders each event with the name of the question that it answers."""

    def __init__(self, name: str) -> None:
        self.name = name

    def render(self, write: Any) -> list[Any]:
        return [Frame(f"{self.name}{event.seq}") for event in write]


async def test_two_subscriptions_to_one_topic_each_get_their_own_in_order(quiet_hub, logs) -> None:
    ana = Listener()
    logs.heads["talk.1"] = 10
    first = ana.subscribe(
        quiet_hub, "talk.1", position=0, authorized_at=10, id="first", rendering=Marked("a")
    )
    second = ana.subscribe(
        quiet_hub, "talk.1", position=6, authorized_at=10, id="second", rendering=Marked("b")
    )
    await settle(100)
    assert not first.is_behind
    assert not second.is_behind
    quiet_hub.receive([("talk.1", seq, body(seq)) for seq in (11, 12)])

    assert [frame for frame in ana.told if frame[0] == "a"] == [f"a{seq}" for seq in range(1, 13)]
    assert [frame for frame in ana.told if frame[0] == "b"] == [f"b{seq}" for seq in range(7, 13)]

    first.end()
    quiet_hub.receive([("talk.1", 13, body(13))])
    assert ana.told[-1] == "b13"
    assert "a13" not in ana.told
    assert not second.is_behind
    second.end()
    assert quiet_hub.audience("talk.1") is None


async def test_one_of_two_falls_behind_and_the_other_does_not(quiet_hub, logs) -> None:
    ana = Listener()
    logs.heads["talk.1"] = 2
    first = ana.subscribe(quiet_hub, "talk.1", position=0, id="first", rendering=Marked("a"))
    second = ana.subscribe(quiet_hub, "talk.1", position=0, id="second", rendering=Marked("b"))
    full = ana.push_batch
    ana.outbox.push_batch = lambda batch: False if batch.payloads[0][0] == "b" else full(batch)
    quiet_hub.receive([("talk.1", seq, body(seq)) for seq in (1, 2)])
    quiet_hub.audience("talk.1").write_pending()

    assert (first.is_behind, second.is_behind) == (False, True)
    assert (first.place, second.place) == (Position(2), Position(0))
    ana.outbox.push_batch = full
    await settle(50)

    assert not second.is_behind
    assert ana.told == ["a1", "a2", "b1", "b2"]


async def test_ephemeral_events_pass_by_a_subscription_that_is_behind(quiet_hub, logs) -> None:
    ana, bruno = Listener(), Listener()
    logs.heads["talk.1"] = 2
    ana.subscribe(quiet_hub, "talk.1", position=2, authorized_at=2)
    late = bruno.subscribe(quiet_hub, "talk.1", position=0, authorized_at=2)
    quiet_hub.receive([("talk.1", None, '{"type":"receipt"}')])
    await settle(50)

    assert not late.is_behind
    assert (ana.missed, bruno.missed) == ([], ["talk.1"])


async def test_ephemeral_event_gives_way_and_its_subscription_without_room_knows(quiet_hub, logs) -> None:
    ana = Listener()
    logs.heads["talk.1"] = 2
    subscription = ana.subscribe(quiet_hub, "talk.1", position=2, authorized_at=2)
    ana.has_room.clear()
    quiet_hub.receive([("talk.1", None, '{"type":"receipt"}')])

    assert ana.told == []
    assert not subscription.is_behind
    assert ana.missed == ["talk.1"]


# ── told(seq) ────────────────────────────────────────────────────────────────────────────────────────────


def asked(subscription: Any, seq: int) -> asyncio.Task[Position]:
    return asyncio.get_running_loop().create_task(subscription.told(seq))


async def test_live_subscription_has_been_told_once_waiting_events_are_written(quiet_hub, logs) -> None:
    ana = Listener()
    logs.heads["talk.1"] = 3
    subscription = ana.subscribe(quiet_hub, "talk.1", position=0)
    quiet_hub.receive([("talk.1", 1, body(1, topic="talk.1"))])
    assert ana._told == []

    answer = asked(subscription, 1)
    await settle(2)

    assert answer.result() == Position(1)
    assert len(ana._told) == 1


async def test_live_subscription_waits_for_the_gap_to_be_read(quiet_hub, logs) -> None:
    ana = Listener()
    logs.heads["talk.1"] = 3
    logs.closed["talk.1"] = asyncio.Event()
    subscription = ana.subscribe(quiet_hub, "talk.1", position=0)

    answer = asked(subscription, 3)
    await settle(50)
    assert not answer.done()
    logs.closed["talk.1"].set()
    await settle(50)

    assert answer.result() == Position(3)
    assert [json.loads(frame)["seq"] for frame in ana._told] == [1, 2, 3]


async def test_seq_beyond_the_log_is_waited_for_only_as_far_as_the_log_goes(quiet_hub, logs) -> None:
    ana = Listener()
    logs.heads["talk.1"] = 3
    subscription = ana.subscribe(quiet_hub, "talk.1", position=0)

    answer = asked(subscription, 99)
    await settle(50)

    assert answer.result() == Position(3)


async def test_subscription_that_is_behind_is_waited_for_until_it_is_live(quiet_hub, logs) -> None:
    ana = Listener()
    ana.has_room.clear()
    subscription = behind(logs, quiet_hub, ana, "talk.1", 7)
    answers = [asked(subscription, 7), asked(subscription, 2)]
    await settle(50)
    assert not any(answer.done() for answer in answers)

    ana.has_room.set()
    await settle(100)

    assert [answer.result() for answer in answers] == [Position(7)] * 2
    assert [json.loads(frame)["seq"] for frame in ana._told] == list(range(1, 8))


async def test_subscription_without_room_is_told_all_the_same_while_waited_for(quiet_hub, logs) -> None:
    ana = Listener()
    logs.heads["talk.1"] = 2
    subscription = ana.subscribe(quiet_hub, "talk.1", position=0)
    ana.has_room.clear()

    answer = asked(subscription, 2)
    await settle(50)
    assert subscription.is_behind
    assert not answer.done()
    ana.has_room.set()
    await settle(50)

    assert answer.result() == Position(2)
    assert told_of(ana, "talk.1") == [1, 2]


async def test_nobody_waits_for_one_that_ends_while_it_is_behind(quiet_hub, logs) -> None:
    ana, bruno = Listener(), Listener()
    logs.closed["talk.1"] = asyncio.Event()
    bruno.subscribe(quiet_hub, "talk.1", position=3, authorized_at=3)
    subscription = behind(logs, quiet_hub, ana, "talk.1", 3)
    answer = asked(subscription, 3)
    await settle()
    assert not answer.done()

    subscription.end()
    await settle()

    assert answer.done()
    assert ana.told == []


async def test_nobody_waits_for_a_live_one_that_ends_or_for_one_that_has_ended(quiet_hub, logs) -> None:
    ana = Listener()
    logs.heads["talk.1"], logs.closed["talk.1"] = 3, asyncio.Event()
    subscription = ana.subscribe(quiet_hub, "talk.1", position=0)
    answer = asked(subscription, 3)  # the answer comes once a gap is read
    await settle()
    assert not answer.done()

    subscription.end()
    await settle()
    assert answer.done()
    late = asked(subscription, 3)
    await settle()

    assert late.done()
    assert quiet_hub.audience("talk.1") is None
