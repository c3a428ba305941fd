"""REDIS_URL becomes options with which a slow or lost Redis server blocks nothing."""

import pytest

from realtime.bells.url import channel_layers, redis_host


def test_no_redis_is_the_memory_layer() -> None:
    assert channel_layers([])["default"]["BACKEND"] == "channels.layers.InMemoryChannelLayer"


def test_redis_hosts_leave_nothing_to_the_version_of_the_client() -> None:
    layer = channel_layers(["redis://a:6379/0", "rediss://b:6380/1"])["default"]

    assert layer["BACKEND"] == "channels_redis.pubsub.RedisPubSubChannelLayer"
    hosts = layer["CONFIG"]["hosts"]
    assert [host["address"] for host in hosts] == ["redis://a:6379/0", "rediss://b:6380/1"]
    for host in hosts:
        assert {
            "socket_timeout",
            "socket_connect_timeout",
            "health_check_interval",
            "max_connections",
            "retry",
        } <= set(host)


@pytest.mark.parametrize(
    ("urls", "prefix"),
    [
        (["redis://a"], "relais.0"),
        (["redis://a:6379/3"], "relais.3"),
        (["rediss://a/0", "redis://b/5"], "relais.0.5"),
        (["unix:///run/redis.sock?db=2"], "relais.2"),
    ],
)
def test_channels_are_named_after_the_database_which_redis_ignores_for_them(
    urls: list[str], prefix: str
) -> None:
    assert channel_layers(urls)["default"]["CONFIG"]["prefix"] == prefix


def test_unix_socket_takes_no_tcp_options() -> None:
    assert "socket_keepalive" not in redis_host("unix:///run/redis.sock")
