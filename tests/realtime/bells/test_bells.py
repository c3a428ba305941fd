"""Bells carry events between processes, and lost ones do no harm."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack
import pytest
import redis
from channels.layers import channel_layers

from realtime.bells import hosts, local_hubs, metrics, ringer
from realtime.bells.bell import Bell, Ring, decode, group_of, heard_in, origin, sealed, shard_of
from realtime.bells.hosts import layer_is_shared
from realtime.bells.listener import MAX_BACKLOG_BYTES, Backlog
from realtime.bells.local_hubs import deliver
from realtime.bells.ringer import MAX_BELL_BYTES, MAX_WAITING, MAX_WAITING_BYTES, Ringer
from realtime.events import Event, Logged
from realtime.log import positions
from realtime.publishing import publish_now, publish_on_commit
from tests import environment
from tests.realtime.listeners import settle

ROOT = Path(__file__).resolve().parents[3]


class Said(Event, tag="said", frozen=True):
    words: str
    seq: int = 0


class Whispered(Event, tag="whispered", frozen=True):
    words: str


class Layer:
    """A channel layer that keeps what it is given, or is away."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, Bell]] = []
        self.is_away = False
        self.is_slow: asyncio.Event | None = None

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        if self.is_slow is not None:
            await self.is_slow.wait()
        if self.is_away:
            raise ConnectionError("no redis")
        self.sent.append((group, decode(message)))

    def told(self) -> list[str]:
        return [ring.body for _, bell in self.sent for ring in bell.rings]


@pytest.fixture
def layer(monkeypatch: pytest.MonkeyPatch) -> Layer:
    layer = Layer()
    monkeypatch.setattr(hosts, "get_channel_layer", lambda: layer)
    return layer


def logged(number: int, *, topic: str = "talk.1", size: int = 0) -> Logged:
    return Logged(topic, number, f"{number}" + "x" * size)


# ── reading a bell ───────────────────────────────────────────────────────────────────────────────────────


def bell_bytes(**changes: Any) -> bytes:
    return sealed(json.dumps({"origin": "other", "rings": [["talk.1", 1, "{}"]], **changes}).encode())


def test_bell_of_another_process_is_heard():
    bell = heard_in({"type": "bell", "bell": bell_bytes()})

    assert bell == Bell("other", [Ring("talk.1", 1, "{}")])


def test_own_bell_is_not_heard_again():
    assert heard_in({"bell": bell_bytes(origin=origin())}) is None


@pytest.mark.parametrize(
    "message",
    [
        None,
        [],
        "bell",
        {},
        {"type": "bell"},
        {"bell": None},
        {"bell": 7},
        {"bell": b""},
        {"bell": b"\xff"},
        {"bell": sealed(b"{}")},
        {"bell": sealed(b"")},
        {"bell": bell_bytes(rings=None)},
        {"bell": bell_bytes(rings=[["talk.1", 1]])},
        {"bell": bell_bytes(rings=[["talk.1", "1", "{}"]])},
        {"bell": bell_bytes(rings=[[None, 1, "{}"]])},
        {"bell": bell_bytes(rings=[["talk.1", 1, {}]])},
        {"bell": bell_bytes(rings=[["talk.1", 1.5, "{}"]])},
        {"bell": bell_bytes(origin=7)},
    ],
)
def test_message_that_is_no_bell_is_ignored(message):
    assert heard_in(message) is None


def test_bell_that_none_of_ours_rang_is_ignored(settings):
    heard = bell_bytes()
    assert heard_in({"bell": heard}) is not None

    assert heard_in({"bell": heard[16:]}) is None, "not sealed"
    assert heard_in({"bell": heard.replace(b"talk.1", b"talk.2")}) is None, "changed"
    settings.SECRET_KEY = "another-secret-of-another-service-0123456789"
    assert heard_in({"bell": heard}) is None, "of somebody else"


def test_bells_are_heard_while_keys_rotate(settings):
    old, settings.SECRET_KEY = settings.SECRET_KEY, "the-next-secret-of-this-service-0123456789-abc"
    by_new = bell_bytes()
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = old, [settings.SECRET_KEY]

    assert heard_in({"bell": by_new}) is not None
    assert heard_in({"bell": bell_bytes()}) is not None


def test_topics_keep_their_shard_and_shards_share_the_load(settings):
    settings.RELAIS = {"bell_shards": 4}
    shards = [shard_of(f"conversation.{number}") for number in range(400)]

    assert shards == [shard_of(f"conversation.{number}") for number in range(400)]
    assert {shard: shards.count(shard) > 60 for shard in set(shards)} == dict.fromkeys(range(4), True)


