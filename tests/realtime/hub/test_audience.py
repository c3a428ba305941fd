"""One topic in one process: each listener is told every event once, in order, up to where it may hear."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime.events import Delivery
from realtime.hub import held, pages, reactions, window
from realtime.hub.audience import Audience
from realtime.hub.held import MAX_HELD
from realtime.hub.hub import Hub
from realtime.hub.reactions import Told
from realtime.hub.rendering import EVERYTHING, NOTHING, Frame
from realtime.wire.batch import FrameBatch
from realtime.wire.frames import frame_of
from realtime.wire.outbox import Outbox
from tests.realtime.listeners import TOPIC, Listener, Log, StillClock, body, delivery, settle


def end_removed(event: Delivery, told: Told) -> None:
    for subscription in told.of_user(event.fields["user_id"]):
        subscription.lose_access()


@pytest.fixture
def reacting(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Reactions of this test alone."""
    registered: dict[str, Any] = {"removed": [end_removed]}
    monkeypatch.setattr(reactions, "_actions", registered)
    return registered


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Log:
    return Log().stands_in(monkeypatch)


@pytest.fixture
async def quiet_hub() -> Hub:
    """A hub that does nothing by itself."""
    return Hub(asyncio.get_running_loop())


def heard(hub: Hub) -> Audience:
    audience = hub.audience(TOPIC)
    assert audience is not None
    return audience


def ring(hub: Hub, log: Log, *seqs: int) -> None:
    hub.receive([(TOPIC, seq, log.bodies[seq]) for seq in seqs])


# ── bells ────────────────────────────────────────────────────────────────────────────────────────────────


async def test_events_in_order_are_told_without_reading_the_log(quiet_hub, log):
    ana = Listener()
    ana.join(quiet_hub, position=0)
    for _ in range(3):
        ring(quiet_hub, log, log.append())

    assert ana.seqs == [1, 2, 3]
    assert log.readings == 0


async def test_doubled_and_old_bells_are_told_once(quiet_hub, log):
    log = Log(head=3)
    ana = Listener()
    ana.join(quiet_hub, position=0)

    ring(quiet_hub, log, 1, 1, 2, 1, 3, 2, 3)

    assert ana.seqs == [1, 2, 3]


async def test_reordered_bells_are_put_in_order_before_the_log_answers(quiet_hub, log):
    log.is_open = False
    ana = Listener()
    ana.join(quiet_hub, position=0)
    for _ in range(4):
        log.append()

    ring(quiet_hub, log, 3, 4, 2)
    await settle()
    assert ana.seqs == []
    ring(quiet_hub, log, 1)
    assert ana.seqs == [1, 2, 3, 4]

    log.let_one_through()
    await settle()
    assert ana.seqs == [1, 2, 3, 4]
    assert not heard(quiet_hub)._held


async def test_lost_bell_is_read_from_the_log(quiet_hub, log):
    ana = Listener()
    ana.join(quiet_hub, position=0)
    for _ in range(8):
        log.append()

    ring(quiet_hub, log, 8)
    await settle()

    assert ana.seqs == [1, 2, 3, 4, 5, 6, 7, 8]
    assert log.readings == 3  # pages of three


async def test_head_in_the_database_reveals_what_no_bell_told(quiet_hub, log):
    ana = Listener()
    ana.join(quiet_hub, position=0)
    log.append()
    log.append()

    heard(quiet_hub).expect(2)
    await settle()

    assert ana.seqs == [1, 2]


async def test_more_bells_than_are_kept_are_read_instead(quiet_hub, log):
    log.is_open, log.page = False, 500
    ana = Listener()
    ana.join(quiet_hub, position=0)
    for _ in range(MAX_HELD + 300):
        log.append()

    ring(quiet_hub, log, *range(2, log.head + 1))
    assert len(heard(quiet_hub)._held) == MAX_HELD
    await settle()
    while log.let_one_through():
        await settle()

    assert ana.seqs == list(range(1, log.head + 1))
    assert not heard(quiet_hub)._held


