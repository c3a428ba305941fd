"""One process among several: it hears bells, finds events whose bells were lost, and leaves nothing
behind."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import itertools
import os
import signal
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec
import pytest
import redis
import structlog
from channels.layers import channel_layers
from channels_redis.pubsub import RedisPubSubChannelLayer
from django.db import OperationalError

from realtime import log, publishing
from realtime.bells import listener as bell_listener
from realtime.bells import local_hubs
from realtime.bells.bell import Bell, Ring, decode, group_of, origin, sealed, shard_of
from realtime.bells.url import channel_layers as layers_at
from realtime.database import outages
from realtime.database.threads import run_in_background, run_in_thread
from realtime.events import Event, Logged
from realtime.hub import head_checks
from realtime.hub.hub import Hub
from realtime.hub.reactions import reacts_to
from realtime.log.positions import Position
from realtime.metrics.outages import Outage
from realtime.process import background
from realtime.publishing import publish_now, publish_on_commit
from realtime.testing import eventually
from tests.realtime.listeners import TOPIC, Listener, body, settle
from tests.services import RedisServer


@pytest.fixture(autouse=True)
def nothing_beside(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub alone runs: what apps run beside it has its own tests."""
    monkeypatch.setattr(background, "_works", [])


class Said(Event, tag="said", frozen=True):
    words: str
    seq: int = 0


class Whispered(Event, tag="whispered", frozen=True):
    words: str


def told(listener: Listener) -> list[int]:
    return listener.seqs


@pytest.fixture
def unheard(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Awaitable[None]]:
    """Commits events whose bells are lost."""

    def store(count: int) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(publishing, "deliver", lambda events: None)
            for _ in range(count):
                publish_on_commit(TOPIC, Said(words="unheard"))

    async def commit(count: int = 1) -> None:
        # In a thread of its own: SQLite tells a connection only of the changes of others.
        await asyncio.to_thread(lambda: (store(count), bells_closed()))

    def bells_closed() -> None:
        from django.db import connection

        connection.close()

    return commit


# ── one per loop ─────────────────────────────────────────────────────────────────────────────────────────


async def test_hub_is_the_same_for_everybody_on_a_loop(hub):
    assert Hub.current() is hub
    assert await asyncio.create_task(current()) is hub
    assert local_hubs.registered().count(hub) == 1


async def current() -> Hub:
    return Hub.current()


async def test_hub_of_a_closed_loop_is_forgotten_and_no_other_hearer_is(published):
    def elsewhere() -> Hub:
        return asyncio.run(current())

    gone = await asyncio.to_thread(elsewhere)
    assert gone in local_hubs.registered()
    hub = Hub.current()

    assert local_hubs.registered() == [published, hub]
    assert gone not in Hub._hubs.values()
    # Code that still has the old hub meets no error.
    gone.deliver([Logged(TOPIC, None, body(None))], also_others=False)
    await hub.stop()
    assert local_hubs.registered() == [published]


@pytest.mark.stack("small")
async def test_two_loops_in_one_process_hear_the_same(hub):
    here, there = Listener(), Listener()
    ready, done = threading.Event(), threading.Event()

    async def elsewhere() -> None:
        other = Hub.current()
        assert other is not hub
        there.join(other)
        ready.set()
        await eventually(lambda: len(there.told) == 2)
        there.leave()
        await other.stop()
        done.set()

    thread = threading.Thread(target=lambda: asyncio.run(elsewhere()))
    thread.start()
    here.join(hub)
    await asyncio.to_thread(ready.wait, 5)

    publish_now(TOPIC, Whispered(words="from the loop"))
    await asyncio.to_thread(publish_now, TOPIC, Whispered(words="from a thread"))
    await eventually(lambda: len(here.told) == 2)
    await asyncio.to_thread(thread.join, 5)

    assert done.is_set()
    assert here.told == there.told
    assert local_hubs.registered() == [hub]


# ── telling ──────────────────────────────────────────────────────────────────────────────────────────────


async def test_events_are_told_in_an_empty_context(hub, monkeypatch):
    monkeypatch.setattr("realtime.hub.reactions._reactions", {})
    seen = []
    reacts_to("whispered")(lambda event: seen.append(dict(structlog.contextvars.get_contextvars())))
    listener = Listener()
    listener.join(hub)

    def send() -> None:
        structlog.contextvars.bind_contextvars(socket_id="the sender's")
        publish_now(TOPIC, Whispered(words="psst"))

    await asyncio.to_thread(lambda: contextvars.copy_context().run(send))
    await eventually(lambda: seen)

    assert seen == [{}]