# ── ringing ──────────────────────────────────────────────────────────────────────────────────────────────


async def test_waiting_events_leave_together_and_in_order(layer):
    ringer = Ringer()
    for number in range(5):
        ringer.ring([logged(number)])
    await ringer.drained()
    ringer.ring([logged(5)])
    await ringer.drained()

    assert layer.told() == ["0", "1", "2", "3", "4", "5"]
    assert [len(bell.rings) for _, bell in layer.sent] == [5, 1]
    assert {bell.origin for _, bell in layer.sent} == {origin()}


async def test_large_batch_travels_in_several_bells(layer):
    ringer = Ringer()
    ringer.ring([logged(number, size=MAX_BELL_BYTES // 2) for number in range(5)])
    await ringer.drained()

    assert [len(bell.rings) for _, bell in layer.sent] == [2, 2, 1]


async def test_each_shard_has_its_bell(layer, settings):
    settings.RELAIS = {"bell_shards": 4}
    ringer = Ringer()
    ringer.ring([logged(number, topic=f"talk.{number % 8}") for number in range(32)])
    await ringer.drained()

    assert {group for group, _ in layer.sent} == {f"relais.bells.{shard}" for shard in range(4)}
    for group, bell in layer.sent:
        assert {group_of(shard_of(ring.topic)) for ring in bell.rings} == {group}
    assert len(layer.told()) == 32


async def test_bells_are_given_up_while_the_layer_is_away_and_that_is_said_once(layer, caplog):
    ringer = Ringer()
    layer.is_away = True
    for number in range(3):
        ringer.ring([logged(number)])
        await ringer.drained()
    layer.is_away = False
    ringer.ring([logged(3)])
    await ringer.drained()

    assert layer.told() == ["3"]
    assert [record.getMessage() for record in caplog.records] == [
        "The channel layer, for what we tell other processes, is away: ConnectionError('no redis')",
        "The channel layer, for what we tell other processes, is back",
    ]


async def test_events_that_wait_for_a_slow_layer_are_bounded(layer):
    ringer = Ringer()
    layer.is_slow = asyncio.Event()
    ringer.ring([logged(0)])
    await settle()
    for number in range(1, MAX_WAITING + 10):
        ringer.ring([logged(number)])
    layer.is_slow.set()
    await ringer.drained()

    assert layer.told() == ["0", *(str(number) for number in range(10, MAX_WAITING + 10))]


async def test_events_that_wait_for_a_slow_layer_are_bounded_in_bytes(layer):
    ringer = Ringer()
    layer.is_slow = asyncio.Event()
    ringer.ring([logged(0)])
    await settle()
    dropped = metrics.BELL_EVENTS_DROPPED.value
    count = 3 * MAX_WAITING_BYTES // 65_536
    ringer.ring([logged(number, size=65_536) for number in range(1, count + 1)])
    kept = ringer.waiting
    assert (kept + 1) * 65_700 > MAX_WAITING_BYTES >= kept * 65_536
    assert metrics.BELL_EVENTS_DROPPED.value == dropped + count - kept
    layer.is_slow.set()
    await ringer.drained()

    numbers = [int(text.rstrip("x")) for text in layer.told()]
    assert numbers == [0, *range(count - kept + 1, count + 1)]


async def test_bells_heard_and_not_taken_are_bounded_in_bytes():
    heard = Backlog()
    for number in range(3 * MAX_BACKLOG_BYTES // 65_536):
        heard.put_nowait(number.to_bytes(2, "big") + b"x" * 65_536)
        assert heard.qsize() * 65_538 <= MAX_BACKLOG_BYTES
    assert heard.has_lost

    first = heard.get_nowait()
    rest = [heard.get_nowait() for _ in range(heard.qsize())]
    assert [int.from_bytes(item[:2], "big") for item in (first, *rest)][-1] == number
    heard.put_nowait(b"x" * MAX_BACKLOG_BYTES)
    assert heard.qsize() == 1


# ── from any thread, from any process ────────────────────────────────────────────────────────────────────


class SomeHub:
    def __init__(self) -> None:
        self.heard: list[tuple[str, bool]] = []

    def deliver(self, events: Any, *, also_others: bool) -> None:
        self.heard += [(event.body, also_others) for event in events]


@pytest.fixture
def no_hub() -> Iterator[None]:
    """For the block no hub is registered: neither another test's, nor afterwards this test's."""
    before, local_hubs._hubs[:] = local_hubs.registered(), []
    yield
    local_hubs._hubs[:] = before


def test_every_hub_hears_and_one_of_them_tells_the_others(no_hub):
    hubs = [SomeHub(), SomeHub()]
    for hub in hubs:
        local_hubs.register(hub)

    deliver([logged(1)])

    assert [hub.heard for hub in hubs] == [[("1", True)], [("1", False)]]


def test_process_without_hub_and_without_layer_tells_nobody(no_hub, monkeypatch):
    monkeypatch.setattr(local_hubs, "layer_is_shared", lambda: False)
    monkeypatch.setattr(local_hubs, "ring_from_outpost", None)

    deliver([logged(1)])


def test_forked_child_is_a_process_of_its_own(no_hub):
    local_hubs.register(SomeHub())
    reader, writer = os.pipe()
    if (pid := os.fork()) == 0:
        os.write(writer, json.dumps([origin(), len(local_hubs.registered())]).encode())
        os._exit(0)
    os.close(writer)
    told = json.loads(os.read(reader, 1000))
    os.close(reader)
    os.waitpid(pid, 0)

    assert told[0] != origin()
    assert told[1] == 0
    assert len(local_hubs.registered()) == 1


@pytest.fixture
def wire() -> Iterator[Any]:
    """The messages that pass through the real Redis, as another process would hear them."""
    with redis.Redis.from_url(os.environ["REDIS_URL"]) as client, client.pubsub() as pubsub:
        pubsub.subscribe(f"relais.0__group__{group_of(0)}")
        assert pubsub.get_message(timeout=5)["type"] == "subscribe"

        def next_bell() -> Bell:
            message = pubsub.get_message(timeout=5)
            assert message is not None, "no bell"
            return decode(msgpack.unpackb(message["data"]))

        yield next_bell


@pytest.fixture
def no_outpost(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This test has an outpost of its own."""
    monkeypatch.setattr(ringer, "_outpost", None)
    channel_layers.backends.pop("default", None)
    yield
    if (outpost := ringer._outpost) is not None:
        layer = channel_layers.backends.pop("default")
        asyncio.run_coroutine_threadsafe(layer.flush(), outpost.loop).result(5)
        outpost.loop.call_soon_threadsafe(outpost.loop.stop)
        outpost.join(5)
        outpost.loop.close()


@pytest.mark.stack("full")
@pytest.mark.django_db(transaction=True)
def test_command_without_a_loop_rings_and_keeps_one_connection(no_hub, no_outpost, wire):
    publish_on_commit("talk.1", Said(words="stored"))
    publish_now("talk.1", Whispered(words="not stored"))

    rings = wire().rings
    while len(rings) < 2:
        rings += wire().rings
    mark = positions.mark_in(rings[0].body)
    stored = positions.placed('{"type":"said","words":"stored","seq":1}', 1, mark)
    assert rings == [
        Ring("talk.1", 1, stored),
        Ring("talk.1", None, '{"type":"whispered","words":"not stored"}'),
    ]
    outpost = ringer._outpost
    publish_now("talk.1", Whispered(words="again"))
    assert wire().rings[0].body == '{"type":"whispered","words":"again"}'
    assert ringer._outpost is outpost


LAST_WORDS = """
import django; django.setup()
from realtime.bells import ringer
from realtime.bells.local_hubs import deliver
from realtime.events import Logged
ringer.FAREWELL_SECONDS = 20  # a busy machine takes longer than a command should
deliver([Logged("talk.1", None, str(number)) for number in range(500)])
"""


@pytest.mark.stack("full")
def test_last_bells_of_a_command_leave_before_it_ends(wire):
    environ = {**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings"}
    subprocess.run([sys.executable, "-c", LAST_WORDS], cwd=ROOT, env=environ, check=True, timeout=50)

    bodies = [ring.body for ring in wire().rings]
    while len(bodies) < 500:
        bodies += [ring.body for ring in wire().rings]
    assert bodies == [str(number) for number in range(500)]


@pytest.mark.stack("full")
def test_command_whose_redis_is_away_ends_all_the_same(free_redis_url):
    environ = {**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings", "REDIS_URL": free_redis_url}

    ended = subprocess.run(
        [sys.executable, "-c", LAST_WORDS],
        cwd=ROOT,
        env=environ,
        check=False,
        timeout=50,
        capture_output=True,
    )

    assert (ended.returncode, ended.stdout) == (0, b"")
    assert ended.stderr.count(b"is away") == 1


@pytest.fixture
def free_redis_url() -> str:
    from tests.processes import free_port

    return f"redis://127.0.0.1:{free_port()}/0"


def test_stack_is_what_the_marks_say():
    assert layer_is_shared() == (environment.STACK == "full")