def large(log: Log, count: int) -> None:
    """Append events of 64 KiB each."""
    for _ in range(count):
        log.append(words="x" * 65_536)


async def test_large_bells_that_wait_are_bounded_in_bytes_and_the_rest_is_read(quiet_hub, log):
    log.is_open, log.page = False, 500
    ana = Listener()
    ana.join(quiet_hub, position=0)
    log.append()
    large(log, 100)

    ring(quiet_hub, log, *range(2, log.head + 1))
    kept = len(heard(quiet_hub)._held)
    assert 0 < kept * 65_536 <= held.MAX_HELD_BYTES < (kept + 1) * 65_700
    await settle()
    while log.let_one_through():
        await settle()

    assert ana.seqs == list(range(1, log.head + 1))
    assert quiet_hub.held.left == held.MAX_HELD_BYTES_IN_ALL


async def test_bells_that_wait_in_many_topics_are_bounded_together(quiet_hub, log):
    """The room that one topic gives up is there for the next."""
    log.is_open = False
    audiences = [Audience(quiet_hub, f"talk.{number}") for number in range(40)]
    for number, audience in enumerate(audiences):
        audience.position = 0
        for seq in range(2, 22):
            text = body(seq, words="x" * 65_536)
            audience.receive(Delivery(f"talk.{number}", seq, text))
    kept = [len(audience._held) for audience in audiences]
    assert sum(kept) * 65_536 <= held.MAX_HELD_BYTES_IN_ALL
    assert kept[0] == max(kept) == kept[1] > kept[-1] == 0

    audiences[0].close()
    audiences[-1].receive(Delivery("talk.39", 30, body(30)))
    assert len(audiences[-1]._held) == 1
    for audience in audiences:
        audience.close()
    assert quiet_hub.held.left == held.MAX_HELD_BYTES_IN_ALL


async def test_pruned_events_are_passed_over(quiet_hub, log):
    ana = Listener()
    ana.join(quiet_hub, position=0)
    for _ in range(9):
        log.append()
    log.prune(up_to=6)

    ring(quiet_hub, log, 9)
    await settle()
    assert ana.seqs == [7, 8, 9]

    log.append()
    log.prune(up_to=10)
    heard(quiet_hub).expect(10)
    await settle()
    assert heard(quiet_hub).position == 10
    ring(quiet_hub, log, log.append())
    assert ana.seqs == [7, 8, 9, 11]


async def test_bell_of_an_event_that_does_not_exist_deafens_nobody(quiet_hub, log):
    ana = Listener()
    ana.join(quiet_hub, position=0)
    log.append()

    quiet_hub.receive([(TOPIC, 10**12, body(10**12))])
    await settle()
    ring(quiet_hub, log, log.append())

    assert ana.seqs == [1, 2]
    assert not heard(quiet_hub)._held


async def test_bell_that_arrives_while_a_forged_one_is_looked_up_is_not_forgotten(quiet_hub, log):
    log.is_open = False
    ana = Listener()
    ana.join(quiet_hub, position=0)
    quiet_hub.receive([(TOPIC, 50, body(50))])
    await settle()
    audience = heard(quiet_hub)
    nothing_yet = log.read_on(0)

    log.read_on = lambda after: nothing_yet  # the page was read before the two commits
    log.append()
    log.append()
    ring(quiet_hub, log, 2)
    audience._target = 51  # and one more forged bell, so that the target moves
    log.let_one_through()
    await settle()
    del log.read_on
    while log.let_one_through():
        await settle()

    assert ana.seqs == [1, 2]


async def test_database_that_is_away_is_asked_again_and_said_once(quiet_hub, log, caplog):
    ana = Listener()
    ana.join(quiet_hub, position=0)
    log.append()
    log.is_away = True

    heard(quiet_hub).expect(1)
    await settle(50)
    assert log.readings > 5
    log.is_away = False
    await settle()

    assert ana.seqs == [1]
    assert [record.getMessage() for record in caplog.records] == [
        "The database is away: ConnectionError('the database is away')",
        "The database is back",
    ]


