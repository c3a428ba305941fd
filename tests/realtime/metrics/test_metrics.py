"""The core's instruments: each rises when its event happens, by the right number."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from realtime.bells import bell, hosts
from realtime.bells.metrics import BELL_EVENTS_DROPPED, BELLS
from realtime.bells.ringer import MAX_BELL_BYTES, MAX_WAITING, Ringer
from realtime.events import Delivery, Logged
from realtime.hub.hub import Hub
from realtime.hub.metrics import DELIVERIES, DELIVERY_SECONDS, EVENTS_BACKFILLED, EVENTS_REPLAYED
from realtime.hub.rendering import Frame
from realtime.metrics.instruments import Histogram, Instrument
from realtime.metrics.outages import OUTAGES, Outage
from realtime.metrics.vitals import LOOP_LAG, LOOP_LAG_MAX
from realtime.sockets.metrics import SOCKETS_CLOSED, closed, opened, refused_with
from realtime.wire.batch import FrameBatch
from realtime.wire.frames import frame_of
from realtime.wire.metrics import EVENTS_GIVEN_WAY, OUTBOX_LARGEST_BYTES, OUTBOX_WAITING_BYTES
from realtime.wire.outbox import WATCHED_BYTES, Outbox, outbox_for
from tests.realtime.listeners import TOPIC, Listener, Log, body, settle


def shown(instrument: Instrument, *labels: str) -> float:
    """The value of an instrument; of a histogram the number of observations."""
    values = instrument.series().get(labels, [0])
    return sum(values[1:]) if isinstance(instrument, Histogram) else values[0]


@pytest.fixture
def rise() -> Callable[..., Callable[[], float]]:
    """`of = rise(counter)`: `of()` is the number that it counted since."""

    def since(instrument: Instrument, *labels: str) -> Callable[[], float]:
        before = shown(instrument, *labels)
        return lambda: shown(instrument, *labels) - before

    return since


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Log:
    return Log().stands_in(monkeypatch)


@pytest.fixture
async def quiet_hub() -> Hub:
    return Hub(asyncio.get_running_loop())


# ── events ───────────────────────────────────────────────────────────────────────────────────────────────


async def test_deliveries_are_frames_times_the_sockets_not_left_out(quiet_hub, rise) -> None:
    class ToOthers:
        def render(self, write: Sequence[Delivery]) -> list[Frame]:
            return [Frame(event.body, left_out=(1,)) for event in write]

    deliveries, rendering = rise(DELIVERIES), ToOthers()
    sockets = [Listener(user_id) for user_id in (1, 1, 2, 3, 4)]
    for socket in sockets:
        socket.join(quiet_hub, position=0, rendering=rendering)

    quiet_hub.receive([(TOPIC, seq, body(seq)) for seq in (1, 2)])
    assert [len(socket.told) for socket in sockets] == [0, 0, 2, 2, 2]

    assert deliveries() == 6


async def test_delivery_takes_from_the_commit_of_the_oldest_to_the_writing(quiet_hub, rise) -> None:
    flushes = rise(DELIVERY_SECONDS)
    before = DELIVERY_SECONDS.series()[()][0]
    ana = Listener()
    ana.join(quiet_hub, position=0)

    quiet_hub.receive([(TOPIC, 1, body(1))], told_at=time.time() - 3)
    quiet_hub.receive([(TOPIC, 2, body(2))], told_at=time.time())
    assert ana.seqs == [1, 2]

    assert flushes() == 1
    assert 3 <= DELIVERY_SECONDS.series()[()][0] - before < 4


async def test_clock_that_is_ahead_takes_nothing_away(quiet_hub, rise) -> None:
    flushes, before = rise(DELIVERY_SECONDS), DELIVERY_SECONDS.series()[()][0]
    ana = Listener()
    ana.join(quiet_hub, position=0)

    quiet_hub.receive([(TOPIC, 1, body(1))], told_at=time.time() + 60)
    assert ana.seqs == [1]

    assert flushes() == 1
    assert DELIVERY_SECONDS.series()[()][0] == before


async def test_lost_bell_is_a_backfill_and_no_delivery_time(quiet_hub, log, rise) -> None:
    backfilled, replayed = rise(EVENTS_BACKFILLED), rise(EVENTS_REPLAYED)
    flushes = rise(DELIVERY_SECONDS)
    ana = Listener()
    ana.join(quiet_hub, position=0)
    for _ in range(4):
        log.append()

    quiet_hub.receive([(TOPIC, 4, body(4))], told_at=time.time())
    await settle()

    assert ana.seqs == [1, 2, 3, 4]
    assert (backfilled(), replayed(), flushes()) == (3, 0, 0)


async def test_socket_that_resumes_replays(quiet_hub, log, rise) -> None:
    backfilled, replayed = rise(EVENTS_BACKFILLED), rise(EVENTS_REPLAYED)
    deliveries = rise(DELIVERIES)
    for _ in range(5):
        log.append()
    ana = Listener()

    catching_up = ana.join(quiet_hub, position=2, authorized_at=5)
    assert catching_up is not None
    await asyncio.wait_for(catching_up, 5)

    assert ana.seqs == [3, 4, 5]
    assert (backfilled(), replayed(), deliveries()) == (0, 3, 3)


# ── slow readers ─────────────────────────────────────────────────────────────────────────────────────────


class SlowWire:
    """A peer that has this many bytes waiting."""

    def __init__(self, waiting: int) -> None:
        self._waiting = waiting

    def write(self, data: bytes) -> None:
        self._waiting += len(data)

    def waiting(self) -> int:
        return self._waiting

    def heard_at(self) -> float:
        return 0.0

    def abort(self) -> None: ...

    def abandon(self) -> None: ...


async def nowhere(message: dict[str, object]) -> None: ...


def batch_of(*kinds: str) -> FrameBatch:
    """A batch of events that may be dropped; the type in a text does not decide its kind."""
    batch = FrameBatch()
    for kind in kinds:
        batch.add('{"type":"event","words":"{\\"type\\":\\"receipt\\""}', droppable_kind=kind)
    return batch


async def test_events_that_give_way_are_counted_by_their_kind(settings: Any, rise) -> None:
    settings.RELAIS = {**settings.RELAIS, "limit_outbox_bytes": 2 * WATCHED_BYTES}
    typing, receipts = rise(EVENTS_GIVEN_WAY, "typing"), rise(EVENTS_GIVEN_WAY, "receipt")
    outbox = Outbox(nowhere, SlowWire(2 * WATCHED_BYTES - 100), lambda: None)
    outbox.open()

    assert not outbox.push_batch(batch_of("typing", "typing", "receipt"))
    outbox.push('{"type":"receipt","seq":1}', droppable_kind="receipt")

    assert (typing(), receipts()) == (2, 2)
    outbox.abandon()


async def test_events_that_give_way_without_prepared_frames_are_counted_too(settings: Any, rise) -> None:
    settings.RELAIS = {**settings.RELAIS, "limit_outbox_bytes": 100}
    typing = rise(EVENTS_GIVEN_WAY, "typing")
    outbox = outbox_for({}, nowhere, lambda: None, lambda: None)
    outbox.push("x" * 60)

    outbox.push('{"type":"typing"}', droppable_kind="typing")

    assert typing() == 1


async def test_backlog_is_that_of_slow_readers_while_they_are_slow() -> None:
    slow, slower, quick = SlowWire(20_000), SlowWire(50_000), SlowWire(0)
    outboxes = [Outbox(nowhere, wire, lambda: None) for wire in (slow, slower, quick)]
    for outbox in outboxes:
        outbox.open()
        outbox.push("x")

    frame = len(frame_of("x"))
    assert shown(OUTBOX_WAITING_BYTES) == 70_000 + 2 * frame
    assert shown(OUTBOX_LARGEST_BYTES) == 50_000 + frame

    for outbox in outboxes:
        outbox.abandon()
    assert shown(OUTBOX_WAITING_BYTES) == shown(OUTBOX_LARGEST_BYTES) == 0


# ── between processes ────────────────────────────────────────────────────────────────────────────────────


class Layer:
    """Stands in for the channel layer."""

    def __init__(self) -> None:
        self.is_away = False
        self.sent: list[bytes] = []

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        if self.is_away:
            raise ConnectionError
        self.sent.append(message["bell"])


@pytest.fixture
def layer(monkeypatch: pytest.MonkeyPatch) -> Layer:
    layer = Layer()
    monkeypatch.setattr(hosts, "channel_layer", lambda: layer)
    return layer


async def test_bells_are_counted_by_their_outcome(layer, rise) -> None:
    rung, failed = rise(BELLS, "rung"), rise(BELLS, "failed")
    heard, unreadable = rise(BELLS, "heard"), rise(BELLS, "unreadable")
    outages_of_layer = rise(OUTAGES, "layer_out")
    ringer = Ringer()

    ringer.ring([Logged(TOPIC, 1, body(1))])
    await ringer.drained()
    layer.is_away = True
    for seq in (2, 3):
        ringer.ring([Logged(TOPIC, seq, body(seq))])
        await ringer.drained()
    assert bell.heard_in({"bell": layer.sent[0]}) is None, "our own"
    by_another = (bell.opened(layer.sent[0]) or b"").replace(bell.origin().encode(), b"another")
    bell.heard_in({"bell": bell.sealed(by_another)})
    bell.heard_in({"bell": b"?"})

    assert (rung(), failed(), heard(), unreadable(), outages_of_layer()) == (1, 2, 1, 1, 1)


async def test_events_that_no_bell_takes_are_counted(layer, rise) -> None:
    dropped = rise(BELL_EVENTS_DROPPED)
    ringer = Ringer()

    ringer.ring([Logged(TOPIC, 1, "{}")] * (MAX_WAITING - 1))
    ringer.ring([Logged(TOPIC, 1, "{}")] * 4)

    assert dropped() == 3
    await ringer.drained()


async def test_bell_says_when_its_oldest_event_was_told(layer) -> None:
    ringer = Ringer()
    half = "x" * (MAX_BELL_BYTES // 2)

    for told_at in (1.0, 2.0, 3.0):
        ringer.ring([Logged(TOPIC, None, half)], told_at=told_at)
    await ringer.drained()

    said = [bell.decode({"bell": sent}).told_at for sent in layer.sent]
    assert said == [1.0, 3.0]


def test_outage_is_counted_once_until_it_is_over(rise) -> None:
    count, database = rise(OUTAGES, "database"), Outage("A database", counted_as="database")

    for _ in range(3):
        database.noticed(ConnectionError())
    database.over()
    database.noticed(ConnectionError())

    assert count() == 2


# ── sockets ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("code", [None, "4404", 999, 3333, 4999, 10**9, -1])
def test_close_code_that_the_peer_made_up_is_one_of_the_others(rise, code: object) -> None:
    others = rise(SOCKETS_CLOSED, "other", "peer")
    opened("chat")

    closed("chat", code, "peer")

    assert others() == 1


def test_close_code_of_a_dialect_is_counted_as_it_is(rise) -> None:
    ours = rise(SOCKETS_CLOSED, "3012", "restarting")
    opened("chat")

    closed("chat", 3012, "restarting")

    assert ours() == 1


@pytest.mark.acceptance
def test_every_reason_to_refuse_a_handshake_is_shown_from_the_start() -> None:
    """It runs in a process of its own: in this one other tests may have counted."""
    show = (
        "from realtime.sockets.metrics import HANDSHAKES_REFUSED as refused\n"
        "print(*(reason for (reason,) in refused.series()))"
    )
    shown_by_it = subprocess.run(
        [sys.executable, "-c", show], capture_output=True, text=True, check=True, timeout=60
    )

    reasons = {refused_with(status) for status in (403, 404, 429, 503)}
    assert set(shown_by_it.stdout.split()) == reasons | {"draining"}


# ── the process ──────────────────────────────────────────────────────────────────────────────────────────


async def test_loop_that_was_held_up_shows_it(hub: Hub, rise) -> None:
    looks = rise(LOOP_LAG)
    await asyncio.sleep(0.15)
    time.sleep(0.4)  # noqa: ASYNC251 - the fault: somebody holds the loop
    await asyncio.sleep(0.15)

    assert looks() >= 2
    assert shown(LOOP_LAG_MAX) > 0.25