async def test_event_that_cannot_be_handed_out_holds_up_no_other(hub, caplog, monkeypatch):
    listener = Listener()
    listener.join(hub)
    monkeypatch.setattr(listener, "push_batch", None)  # a bug

    hub.deliver([Logged(TOPIC, None, body(None))], also_others=False)
    hub.audience(TOPIC).write_pending()
    monkeypatch.undo()
    hub.deliver([Logged(TOPIC, None, body(None)), Logged("talk.2", None, "")], also_others=False)

    assert told(listener) == [None]
    assert [record.getMessage() for record in caplog.records] == [
        f"Events of {TOPIC} could not be written to a socket"
    ]


@pytest.mark.parametrize("text", ["", "{", '{"type":"whispered', '{"type":7}'])
async def test_text_of_a_foreign_event_breaks_nothing(hub, text):
    listener = Listener()
    listener.join(hub)

    hub.receive([(TOPIC, None, text)])

    assert listener.told == [text]


async def test_text_that_no_frame_can_hold_keeps_nobody_from_the_next(hub):
    listener = Listener()
    listener.join(hub)

    hub.receive([(TOPIC, None, "\ud800"), (TOPIC, None, body(None))])

    assert listener.seqs == [None]


# ── asking the database ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.django_db(transaction=True)
async def test_event_whose_bell_was_lost_is_found_in_the_database(hub, unheard, settings):
    settings.RELAIS = {**settings.RELAIS, "head_check_seconds": 0.2, "head_check_batch": 2}
    listener, others = Listener(), [Listener() for _ in range(4)]
    for number, other in enumerate(others):
        other.subscribe(hub, f"other.{number}", position=0)
    listener.join(hub, position=0)

    await unheard(3)
    await eventually(lambda: told(listener) == [1, 2, 3])
    await unheard(1)
    await eventually(lambda: told(listener) == [1, 2, 3, 4])


@pytest.mark.django_db(transaction=True)
async def test_events_after_a_log_went_back_are_told(hub, unheard):
    """A database took over without the last commits: the next events have places that were told before."""
    listener = Listener()
    await unheard(2)
    listener.join(hub, position=2, authorized_at=2)
    audience = hub.audience(TOPIC)
    audience.position = 4  # as it was with two more events

    await hub._head_checks._check([TOPIC])
    await run_in_thread(publish_on_commit, TOPIC, Said(words="after"))
    await eventually(lambda: listener.told)

    assert listener.seqs == [3]


@pytest.mark.django_db(transaction=True)
async def test_event_committed_while_a_topic_was_being_joined_is_found_at_once(unheard, monkeypatch):
    monkeypatch.setattr(head_checks, "POLL_SECONDS", 1000)  # the topic is known to the hub from its start
    await unheard(1)
    hub = Hub.current()
    listener = Listener()

    listener.join(hub, position=0, authorized_at=0)  # the head was read before the commit

    await eventually(lambda: told(listener) == [1])
    await hub.stop()


@pytest.mark.stack("small")
@pytest.mark.django_db(transaction=True)
async def test_idle_database_is_asked_for_no_heads(hub, unheard, monkeypatch):
    asked = []
    ends = log.ends
    monkeypatch.setattr(log, "ends", lambda names: asked.append(names) or ends(names))
    monkeypatch.setattr(head_checks, "POLL_SECONDS", 0.01)
    listener = Listener()
    listener.join(hub, position=0)
    await eventually(lambda: asked)

    async def looked(times: int) -> None:
        looks = []
        changed = head_checks._database_changed
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(head_checks, "_database_changed", lambda: looks.append(1) or changed())
            await eventually(lambda: len(looks) > times)

    await looked(20)  # each thread of the pool looks for the first time
    before = len(asked)
    await looked(20)
    assert len(asked) <= before + 8
    await unheard(1)
    await eventually(lambda: told(listener) == [1])


async def test_topics_that_are_new_together_are_looked_at_together(hub, monkeypatch):
    asked = []
    monkeypatch.setattr(log, "ends", lambda names: asked.append(set(names)) or {})
    monkeypatch.setattr(head_checks, "GATHER_SECONDS", 0.5)

    for number in range(3):
        hub.check_soon([f"talk.{number}"])
        await settle(5)  # turns, not time: a busy machine must not make them half a second
    await eventually(lambda: asked)

    assert asked[0] == {"talk.0", "talk.1", "talk.2"}