async def test_ephemeral_events_pass_whatever_the_position_is(quiet_hub, log):
    ana = Listener()
    ana.join(quiet_hub)

    heard(quiet_hub).receive(delivery(None))
    heard(quiet_hub).receive(delivery(None))

    assert ana.seqs == [None, None]


# ── joining ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("position", [0, 4, 9, 10])
async def test_subscriber_that_is_behind_is_told_everything_since_its_position(quiet_hub, log, position):
    while log.append() < 10:
        pass
    ana = Listener()

    ana.join(quiet_hub, position=position, authorized_at=10)
    await settle(50)
    ring(quiet_hub, log, log.append())

    assert ana.seqs == list(range(position + 1, 12))
    assert ana.live_at == 10


async def test_subscriber_ahead_of_the_bells_is_told_nothing_twice(quiet_hub, log):
    first, second = Listener(), Listener()
    first.join(quiet_hub, position=0)
    for _ in range(5):
        log.append()

    second.join(quiet_hub, position=5, authorized_at=5)  # it read the head before any bell came
    await settle()
    ring(quiet_hub, log, 1, 2, 3, 4, 5)
    ring(quiet_hub, log, log.append())

    assert first.seqs == [1, 2, 3, 4, 5, 6]
    assert second.seqs == [6]


async def test_position_that_never_was_is_live_from_where_everybody_is(quiet_hub, log):
    first, second = Listener(), Listener()
    ring(quiet_hub, log, log.append())
    first.join(quiet_hub, position=1, authorized_at=1)

    second.join(quiet_hub, position=77, authorized_at=77)
    await settle()
    ring(quiet_hub, log, log.append())

    assert first.seqs == second.seqs == [2]
    assert log.readings < 5


async def test_log_that_went_back_is_not_read_again_and_again(quiet_hub, log, monkeypatch):
    """All subscribers are further than the log: those that are behind wait until the hub's next look finds
    that."""
    monkeypatch.setattr(pages, "RETRY_SECONDS", 60)
    while log.append() < 2:
        pass
    first, second = Listener(), Listener()
    first.join(quiet_hub, position=5, authorized_at=5)

    second.join(quiet_hub, position=2, authorized_at=5)
    await settle(200)

    assert log.readings < 5


async def test_nobody_reads_what_was_pruned_while_it_catches_up(quiet_hub, log):
    while log.append() < 10:
        pass
    log.prune(up_to=10)
    ana = Listener()

    ana.join(quiet_hub, position=2, authorized_at=10)
    await settle()
    ring(quiet_hub, log, log.append())

    assert ana.seqs == [11]
    assert log.readings < 5


async def test_event_committed_after_a_pruned_page_was_read_is_not_jumped_over(quiet_hub, log):
    log.is_open = False
    while log.append() < 5:
        pass
    log.prune(up_to=5)
    ana, bruno = Listener(), Listener()
    bruno.join(quiet_hub, position=5, authorized_at=5)
    ana.join(quiet_hub, position=3, authorized_at=5)
    await settle()
    nothing = log.read_on(3)

    # The page was read before the next commit, and arrives after its bell.
    log.read_on = lambda after: nothing
    ring(quiet_hub, log, log.append())
    log.let_one_through()
    await settle()
    del log.read_on
    while log.let_one_through():
        await settle()

    assert ana.seqs == bruno.seqs == [6]


async def test_listening_for_what_is_not_kept_replays_nothing(quiet_hub, log):
    while log.append() < 4:
        pass
    durable, ephemeral = Listener(), Listener()
    durable.join(quiet_hub, position=4, authorized_at=4)

    assert ephemeral.join(quiet_hub) is None
    ring(quiet_hub, log, log.append())

    assert ephemeral.seqs == durable.seqs == [5]


async def test_durable_listener_finds_its_place_among_ephemeral_ones(quiet_hub, log):
    while log.append() < 4:
        pass
    ephemeral, durable = Listener(), Listener()
    ephemeral.join(quiet_hub)

    durable.join(quiet_hub, position=2, authorized_at=4)
    await settle()
    ring(quiet_hub, log, log.append())

    assert durable.seqs == [3, 4, 5]
    assert log.readings == 1


