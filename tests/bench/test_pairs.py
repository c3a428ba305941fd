"""Pairs alternate, their interval is made of ratios that occurred, and a checkout leaves nothing behind."""

import math
import random
import subprocess

import pytest

from bench import pairs
from bench.crowd import Place
from bench.machine import ROOT
from bench.pairs import Compared, Interval, compared, in_turn, interval
from bench.scenarios.pairs import BROKEN, Comparison
from bench.workbench import Effort, Workbench, shuffled

pytestmark = pytest.mark.stack("small")


def played(count: int) -> tuple[list[str], list[tuple[int, int]]]:
    """The order of the plays, and the number of each play as its result."""
    order: list[str] = []

    def play(name: str):
        def plays() -> int:
            order.append(name)
            return len(order)

        return plays

    return order, in_turn(play("base"), play("head"), pairs=count)


def test_every_other_pair_is_played_the_other_way_round():
    order, _ = played(4)
    assert order == ["base", "head", "head", "base", "base", "head", "head", "base"]


def test_found_pairs_are_base_and_head_whichever_was_played_first():
    _, found = played(3)
    assert found == [(1, 2), (4, 3), (5, 6)]


@pytest.mark.parametrize(
    ("count", "low", "high", "outside"),
    [
        # By the binomial distribution of the number of values on one side of the median.
        (1, 1, 1, 1.0),
        (5, 1, 5, 2 / 2**5),
        (6, 1, 6, 2 / 2**6),
        (9, 2, 8, 2 * (1 + 9) / 2**9),
        (15, 4, 12, 2 * (1 + 15 + 105 + 455) / 2**15),
    ],
)
def test_interval_is_from_one_value_to_its_mirror(count, low, high, outside):
    values = random.Random(3).sample(range(1, count + 1), count)
    found = interval(values)
    assert (found.low, found.high) == (low, high)
    assert found.confidence == pytest.approx(1 - outside)


def test_interval_holds_the_median_as_often_as_it_says():
    chance = random.Random(4)
    drawn = [interval([chance.lognormvariate(0, 1) for _ in range(9)]) for _ in range(4000)]
    held = sum(found.low <= 1.0 <= found.high for found in drawn) / len(drawn)
    assert held == pytest.approx(drawn[0].confidence, abs=0.01)


def test_ratio_is_the_median_over_the_pairs():
    # The machine was half as fast during the first pair. The medians alone would give 189 / 200.
    found = compared([(100, 150), (200, 300), (210, 189)])
    assert found == Compared(200, 189, 1.5, Interval(0.9, 1.5, 0.75))


def test_pairs_without_a_base_are_not_compared():
    assert compared([]) is None
    assert compared([(1, 2), (0, 3)]) is None


def test_losses_of_either_side_are_counted_and_marks_are_judged():
    comparison = Comparison()
    sides = [
        lambda: {"deliveries/s": 100.0, "echo p50 ms": 10.0, BROKEN: 0.0},
        lambda: {"deliveries/s": 96.0, "echo p50 ms": 11.0, BROKEN: 1.0},
    ]
    with Workbench(effort=Effort(pairs=9)) as bench:
        comparison.play(bench, "fanout", "uvicorn", *sides)
        [table] = comparison.outcome(bench).tables

    assert table.rows == [
        ["fanout", "uvicorn", "deliveries/s", "100", "96", "0.960", "0.960–0.960"],
        ["fanout", "uvicorn", "echo p50 ms", "10", "11", "1.100", "1.100–1.100"],
    ]
    assert table.header[-1] == "96% interval"
    assert [mark.reached for mark in comparison.marks] == [True, False, False]
    assert comparison.marks[-1].found == "9"


def test_revision_is_checked_out_and_removed():
    with pairs.checkout("HEAD") as tree:
        assert (tree / "bench" / "fixture.py").exists()
        listed = subprocess.run(
            ["git", "worktree", "list"], cwd=ROOT, capture_output=True, text=True, check=True
        )
        assert str(tree) in listed.stdout
    assert not tree.exists()
    listed = subprocess.run(["git", "worktree", "list"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert str(tree) not in listed.stdout


def test_revision_that_is_none_is_named():
    with pytest.raises(SystemExit, match="no-such-revision"), pairs.checkout("no-such-revision"):
        pass


def test_speakers_have_the_same_places_on_every_server_and_others_in_another_turn():
    ours, theirs = ([Place(f"/{who}/{n}", speaks=n < 8) for n in range(200)] for who in ("ours", "theirs"))

    def speaking(places: list[Place]) -> list[int]:
        return [index for index, place in enumerate(places) if place.speaks]

    found = speaking(shuffled(ours, seed=5))
    assert found == speaking(shuffled(theirs, seed=5))
    assert found != speaking(shuffled(ours, seed=5, turn=1))
    assert found != speaking(shuffled(ours, seed=6))
    assert {place.path for place in shuffled(ours, seed=5)} == {place.path for place in ours}


def test_speakers_are_found_everywhere_in_the_order():
    places = [Place(str(n), speaks=n == 0) for n in range(200)]
    where = [
        index
        for turn in range(2000)
        for index, place in enumerate(shuffled(places, seed=7, turn=turn))
        if place.speaks
    ]
    assert math.isclose(sum(where) / len(where), 99.5, abs_tol=6)
    assert min(where) < 5
    assert max(where) > 194