class Database:
    """Answers the hub's questions, or fails as told."""

    def __init__(self) -> None:
        self.error: BaseException | None = None
        self.asked = 0
        self.heads: dict[str, int] = {}

    async def run_in_thread(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        self.asked += 1
        if self.error is not None:
            raise self.error
        return True if not args else {name: Position(self.heads.get(name, 0)) for name in args[0]}


@pytest.mark.parametrize(
    "error", [ConnectionError("gone"), RuntimeError("a bug"), TypeError(), KeyError("x")]
)
async def test_outage_ends_neither_the_looking_nor_the_patience_of_the_log(monkeypatch, caplog, error):
    database = Database()
    monkeypatch.setattr(head_checks, "run_in_thread", database.run_in_thread)
    monkeypatch.setattr(head_checks, "POLL_SECONDS", 0.001)
    monkeypatch.setattr(head_checks, "RETRY_SECONDS", 0.001)
    monkeypatch.setattr(outages, "DATABASE", Outage("The database"))
    hub = Hub.current()
    expected = []
    listener = Listener()
    listener.join(hub, position=0)
    monkeypatch.setattr("realtime.hub.audience.Audience.expect", lambda self, seq: expected.append(seq))

    database.error = error
    await eventually(lambda: database.asked > 30)
    database.error = None
    database.heads[TOPIC] = 7
    await eventually(lambda: 7 in expected)
    await hub.stop()

    said = [record.getMessage() for record in caplog.records if record.name.startswith("realtime")]
    assert said == [f"The database is away: {error!r}", "The database is back"]


async def test_work_that_fails_begins_again(monkeypatch, caplog):
    monkeypatch.setattr(background, "RESTART_SECONDS", 0)
    monkeypatch.setattr(head_checks, "POLL_SECONDS", 0.001)
    looks = []

    async def look(self: head_checks.HeadChecks) -> None:
        looks.append(1)
        raise RuntimeError("a bug")

    monkeypatch.setattr(head_checks.HeadChecks, "sweep", look)
    hub = Hub.current()
    await eventually(lambda: len(looks) >= 3)
    await hub.stop()

    assert "Background work look failed; it begins again" in caplog.messages


# The threads may hold connections of earlier tests, and look after them.
@pytest.mark.django_db(transaction=True)
async def test_background_work_that_finds_the_database_away_is_no_bug(monkeypatch, caplog):
    monkeypatch.setattr(background, "RESTART_SECONDS", 0.001)
    monkeypatch.setattr(outages, "DATABASE", database := Outage("The database"))
    looks = []

    def ask() -> None:
        raise OperationalError("refused")

    async def look() -> None:
        looks.append(1)
        await run_in_background(ask)

    work = background.start(background.keep_running(look))
    await eventually(lambda: len(looks) >= 3)
    work.cancel()
    database.over()

    assert caplog.messages == ["The database is away: OperationalError('refused')", "The database is back"]


# ── the end ──────────────────────────────────────────────────────────────────────────────────────────────


async def test_hub_that_stopped_runs_nothing_and_hears_nothing():
    hub = Hub.current()
    listener = Listener()
    listener.join(hub, position=0)

    await hub.stop()

    assert hub not in local_hubs.registered()
    assert hub not in Hub._hubs.values()
    assert {task for task in asyncio.all_tasks() if task is not asyncio.current_task()} == set()


# ── the layer ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
async def redis_server() -> AsyncIterator[RedisServer]:
    """A Redis of this test, not started."""
    server = RedisServer()
    yield server
    server.close()


@pytest.fixture
async def neighbour(
    redis_server: RedisServer, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[RedisPubSubChannelLayer]:
    """Another process on the same Redis, as far as the layer goes; our own hub starts with
    `Hub.current()`."""
    settings.CHANNEL_LAYERS = layers_at([redis_server.url])
    monkeypatch.setattr(bell_listener, "BEAT_SECONDS", 0.2)
    monkeypatch.setattr(bell_listener, "MISSED_BEAT_SECONDS", 0.5)
    monkeypatch.setattr(bell_listener, "LOST_AFTER_SECONDS", 1.0)
    monkeypatch.setattr(bell_listener, "LISTEN_RETRY_SECONDS", 0.1)
    channel_layers.backends.pop("default", None)
    layer = RedisPubSubChannelLayer(**settings.CHANNEL_LAYERS["default"]["CONFIG"])
    yield layer
    await Hub.current().stop()
    await layer.flush()
    if (ours := channel_layers.backends.pop("default", None)) is not None:
        await ours.flush()


async def say(neighbour: Any, seq: int | None, *, topic: str = TOPIC, **fields: Any) -> None:
    bell = msgspec.json.encode(Bell("another process", [Ring(topic, seq, body(seq, **fields))]))
    message = {"type": "bell", "bell": sealed(bell)}
    await neighbour.group_send(group_of(shard_of(topic)), message)


async def heard_eventually(neighbour: Any, listener: Listener) -> None:
    """Ring until a bell passes, because subscribing takes a moment. No such bell is under way afterwards."""
    numbers = itertools.count()

    async def is_told() -> bool:
        words = f"are you there? {next(numbers)}"
        with contextlib.suppress(redis.RedisError, AssertionError):
            await say(neighbour, None, words=words)
            # This very bell: they come in order, so those before it have come or never will.
            return await eventually(lambda: any(words in frame for frame in listener.told), within=0.5)
        return False

    await eventually(is_told, within=15)


def checked_topics(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> list[set[str]]:
    """The sets of topics that the hub compares at once from now on."""
    asked: list[set[str]] = []
    stock = hub.check_soon

    def check_soon(topics: Any) -> None:
        asked.append(set(topics))
        stock(asked[-1])

    monkeypatch.setattr(hub, "check_soon", check_soon)
    return asked


redis_stack = [pytest.mark.stack("full"), pytest.mark.django_db(transaction=True)]


class TestRealRedis:
    pytestmark = redis_stack

    async def test_layer_that_is_away_at_the_start_is_found_when_it_comes(
        self, redis_server, neighbour, caplog
    ):
        hub = Hub.current()
        listener = Listener()
        listener.join(hub)
        await eventually(lambda: hub.layer_status() == "lost")

        redis_server.start()
        await heard_eventually(neighbour, listener)
        await eventually(lambda: hub.layer_status() == "ok")

        said = [record.getMessage() for record in caplog.records if record.name == "realtime.metrics.outages"]
        assert [line.partition(" is ")[2][:4] for line in said] == ["away", "back"]

    @pytest.mark.parametrize("fault", ["restart", "freeze"])
    async def test_bells_flow_again_after_an_outage_and_all_topics_are_compared(
        self, redis_server, neighbour, monkeypatch, caplog, fault
    ):
        redis_server.start()
        hub = Hub.current()
        listener, durable = Listener(), Listener()
        listener.join(hub)
        durable.subscribe(hub, "talk.2", position=0)
        await heard_eventually(neighbour, listener)
        await eventually(lambda: hub.layer_status() == "ok")
        compared = checked_topics(hub, monkeypatch)

        if fault == "restart":
            redis_server.kill()
            await eventually(lambda: hub.layer_status() == "lost")
            redis_server.start()
        else:
            os.kill(redis_server.pid, signal.SIGSTOP)
            await eventually(lambda: hub.layer_status() == "lost")
            os.kill(redis_server.pid, signal.SIGCONT)
        await eventually(lambda: hub.layer_status() == "ok", within=15)
        await eventually(lambda: {TOPIC, "talk.2"} in compared)
        await heard_eventually(neighbour, listener)

        ours = [record for record in caplog.records if record.name.startswith("realtime")]
        assert len(ours) <= 4, [record.getMessage() for record in ours]

    async def test_process_that_begins_lets_the_others_compare(self, redis_server, neighbour, monkeypatch):
        """The process may take the place of one that died between a commit and its bell."""
        redis_server.start()
        hub = Hub.current()
        listener = Listener()
        listener.join(hub, position=0)
        await heard_eventually(neighbour, listener)
        compared = checked_topics(hub, monkeypatch)

        await neighbour.group_send(
            group_of(0), {"type": "bell", "bell": sealed(b'{"origin":"new","rings":[]}')}
        )

        await eventually(lambda: {TOPIC} in compared)

    async def test_process_says_that_it_begins(self, redis_server, neighbour):
        redis_server.start()
        channel = await neighbour.new_channel("test.")
        await neighbour.group_add(group_of(0), channel)

        Hub.current()

        message = await asyncio.wait_for(neighbour.receive(channel), 5)
        bell = decode(message)
        assert (bell.origin, bell.rings) == (origin(), [])

    async def test_layer_that_refuses_is_lost_before_its_silence_says_so(
        self, redis_server, neighbour, monkeypatch
    ):
        redis_server.start()
        hub = Hub.current()
        listener = Listener()
        listener.join(hub)
        await heard_eventually(neighbour, listener)
        monkeypatch.setattr(bell_listener, "LOST_AFTER_SECONDS", 1000)

        redis_server.kill()
        await eventually(lambda: hub.layer_status() == "lost")
        redis_server.start()
        await eventually(lambda: hub.layer_status() == "ok", within=15)

    async def test_outage_too_short_to_be_lost_is_compared_as_well(
        self, redis_server, neighbour, monkeypatch
    ):
        redis_server.start()
        hub = Hub.current()
        listener = Listener()
        listener.join(hub)
        await heard_eventually(neighbour, listener)
        compared = checked_topics(hub, monkeypatch)
        monkeypatch.setattr(bell_listener, "LOST_AFTER_SECONDS", 1000)

        os.kill(redis_server.pid, signal.SIGSTOP)
        await asyncio.sleep(1)
        os.kill(redis_server.pid, signal.SIGCONT)

        await eventually(lambda: {TOPIC} in compared)

    async def test_message_that_is_no_bell_is_passed_over(self, redis_server, neighbour, caplog, monkeypatch):
        # If this were taken for an outage, nobody here would hear anything for so long.
        monkeypatch.setattr(bell_listener, "LISTEN_RETRY_SECONDS", 60)
        redis_server.start()
        hub = Hub.current()
        listener = Listener()
        listener.join(hub)
        await heard_eventually(neighbour, listener)
        channel, heard = hub._hearing._channel, len(listener.told)

        for foreign in (
            {},
            {"type": "bell"},
            {"bell": 7},
            {"bell": b"{"},
            {"bell": sealed(b"{")},
            {"type": "chat.message", "text": "hi"},
        ):
            await neighbour.group_send(group_of(0), foreign)
        with redis.Redis.from_url(redis_server.url) as raw:
            raw.publish(f"{neighbour.prefix}__group__{group_of(0)}", b"\xc1 no msgpack")
            raw.publish(f"{neighbour.prefix}__group__{group_of(0)}", b"\x93\x01\x02\x03")
        await say(neighbour, None)
        await eventually(lambda: len(listener.told) == heard + 1)

        assert "is away" not in caplog.text
        assert hub._hearing._channel == channel
        layer = channel_layers.backends["default"]._get_layer()
        assert list(layer.channels) == [channel]

    async def test_process_hears_the_shards_of_its_topics(self, redis_server, neighbour, settings):
        settings.RELAIS = {**settings.RELAIS, "bell_shards": 4}
        redis_server.start()
        hub = Hub.current()
        listeners = {f"talk.{number}": Listener() for number in range(12)}
        for topic, listener in listeners.items():
            listener.subscription = listener.subscribe(hub, topic)
        layer = channel_layers["default"]._get_layer()

        def heard() -> set[str]:
            return {name.rpartition("__group__")[2] for name in layer.groups if "beat" not in name}

        await eventually(lambda: len(heard()) == 4)
        for topic, listener in listeners.items():

            async def arrived(topic: str = topic, listener: Listener = listener) -> bool:
                await say(neighbour, None, topic=topic)
                return len(listener.told) > 0

            await eventually(arrived)
        *leaving, last = listeners.values()
        for listener in leaving:
            listener.leave()
        shard = shard_of(last.subscription.topic)

        await eventually(lambda: heard() == {group_of(0), group_of(shard)})

    async def test_events_published_here_reach_the_neighbours_once(self, redis_server, neighbour):
        redis_server.start()
        channel = await neighbour.new_channel()
        await neighbour.group_add(group_of(0), channel)
        hub = Hub.current()
        listener = Listener()
        listener.join(hub, position=0)
        await heard_eventually(neighbour, listener)
        listener.told.clear()

        await run_in_thread(publish_on_commit, TOPIC, Said(words="hello"))
        await eventually(lambda: listener.told)
        while not (message := await asyncio.wait_for(neighbour.receive(channel), 5))["bell"].count(b"hello"):
            pass

        assert decode(message).origin == origin()
        assert listener.seqs == [1]
        await asyncio.sleep(0.1)
        assert listener.seqs == [1]  # its own bell came back and was not heard


@pytest.mark.stack("small")
async def test_memory_has_nobody_to_lose(hub):
    assert hub.layer_status() == "memory"