async def test_waiting_for_room_ends_with_the_topic(quiet_hub, log):
    while log.append() < 4:
        pass
    ana = Listener()
    ana.has_room.clear()
    catching_up = ana.join(quiet_hub, position=0, authorized_at=4)
    await settle()

    ana.leave()
    ana.has_room.set()
    await settle()

    assert ana.told == []
    assert catching_up.done()


async def test_last_to_leave_takes_the_audience_along(quiet_hub, log):
    log.is_open = False
    ana, bruno = Listener(), Listener()
    ana.join(quiet_hub, position=0)
    bruno.join(quiet_hub, position=0, rendering=NOTHING)
    heard(quiet_hub).expect(5)
    healing = heard(quiet_hub)._healing
    await settle()

    ana.leave()
    assert quiet_hub.audience(TOPIC) is not None
    bruno.leave()
    await settle()

    assert quiet_hub.audience(TOPIC) is None
    assert healing.cancelled()


# ── rendering ──────────────────────────────────────────────────────────────────────────────────────────────


class Counting:
    """Renders each event as it is; compared by identity."""

    def __init__(self, left_out: int | None = None) -> None:
        self.rendered = 0
        self.left_out = () if left_out is None else (left_out,)

    def render(self, write: Sequence[Delivery]) -> list[Frame]:
        self.rendered += 1
        return [Frame(event.body, self.left_out) for event in write]


class Broken:
    def render(self, write: Sequence[Delivery]) -> list[Frame]:
        raise KeyError("user_id")


async def test_event_is_rendered_once_for_all_of_a_kind(quiet_hub, log):
    rendering = Counting()
    listeners = [Listener() for _ in range(3)]
    for listener in listeners:
        listener.join(quiet_hub, position=0, rendering=rendering)

    ring(quiet_hub, log, log.append())

    assert [listener.seqs for listener in listeners] == [[1], [1], [1]]
    assert rendering.rendered == 1


async def test_one_user_is_left_out_live_and_in_the_past(quiet_hub, log):
    rendering = Counting(left_out=2)
    log.append()
    ana, bruno = Listener(1), Listener(2)
    for listener in (ana, bruno):
        listener.join(quiet_hub, position=0, authorized_at=1, rendering=rendering)
    await settle()

    ring(quiet_hub, log, log.append())

    assert (ana.seqs, bruno.seqs) == ([1, 2], [])


async def test_broken_rendering_keeps_the_event_from_nobody_else(quiet_hub, log, caplog):
    log.append()
    before, broken, after = Listener(), Listener(), Listener()
    before.join(quiet_hub, position=0, authorized_at=1)
    broken.join(quiet_hub, position=0, authorized_at=1, rendering=Broken())
    after.join(quiet_hub, position=0, authorized_at=1, rendering=Counting())
    await settle()

    ring(quiet_hub, log, log.append())

    assert (before.seqs, broken.seqs, after.seqs) == ([1, 2], [], [1, 2])
    assert broken.subscription not in heard(quiet_hub).behind
    assert {record.getMessage() for record in caplog.records} == {
        f"An event of {TOPIC} could not be rendered for some sockets"
    }


async def test_rendering_changes_between_two_events(quiet_hub, log):
    other = Counting()
    ana, bruno = Listener(), Listener()
    ana.join(quiet_hub, position=0)
    bruno.join(quiet_hub, position=0)
    ring(quiet_hub, log, log.append())

    ana.subscription.render_as(other)
    ana.subscription.render_as(other)
    ring(quiet_hub, log, log.append())
    bruno.subscription.render_as(other)
    ring(quiet_hub, log, log.append())

    assert ana.seqs == bruno.seqs == [1, 2, 3]
    assert other.rendered == 2
    assert heard(quiet_hub).live.keys() == {other}


