"""A layer over several Redis servers: the loss of each is noticed and named until all are back."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from channels.layers import channel_layers

from realtime.bells import hosts, listener
from realtime.bells.bell import group_of
from realtime.bells.ringer import Ringer
from realtime.bells.url import channel_layers as layers_at
from realtime.events import Logged
from realtime.http.health import HealthChecks
from realtime.hub.hub import Hub
from realtime.process import background
from realtime.testing import eventually
from tests.realtime.listeners import Listener
from tests.services import RedisServer

#: With fewer shards than this, all names can belong to one of two servers.
SHARDS = 16

on_redis = [pytest.mark.stack("full"), pytest.mark.django_db(transaction=True)]


@pytest.fixture(params=[1, 2, 3])
def servers(request: pytest.FixtureRequest) -> Iterator[list[RedisServer]]:
    with contextlib.ExitStack() as running:
        yield [running.enter_context(RedisServer()) for _ in range(request.param)]


@pytest.fixture
async def spread(
    servers: list[RedisServer], settings: Any, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[None]:
    """A layer over these servers, for a hub that the test starts."""
    monkeypatch.setattr(background, "_works", [])
    settings.CHANNEL_LAYERS = layers_at([server.url for server in servers])
    settings.RELAIS = {**settings.RELAIS, "bell_shards": SHARDS}
    monkeypatch.setattr(listener, "BEAT_SECONDS", 0.2)
    monkeypatch.setattr(listener, "LISTEN_RETRY_SECONDS", 0.1)
    channel_layers.backends.pop("default", None)
    yield
    await Hub.current().stop()
    await channel_layers.backends.pop("default").flush()


@pytest.fixture
async def hub_on_them(spread: None) -> Hub:
    """A hub that hears itself through these servers."""
    hub = Hub.current()
    await beating(hub)
    return hub


async def beating(hub: Hub) -> None:
    """Wait until the hub has heard itself through each server."""

    def is_heard() -> bool:
        known = hub._hearing._hosts
        return bool(known) and all(host._is_joined for host in known) and hub.layer_status() == "ok"

    await eventually(is_heard, within=15)


class TestRealRedis:
    pytestmark = on_redis

    async def test_each_server_that_is_lost_is_noticed_and_named(self, servers, hub_on_them, caplog):
        for server in servers:
            server.kill()
            await eventually(lambda: hub_on_them.layer_status() == "lost", within=15)
            server.start()
            await eventually(lambda: hub_on_them.layer_status() == "ok", within=15)

        said = [record.getMessage() for record in caplog.records if record.name == "realtime.metrics.outages"]
        for server in servers:
            mine = [line for line in said if line.startswith(f"The channel layer at {server.url} is ")]
            assert len(mine) == 2, said
            assert "Error" in mine[0] or "nothing heard" in mine[0]
            assert mine[1].endswith("is back")
        assert len(said) == 2 * len(servers), said

    async def test_layer_is_back_when_all_are(self, servers, hub_on_them):
        health = HealthChecks(None, hub=Hub.current, clock=iter(range(0, 1000, 10)).__next__)
        for server in servers:
            server.kill()
        await eventually(lambda: all(host.outage.is_on for host in hub_on_them._hearing._hosts), within=15)
        for server in servers:
            assert (await health.health())["layer"] == "lost"
            assert (await health.health())["status"] == "degraded"
            server.start()
            this = hub_on_them._hearing._hosts[servers.index(server)]
            await eventually(lambda this=this: not this.outage.is_on, within=15)

        await eventually(lambda: hub_on_them.layer_status() == "ok")
        assert (await health.health())["status"] == "ok"

    async def test_shards_of_the_others_are_heard_while_one_is_away_from_the_start(self, servers, spread):
        layer = channel_layers["default"]
        number_of = [hosts.host_of(layer, group_of(shard)) for shard in range(SHARDS)]
        servers[number_of[0]].kill()
        hub = Hub.current()
        for number in range(400):  # enough for some of every shard
            listener = Listener()
            listener.subscription = listener.subscribe(hub, f"talk.{number}")
        expected = {shard for shard in range(SHARDS) if number_of[shard] != number_of[0]}
        assert bool(expected) == (len(servers) > 1)

        def heard() -> set[int]:
            names = {name for shard in layer._shards for name in shard._subscribed_to}
            return {
                shard for shard in range(SHARDS) if layer._get_group_channel_name(group_of(shard)) in names
            }

        await eventually(lambda: heard() == expected, within=15)


class Spread:
    """A layer over two servers, one of which is away."""

    def __init__(self) -> None:
        self._shards = [SimpleNamespace(host={"address": f"redis://:secret@host-{n}:6379/0"}) for n in (1, 2)]

    def _get_group_channel_name(self, group: str) -> str:
        return group

    def _get_shard(self, name: str) -> Any:
        return self._shards[int(name.rpartition(".")[2]) % 2]

    async def group_send(self, group: str, message: Any) -> None:
        if self._get_shard(group) is self._shards[1]:
            raise ConnectionError("Connection refused.")


async def test_server_that_takes_no_bells_is_said_once_though_the_other_does(monkeypatch, settings, caplog):
    layer = Spread()
    monkeypatch.setattr(hosts, "get_channel_layer", lambda: layer)
    settings.RELAIS = {**settings.RELAIS, "bell_shards": 4}
    ringer = Ringer()
    for _ in range(3):
        ringer.ring([Logged(f"talk.{number}", number, "{}") for number in range(20)])
        await ringer.drained()

    [said] = [record.getMessage() for record in caplog.records]
    assert said.startswith(
        "The channel layer at redis://host-2:6379/0, for what we tell other processes, is away:"
    )
    assert said.endswith("Connection refused.')")


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("redis://:pa%24s@redis.example.com:6380/3", "redis://redis.example.com:6380/3"),
        ("rediss://user:secret@[::1]:6379", "rediss://::1:6379"),
        ("unix://:secret@/run/redis.sock?db=1", "unix:///run/redis.sock"),
        ("redis://localhost", "redis://localhost"),
    ],
)
def test_server_is_named_without_its_password(address, name):
    layer = SimpleNamespace(_shards=[SimpleNamespace(host={"address": address})])
    assert hosts.host_names(layer) == [name]
