"""Hostile frames and requests leave no traceback, no 500, no socket that ends without a reason, no poison.

This is a part of `python -m tests.attacks.fuzz`; a failure names the seed that sends the same again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from bench.peers.guide.server import GuideServer
from tests import services
from tests.attacks.fuzz import Outcome, attack
from tests.attacks.hostile import TOO_BIG_CODES, Hostile
from tests.attacks.targets import NO_LIMITS, Target, guide_target, relais_target
from tests.conftest import Backends
from tests.servers import ServerProcess

SEED = 1


@pytest.fixture(params=["daphne", "uvicorn"])
def target(request: pytest.FixtureRequest, new_backends: Callable[[], Backends]) -> Iterator[Target]:
    with ServerProcess(request.param, **vars(new_backends()), env=NO_LIMITS) as server:
        yield relais_target(server)


@pytest.mark.acceptance
@pytest.mark.timeout(240)
async def test_nothing_hostile_is_a_fault_of_ours(target: Target):
    outcome = await attack(target, frames=1_800, seed=SEED)

    assert not outcome.faults, f"seed {SEED}\n{outcome.summary()}\n{target.process.log()[-4000:]}"
    assert outcome.frames >= 1_800
    # The attack reached its aims: refused by name, stored, read back, ended by the protocol's rules.
    reached = {
        "invalid_json",
        "invalid_frame",
        "ack",
        "subscribed",
        "unauthenticated",
        "replayed",
        "read over REST",
        "closed with 1007",
    }
    assert reached <= outcome.answers.keys()


@pytest.mark.acceptance
@pytest.mark.timeout(120)
@pytest.mark.usefixtures("unjudged")
async def test_guides_own_server_does_not_survive_it():
    """The attack works: what passes above fails against the guide's server."""
    with services.RedisServer() as redis, GuideServer(redis_url=redis.url) as server:
        outcome = await attack(guide_target(server), frames=200, seed=SEED)

    assert any(fault.startswith("closed with 1011") for fault in outcome.faults)
    assert outcome.faults["Traceback in the log"]


def test_same_seed_sends_the_same():
    command = {"type": "edit", "message_id": 1, "message": "x"}
    one, same, other = (Hostile(seed) for seed in (1, 1, 2))

    frames = [one.frame(command) for _ in range(200)]

    assert frames == [same.frame(command) for _ in range(200)]
    assert frames != [other.frame(command) for _ in range(200)]


@pytest.mark.parametrize(
    "needle",
    [
        b"NaN",
        b"1e400",
        b"9" * 5000,
        b"[" * 10_000,
        b"\\ud800",
        b"\\u0000",
        b'"a":1,"a":2',
        b"\xf0\x9f\x98\x80",
    ],
)
def test_every_listed_text_is_sent(needle: bytes):
    hostile = Hostile(SEED)

    assert any(needle in hostile.frame({"message": "x"}).data for _ in range(3000))


def test_binary_and_broken_utf8_are_sent_as_well():
    hostile = Hostile(SEED)

    assert not all(hostile.frame({"message": "x"}).is_text for _ in range(100))
    assert {frame.closes_with for frame in (hostile.ending() for _ in range(20))} == {(1007,), TOO_BIG_CODES}


def test_summary_names_what_was_found():
    outcome = Outcome(frames=3)
    outcome.answers["ack"] += 2
    outcome.faults["HTTP 500"] += 1

    assert outcome.summary().splitlines() == [
        "3 frames, 0 requests",
        "         2 ack",
        "FAULT      1 HTTP 500",
    ]