async def test_rendering_changes_while_catching_up(quiet_hub, log):
    while log.append() < 6:
        pass
    ana = Listener()
    log.is_open = False
    ana.join(quiet_hub, position=0, authorized_at=6, rendering=NOTHING)
    await settle()
    log.let_one_through()
    await settle()

    ana.subscription.render_as(EVERYTHING)
    while log.let_one_through():
        await settle()

    assert ana.seqs == [4, 5, 6]


async def test_position_is_known_while_live_and_while_behind(quiet_hub, log):
    while log.append() < 6:
        pass
    log.is_open = False
    live, behind = Listener(), Listener()
    live.join(quiet_hub, position=6, authorized_at=6)
    behind.join(quiet_hub, position=1, authorized_at=6)
    await settle()
    log.let_one_through()
    await settle()

    assert (live.subscription.seq, behind.subscription.seq) == (6, 4)


# ── the end of a right ───────────────────────────────────────────────────────────────────────────────────


async def test_removed_user_gets_the_removal_and_nothing_after_it(quiet_hub, log, reacting):
    ana, bruno = Listener(1), Listener(2)
    ana.join(quiet_hub, position=0)
    bruno.join(quiet_hub, position=0)
    log.append()
    log.append("removed", user_id=2)
    log.append()

    ring(quiet_hub, log, 1, 2, 3)

    assert (ana.seqs, bruno.seqs) == ([1, 2, 3], [1, 2])
    assert bruno.lost == [TOPIC]


async def test_removal_read_in_the_log_cuts_at_the_same_place(quiet_hub, log, reacting):
    bruno = Listener(2)
    for kind in ("said", "removed", "said", "said"):
        log.append(kind, user_id=2)
    bruno.join(quiet_hub, position=0, authorized_at=0)

    heard(quiet_hub).expect(4)
    await settle()

    assert bruno.seqs == [1, 2]
    assert quiet_hub.audience(TOPIC) is None


async def test_right_that_was_given_again_survives_the_old_removal(quiet_hub, log, reacting):
    bruno = Listener(2)
    for kind in ("said", "removed", "added", "said"):
        log.append(kind, user_id=2)

    bruno.join(quiet_hub, position=0, authorized_at=3)
    await settle()
    assert bruno.seqs == [1, 2, 3]

    log.append("removed", user_id=2)
    log.append()
    ring(quiet_hub, log, 4, 5, 6)
    assert bruno.seqs == [1, 2, 3, 4, 5]


async def test_failing_reaction_is_logged_and_stops_nobody(quiet_hub, log, reacting, caplog):
    def fail(event: Delivery, told: Told) -> None:
        raise RuntimeError("a bug")

    reacting["removed"] = [fail, end_removed]
    ana, bruno = Listener(1), Listener(2)
    ana.join(quiet_hub, position=0)
    bruno.join(quiet_hub, position=0)
    log.append("removed", user_id=2)
    log.append()

    ring(quiet_hub, log, 1, 2)

    assert (ana.seqs, bruno.seqs) == ([1, 2], [1])
    assert [record.getMessage() for record in caplog.records] == [f"A reaction to removed on {TOPIC} failed"]


async def test_socket_that_leaves_while_it_is_told_disturbs_nobody(quiet_hub, log):
    listeners = [Listener() for _ in range(5)]
    for listener in listeners:
        listener.join(quiet_hub, position=0)

    def told_and_gone(self: Listener, batch: FrameBatch) -> bool:
        self._told += batch.payloads
        self.leave()
        return True

    for listener in listeners[:4]:
        listener.push_batch = told_and_gone.__get__(listener)
    for _ in range(2):
        ring(quiet_hub, log, log.append())
        heard(quiet_hub).write_pending()

    assert [listener.seqs for listener in listeners] == [[1], [1], [1], [1], [1, 2]]


