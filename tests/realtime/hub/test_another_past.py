"""After a failover without the last commits, no subscriber is misled by the events in their places."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from realtime.hub.audience import Audience
from realtime.hub.hub import Hub
from realtime.hub.pages import Page, PageKey
from realtime.log.positions import Position, placed
from tests.realtime.listeners import TOPIC, Listener, Log, body, settle

OLD, NEW = "00000000aa", "00000000bb"


class MarkedLog(Log):
    """A log whose events have marks: those of the first past, until it goes back."""

    def __init__(self) -> None:
        super().__init__()
        self.mark = OLD
        self.marks: dict[int, str] = {}

    def append(self, kind: str = "said", **fields: Any) -> int:
        self.head += 1
        self.marks[self.head] = self.mark
        self.bodies[self.head] = placed(body(self.head, kind, **fields), self.head, self.mark)
        return self.head

    def take_over(self, seq: int, *, new: int) -> None:
        """Lose everything after `seq`, and append so many other events."""
        self.head, self.mark = seq, NEW
        self.bodies = {n: text for n, text in self.bodies.items() if n <= seq}
        self.marks = {n: mark for n, mark in self.marks.items() if n <= seq}
        for _ in range(new):
            self.append()

    async def read_page(self, place: PageKey) -> Page:
        page = await super().read_page(place)
        page.mark = self.marks.get(place.after, "")
        return page

    def end(self) -> Position:
        return Position(self.head, self.marks.get(self.head, ""))


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> MarkedLog:
    return MarkedLog().stands_in(monkeypatch)


@pytest.fixture
async def hub() -> Hub:
    """A hub that does nothing by itself."""
    return Hub(asyncio.get_running_loop())


def heard(hub: Hub) -> Audience:
    audience = hub.audience(TOPIC)
    assert audience is not None
    return audience


def ring(hub: Hub, log: MarkedLog, *seqs: int) -> None:
    hub.receive([(TOPIC, seq, log.bodies[seq]) for seq in seqs])


def told(listener: Listener) -> list[str]:
    return [json.loads(frame)["position"] for frame in listener.told]


async def live(hub: Hub, log: MarkedLog, count: int = 10) -> Listener:
    """A live subscriber that was told the last two events."""
    while log.append() < count - 2:
        pass
    ana = Listener()
    ana.join(hub, position=log.head, authorized_at=log.head, mark=OLD, authorized_mark=OLD)
    ring(hub, log, log.append(), log.append())
    assert told(ana) == [f"{count - 1}-{OLD}", f"{count}-{OLD}"]
    return ana


# ── live subscribers ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("new", [2, 3, 9])
async def test_head_at_or_above_the_position_is_compared_by_its_mark(hub, log, new):
    """A head check finds no lower head than the position: the other past has grown meanwhile."""
    ana = await live(hub, log)
    log.take_over(8, new=new)

    heard(hub).compare(log.end())
    heard(hub).expect(log.head)
    await settle(60)

    assert ana.misled_by == [TOPIC]
    assert told(ana)[2:] == [
        f"{seq}-{NEW}" for seq in range(10, log.head + 1)
    ]  # a subscriber that stays is told what is new
    assert heard(hub).place == log.end()


async def test_bell_of_another_event_at_the_position_is_no_doubled_one(hub, log):
    ana = await live(hub, log)
    log.take_over(8, new=3)

    ring(hub, log, 9, 10, 11)

    assert ana.misled_by == [TOPIC]
    assert told(ana)[2:] == [f"10-{NEW}", f"11-{NEW}"]
    assert log.readings == 0


async def test_gap_is_filled_only_from_the_log_that_was_told(hub, log):
    ana = await live(hub, log)
    log.take_over(8, new=6)

    ring(hub, log, 14)
    await settle(60)

    assert ana.misled_by == [TOPIC]
    assert told(ana)[2:] == [f"{seq}-{NEW}" for seq in range(10, 15)]


async def test_event_that_waited_for_a_lost_one_is_not_told_by_the_log_that_lacks_it(hub, log):
    """The event came before its predecessors; while those were read, another database took over."""
    ana = await live(hub, log)
    while log.append() < 16:
        pass
    log.is_away = True
    ring(hub, log, 16)
    await settle()
    log.take_over(10, new=5)
    log.is_away = False
    await settle(60)

    assert told(ana)[2:] == [f"{seq}-{NEW}" for seq in range(11, 16)]
    assert len(heard(hub)._held) == 0


async def test_log_decides_between_two_events_that_wait_at_one_place(hub, log):
    ana = await live(hub, log)
    log.is_open = False
    while log.append() < 13:
        pass
    ring(hub, log, 12, 13)
    log.take_over(10, new=4)
    ring(hub, log, 13, 14)
    await settle()
    ring(hub, log, 11)
    log.is_open = True
    while log.let_one_through():
        await settle()

    assert told(ana)[2:] == [f"{seq}-{NEW}" for seq in range(11, 15)]


async def test_log_that_went_back_misleads_nobody(hub, log):
    ana = await live(hub, log)
    log.take_over(7, new=1)

    heard(hub).go_back(log.head)
    heard(hub).compare(log.end())
    ring(hub, log, log.append())

    assert ana.misled_by == [TOPIC]
    assert told(ana)[2:] == [f"9-{NEW}"]


async def test_doubled_and_late_bells_of_the_same_past_mislead_nobody(hub, log):
    ana = await live(hub, log)

    ring(hub, log, 10, 9, 10, 8, log.append(), 11, 10)
    heard(hub).compare(log.end())

    assert ana.misled_by == []
    assert told(ana) == [f"{seq}-{OLD}" for seq in (9, 10, 11)]


async def test_texts_of_an_older_version_have_no_marks_and_mislead_nobody(hub, log):
    ana = await live(hub, log)
    log.append()

    hub.receive([(TOPIC, 11, body(11))])
    heard(hub).compare(log.end())
    ring(hub, log, 11, log.append())

    assert ana.misled_by == []
    assert ana.seqs == [9, 10, 11, 12]
    assert heard(hub).place == log.end()


async def test_subscriber_that_joins_with_the_new_mark_reveals_that_others_were_misled(hub, log):
    ana, bruno = await live(hub, log), Listener()
    log.take_over(8, new=2)

    bruno.join(hub, position=10, authorized_at=10, mark=NEW, authorized_mark=NEW)
    await settle()
    ring(hub, log, log.append())

    assert (ana.misled_by, bruno.misled_by) == ([TOPIC], [])
    assert told(bruno) == [f"11-{NEW}"]
    assert told(ana)[2:] == [f"10-{NEW}", f"11-{NEW}"]


async def test_subscriber_that_leaves_when_misled_leaves_nothing_behind(hub, log):
    ana, bruno = await live(hub, log), Listener()
    ana.on_misled = lambda subscription, seq: ana.leave()  # as a socket that comes back
    log.take_over(8, new=2)

    bruno.join(hub, position=10, authorized_at=10, mark=NEW, authorized_mark=NEW)
    ring(hub, log, log.append())

    assert told(bruno) == [f"11-{NEW}"]
    assert heard(hub).place == log.end()


# ── catching up ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("position", "new"), [(9, 2), (9, 5), (10, 2), (10, 5)])
async def test_resume_from_another_past_is_told_nothing_of_this_one(hub, log, position, new):
    while log.append() < 10:
        pass
    log.take_over(8, new=new)
    ana = Listener()

    ana.join(hub, position=position, authorized_at=log.head, mark=OLD, authorized_mark=NEW)
    ana.on_misled = lambda subscription, seq: (ana.misled_by.append(subscription.topic), ana.leave())
    await settle(60)

    assert ana.misled_by == [TOPIC]
    assert (ana.told, ana.live_at) == ([], None)


@pytest.mark.parametrize("position", [1, 5, 8])
async def test_resume_from_before_the_pasts_parted_is_told_this_one(hub, log, position):
    while log.append() < 10:
        pass
    log.take_over(8, new=5)
    ana = Listener()

    ana.join(hub, position=position, authorized_at=log.head, mark=OLD, authorized_mark=NEW)
    await settle(60)

    assert ana.misled_by == []
    assert told(ana) == [f"{seq}-{OLD if seq < 9 else NEW}" for seq in range(position + 1, 14)]


async def test_position_at_the_head_costs_no_reading(hub, log):
    while log.append() < 10:
        pass
    ana = Listener()

    ana.join(hub, position=10, authorized_at=10, mark=OLD, authorized_mark=OLD)

    assert ana.live_at == 10
    assert log.readings == 0


async def test_position_where_the_others_do_not_know_their_mark_is_read_once(hub, log):
    while log.append() < 10:
        pass
    first, second = Listener(), Listener()
    first.join(hub, position=10, authorized_at=10)

    second.join(hub, position=10, authorized_at=10, mark=OLD)
    await settle()

    assert second.live_at == 10
    assert log.readings == 1
    assert heard(hub).mark == OLD


async def test_number_without_a_mark_is_believed(hub, log):
    while log.append() < 10:
        pass
    log.take_over(8, new=5)
    ana = Listener()

    ana.join(hub, position=10, authorized_at=log.head, authorized_mark=NEW)
    await settle(60)

    assert ana.misled_by == []
    assert ana.seqs == [11, 12, 13]


async def test_log_that_changes_while_somebody_catches_up_does_not_go_on_where_they_were(hub, log):
    log.is_open = False
    while log.append() < 10:
        pass
    ana = Listener()
    ana.join(hub, position=0, authorized_at=10, authorized_mark=OLD)
    ana.on_misled = lambda subscription, seq: (ana.misled_by.append(subscription.topic), ana.leave())
    await settle()
    log.let_one_through()  # events 1 to 3
    await settle()
    log.take_over(1, new=12)
    while log.let_one_through():
        await settle()

    assert ana.misled_by == [TOPIC]
    assert told(ana) == [f"{seq}-{OLD}" for seq in (1, 2, 3)]


async def test_subscriber_without_room_reads_on_only_in_the_log_it_was_told(hub, log):
    ana = await live(hub, log)
    ana.has_room.clear()
    log.append()
    ring(hub, log, 11)
    heard(hub).write_pending()  # no room for 11: behind from 10 on
    subscription = ana.subscription
    assert subscription is not None
    assert subscription.place == Position(10, OLD)
    log.take_over(8, new=9)
    ana.on_misled = lambda subscription, seq: (ana.misled_by.append(subscription.topic), ana.leave())
    ana.has_room.set()
    await settle(60)

    assert ana.misled_by == [TOPIC]
    assert told(ana) == [f"9-{OLD}", f"10-{OLD}"]
