"""Measurements inside a process: the arithmetic is right, and the core still offers what they use."""

import json
import os
import subprocess
import sys
from collections import Counter

import pytest

from bench import inside
from bench.inside import bytes_each, pauses, speak_to, topics_of
from bench.relais import ENVIRONMENT
from realtime import publishing
from tests.servers import ROOT


def test_a_subscription_of_ones_own_is_a_topic_and_a_subscription():
    assert bytes_each(1_000, 1_500, 4_000, count=10) == {"subscription": 50, "topic": 200}


@pytest.mark.parametrize(("subscriptions", "topics"), [(200, 1000), (3, 12), (12, 12)])
def test_every_topic_has_equally_many_sockets(subscriptions, topics):
    chosen = [topics_of(socket, subscriptions=subscriptions, topics=topics) for socket in range(topics)]
    assert {len(set(each)) for each in chosen} == {subscriptions}
    told = Counter(topic for each in chosen for topic in each)
    assert set(told.values()) == {subscriptions}
    assert len(told) == topics


def test_lone_topic_is_never_busy():
    pause = pauses()
    found = [pause() for _ in range(1000)]
    assert inside.LEAST_PAUSE <= min(found) < max(found) <= inside.MOST_PAUSE


class Clock:
    """Time that passes only in a sleep, and by the time that telling takes."""

    def __init__(self) -> None:
        self.now = 50.0

    def monotonic(self) -> float:
        return self.now

    def monotonic_ns(self) -> int:
        return int(self.now * 1e9)

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_others_are_told_in_turn_and_at_a_fixed_rate_however_long_it_takes(monkeypatch):
    clock, told = Clock(), []

    def tell(topic: str, _event: object) -> None:
        told.append((topic, round(clock.now - 50, 3)))
        clock.now += 0.07

    monkeypatch.setattr(inside, "time", clock)
    monkeypatch.setattr(publishing, "publish_now", tell)
    speak_to(["one", "two"], lambda: 0.1, seconds=0.45)
    assert told == [("one", 0), ("two", 0.1), ("one", 0.2), ("two", 0.3), ("one", 0.4)]


def found_by(database: str, *arguments: str) -> dict:
    done = subprocess.run(
        [sys.executable, "-m", "bench.inside", *arguments],
        cwd=ROOT,
        env={**os.environ, **ENVIRONMENT, "DATABASE_URL": database, "REDIS_URL": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_memory_of_subscriptions_and_topics_is_found(server_database):
    found = found_by(server_database, "memory", "--sockets", "20", "--topics", "10", "--traced")
    assert 50 < found["subscription"] < 5_000
    assert 200 < found["topic"] < 20_000


def test_lone_topic_hears_everything_beside_others_who_do_too(server_database):
    sizes = {"--sockets": 6, "--subscriptions": 3, "--topics": 6, "--rate": 20, "--seconds": 0.5}
    arguments = [part for name, value in sizes.items() for part in (name, str(value))]
    found = found_by(server_database, "lone", *arguments)
    for state in ("alone", "few", "quiet", "busy"):
        assert sum(found[state].values()) > 10
    # Each of ten or eleven events goes to three sockets, unless the machine stood still and two were joined.
    assert 0 < found["written"] <= 22 * 3