async def test_idle_topic_is_told_in_the_next_turn_and_a_busy_one_joined(quiet_hub, log, monkeypatch):
    monkeypatch.setattr(window, "MIN_SECONDS", 0.2)
    monkeypatch.setattr(window, "MAX_SECONDS", 0.2)
    clock = StillClock(monkeypatch)
    ana = Listener()
    ana.join(quiet_hub, position=0)
    batches: list[list[str]] = []
    ana.push_batch = lambda batch: batches.append(batch.payloads) or True

    ring(quiet_hub, log, log.append())
    await settle(2)
    first = len(batches)
    for _ in range(5):
        ring(quiet_hub, log, log.append())
        await settle(2)
    joined = len(batches)
    await clock.passes(300)

    assert (first, joined) == (1, 1)
    assert [len(batch) for batch in batches] == [1, 5]


async def test_new_subscriber_is_not_told_earlier_events(quiet_hub, log):
    ana, bruno = Listener(1), Listener(2)
    ana.join(quiet_hub, position=0)
    ring(quiet_hub, log, log.append())
    bruno.join(quiet_hub, position=1)
    ring(quiet_hub, log, log.append())

    assert (ana.seqs, bruno.seqs) == ([1, 2], [2])


# ── no room ──────────────────────────────────────────────────────────────────────────────────────────────


async def test_burst_is_written_in_pieces_that_fit(quiet_hub, log, settings):
    settings.RELAIS = {**settings.RELAIS, "limit_outbox_bytes": 2_000}
    ana = Listener()
    ana.join(quiet_hub, position=0)
    sizes: list[int] = []
    ana.push_batch = lambda batch: sizes.append(batch.size) or True

    for _ in range(20):
        log.append(text="😀" * 40)
    one = len(frame_of(log.bodies[1]))
    ring(quiet_hub, log, *range(1, 21))
    heard(quiet_hub).write_pending()

    assert sum(sizes) >= 20 * one
    assert max(sizes) < 1_000 + one + 20


async def test_subscriber_without_room_reads_the_log_later_and_holds_up_nobody(quiet_hub, log):
    ana, bruno = Listener(1), Listener(2)
    ana.join(quiet_hub, position=0)
    bruno.join(quiet_hub, position=0)
    ring(quiet_hub, log, log.append())
    heard(quiet_hub).write_pending()

    bruno.has_room.clear()
    ring(quiet_hub, log, log.append(), log.append())
    heard(quiet_hub).receive(delivery(None))
    heard(quiet_hub).write_pending()
    ring(quiet_hub, log, log.append())
    await settle()
    assert (ana.seqs, bruno.seqs) == ([1, 2, 3, None, 4], [1])

    bruno.has_room.set()
    await settle()
    ring(quiet_hub, log, log.append())
    assert (ana.seqs[-1], bruno.seqs) == (5, [1, 2, 3, 4, 5])
    assert heard(quiet_hub).behind == {}


async def test_subscriber_caught_up_before_a_flush_is_told_nothing_twice_when_it_falls_behind(quiet_hub, log):
    ana, mute = Listener(1), Listener(2)
    mute.join(quiet_hub, position=0, rendering=NOTHING)
    ring(quiet_hub, log, log.append(), log.append())
    ana.join(quiet_hub, position=2, authorized_at=2)

    ana.has_room.clear()
    ring(quiet_hub, log, log.append())
    heard(quiet_hub).write_pending()
    ana.has_room.set()
    await settle()

    assert ana.seqs == [3]


async def test_removed_user_without_room_is_told_up_to_the_removal_all_the_same(quiet_hub, log, reacting):
    ana, bruno, at_home = Listener(1), Listener(2), Listener(2)
    for listener, rendering in ((ana, EVERYTHING), (bruno, EVERYTHING), (at_home, Counting())):
        listener.join(quiet_hub, position=0, rendering=rendering)
    bruno.has_room.clear()
    at_home.has_room.clear()
    for kind in ("said", "removed", "said"):
        log.append(kind, user_id=2)

    ring(quiet_hub, log, 1, 2, 3)
    bruno.has_room.set()
    at_home.has_room.set()
    await settle()

    assert (ana.seqs, bruno.seqs, at_home.seqs) == ([1, 2, 3], [1, 2], [1, 2])
    assert bruno.lost == at_home.lost == [TOPIC]


async def test_topic_without_a_log_closes_no_socket_without_room(quiet_hub, log):
    ana = Listener()
    ana.join(quiet_hub)
    ana.has_room.clear()

    heard(quiet_hub).receive(delivery(7))
    heard(quiet_hub).write_pending()
    ana.has_room.set()
    heard(quiet_hub).receive(delivery(8))

    assert ana.seqs == [8]


class Reader(Listener):
    """A peer behind an outbox as on our servers, which takes a little in every turn of the loop."""

    def __init__(self, takes: int) -> None:
        super().__init__()
        self.takes = takes
        self.buffer = b""
        self.largest = self.slow = 0
        self.real = Outbox(self._nowhere, self, self._too_slow)
        self.real.open()

    async def _nowhere(self, message: dict[str, object]) -> None: ...

    def _too_slow(self) -> None:
        self.slow += 1

    def push_batch(self, batch: FrameBatch) -> bool:
        taken = self.real.push_batch(batch)
        if taken:
            self._told += batch.payloads
        return taken

    async def room_for(self, size: int) -> None:
        await self.real.room_for(size)

    async def drained(self) -> None:
        await self.real.drained()

    def write(self, data: bytes) -> None:
        self.buffer += data
        self.largest = max(self.largest, len(self.buffer))

    def waiting(self) -> int:
        return len(self.buffer)

    def heard_at(self) -> float:
        return 0.0

    def abort(self) -> None: ...

    def abandon(self) -> None: ...

    async def read(self) -> None:
        while True:
            self.buffer = self.buffer[self.takes :]
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("is_bell_lost", [False, True])
async def test_burst_larger_than_the_room_reaches_a_reader_and_never_exceeds_the_room(
    quiet_hub, log, settings, is_bell_lost
):
    settings.RELAIS = {**settings.RELAIS, "limit_outbox_bytes": 20_000}
    log.page = 20
    ana = Reader(takes=2_000)
    reading = asyncio.create_task(ana.read())
    ana.join(quiet_hub, position=0)
    for _ in range(100):
        log.append(text="x" * 1_000)

    if is_bell_lost:
        heard(quiet_hub).expect(100)
    else:
        ring(quiet_hub, log, *range(1, 101))
    async with asyncio.timeout(10):
        while len(ana.seqs) < 100:  # noqa: ASYNC110 - a list has no event
            await asyncio.sleep(0.01)
    reading.cancel()

    assert ana.seqs == list(range(1, 101))
    assert ana.slow == 0
    assert ana.largest <= 20_000


# ── a log that goes back ─────────────────────────────────────────────────────────────────────────────────


async def test_page_of_a_log_that_went_back_meanwhile_is_thrown_away(quiet_hub, log):
    log.is_open, log.page = False, 500
    while log.append() < 12:
        pass
    ana = Listener()
    ana.join(quiet_hub, position=10, authorized_at=10)
    heard(quiet_hub).expect(12)
    await settle()
    old = log.read_on(10)

    log.read_on = lambda after: old
    heard(quiet_hub).go_back(8)
    heard(quiet_hub).expect(12)
    log.let_one_through()
    await settle()
    del log.read_on
    while log.let_one_through():
        await settle()

    assert ana.seqs == [9, 10, 11, 12]


@pytest.mark.parametrize("is_read", [False, True])
async def test_subscriber_behind_when_the_log_goes_back_is_told_what_comes_in_its_place(
    quiet_hub, log, is_read
):
    """The page for such a subscriber is still being read, or is read and waits for room."""
    log.is_open, log.page = False, 500
    while log.append() < 12:
        pass
    ana, bruno = Listener(), Listener()
    ana.join(quiet_hub, position=12, authorized_at=12)
    bruno.join(quiet_hub, position=10, authorized_at=12)
    bruno.has_room.clear()
    await settle()
    old = log.read_on(10)
    log.read_on = lambda after: old
    if is_read:
        log.let_one_through()
        await settle()

    heard(quiet_hub).go_back(8)
    heard(quiet_hub).expect(12)
    if not is_read:
        log.let_one_through()
        await settle()
    del log.read_on
    bruno.has_room.set()
    await settle()
    while log.let_one_through():
        await settle()

    assert (ana.seqs, bruno.seqs) == ([9, 10, 11, 12], [9, 10, 11, 12])


# ── the standing test: any order of things ───────────────────────────────────────────────────────────────

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(1, 4)),
        st.tuples(st.just("remove"), st.integers(0, 5)),
        st.tuples(st.just("ring"), st.integers(0, 7)),
        st.tuples(st.just("check"), st.just(0)),
        st.tuples(st.just("join"), st.integers(0, 8)),
        st.tuples(st.just("leave"), st.integers(0, 5)),
        st.tuples(st.just("room"), st.integers(0, 5)),
        st.tuples(st.just("read"), st.just(0)),
        st.tuples(st.just("turn"), st.integers(1, 4)),
    ),
    min_size=25,  # hypothesis writes short stories unless told; most faults need a long one
    max_size=60,
)


class World:
    """One topic, whose bells are lost, doubled and late, and people who come and go."""

    def __init__(self) -> None:
        self.log = Log()
        self.log.is_open = False
        self.hub = Hub(asyncio.get_running_loop())
        self.listeners: list[Listener] = []
        self.joined_at: dict[Listener, int] = {}
        self.removed_at: dict[Listener, int] = {}
        self.left: set[Listener] = set()

    async def step(self, what: str, number: int) -> None:  # noqa: C901 - one case per kind of step
        listener = self.listeners[number % len(self.listeners)] if self.listeners else None
        match what:
            case "append":
                for _ in range(number):
                    self.log.append()
            case "remove" if listener and listener not in self.removed_at:
                self.removed_at[listener] = self.log.append("removed", user_id=listener.user_id)
            case "ring" if self.log.head:
                ring(self.hub, self.log, max(1, self.log.head - number))
            case "check" if audience := self.hub.audience(TOPIC):
                audience.expect(self.log.head)
            case "join":
                position = max(0, self.log.head - number)
                newcomer = Listener(user_id=len(self.listeners) + 1)
                self.listeners.append(newcomer)
                self.joined_at[newcomer] = position
                newcomer.join(self.hub, position=position, authorized_at=self.log.head)
            case "leave" if listener:
                listener.leave()
                self.left.add(listener)
            case "room" if listener:
                (listener.has_room.clear if listener.has_room.is_set() else listener.has_room.set)()
            case "read":
                self.log.let_one_through()
            case "turn":
                await settle(number)

    async def come_to_rest(self) -> None:
        """End the faults: the next look at the heads finds what is missing."""
        for listener in self.listeners:
            listener.has_room.set()
        if audience := self.hub.audience(TOPIC):
            audience.expect(self.log.head)
        await settle()
        while self.log.let_one_through():
            await settle()

    def check(self) -> None:
        for listener in self.listeners:
            start, seqs = self.joined_at[listener], listener.seqs
            assert seqs == list(range(start + 1, start + 1 + len(seqs))), "a hole, a double or an inversion"
            assert [json.loads(frame) for frame in listener.told] == [
                json.loads(self.log.bodies[seq]) for seq in seqs
            ]
            end = self.removed_at.get(listener, self.log.head)
            assert not seqs or seqs[-1] <= end, "told after the removal"
            if listener not in self.left:
                assert seqs[-1:] == ([end] if end > start else []), "not told everything"
                assert (listener in self.removed_at) == (listener.subscription is None)


@given(steps=STEPS)
@settings(max_examples=300)
def test_everybody_is_told_everything_once_in_order_and_nothing_after_their_removal(steps):
    async def run() -> None:
        world = World()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(pages, "read_page", world.log.read_page)
            patch.setattr(reactions, "_actions", {"removed": [end_removed]})
            for what, number in steps:
                await world.step(what, number)
            await world.come_to_rest()
            world.check()
            for listener in world.listeners:
                listener.leave()
            assert world.hub.audience(TOPIC) is None
            await settle()
            assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []

    asyncio.run(run())
