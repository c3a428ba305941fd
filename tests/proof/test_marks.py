"""A mark is reached or not; a figure that was not measured has failed; the worst of several counts."""

from __future__ import annotations

import inspect
import math
from dataclasses import replace

import pytest

from proof import report, run, scenarios
from proof.scenario import SCENARIOS, Run, Scenario, at_least, at_most, exactly

pytestmark = pytest.mark.stack("small")

DOES = "nothing at all, 200 times"
MARKS = (at_most("delay", 2, "s"), at_least("share", 0.95), exactly("closed", "all"))


async def _play(_run: Run) -> None:
    """A scenario that finds nothing."""


def played(**figures) -> Run:
    scenario = Scenario(
        "R99", "nothing at all, 200 times", "10 times", MARKS, _play, in_short=True, targets=("ours",)
    )
    found = Run(scenario, seed=7, short=True)
    for name, value in figures.items():
        found.figure(name, value)
    return found


def test_reached_marks_are_no_failures():
    assert played(delay=2.0, share=0.95, closed="all").failures() == []


def test_each_mark_that_is_missed_is_named_with_its_figure():
    assert played(delay=2.5, share=0.9, closed="9 of 10").failures() == [
        "delay at most 2 s: 2.5 s",
        "share at least 0.95: 0.9",
        "closed all: 9 of 10",
    ]


def test_mark_that_was_not_measured_has_failed():
    assert played(share=1.0, closed="all").failures() == ["delay at most 2 s: not measured"]


def test_mark_with_words_instead_of_a_number_has_failed():
    assert played(delay="never", share=1.0, closed="all").failures() == ["delay at most 2 s: never"]


@pytest.mark.parametrize("delays", [(1.0, 3.0), (3.0, 1.0), (2.5, 3.0)])
def test_worst_of_several_figures_counts(delays):
    found = played(share=1.0, closed="all")
    for delay in delays:
        found.figure("delay", delay)

    assert found.failures() == ["delay at most 2 s: 3 s"]


@pytest.mark.parametrize("delays", [(1.0, math.nan), (math.nan, 1.0), (1.0, "never")])
def test_figure_that_is_no_number_stays_wrong(delays):
    found = played(share=1.0, closed="all")
    for delay in delays:
        found.figure("delay", delay)

    assert len(found.failures()) == 1


@pytest.mark.parametrize("closed", [("all", "none"), ("none", "all")])
def test_mark_that_was_missed_once_stays_missed(closed):
    found = played(delay=1.0, share=1.0)
    for each in closed:
        found.figure("closed", each)

    assert found.failures() == ["closed all: none"]


def test_failure_names_the_command_that_plays_it_again():
    found = played(delay=2.5, share=1.0, closed="all")
    result = report.Result(found, 1.0, found.failures())

    assert result.command == "scripts/chaos R99 --seed 7 --short"
    over = replace(found, over="native")
    assert report.Result(over, 1.0, []).command == f"{result.command} --over native"
    row = f"| R99 | {DOES} (played: 10 times) | delay at most 2 s | 2.5 s | **no** | `{result.command}` |"
    assert row in report.markdown([result])


def test_mark_that_counts_asks_for_less_in_the_short_size():
    marks = (at_least("sequences", 2_000, short=100),)
    short = played()
    short = replace(short, scenario=replace(short.scenario, marks=marks))
    short.figure("sequences", 100)
    full = replace(short, short=False)

    assert short.failures() == []
    assert full.failures() == ["sequences at least 2000: 100"]
    assert "sequences at least 100 " in report.markdown([report.Result(short, 1.0, [])])


def test_report_of_a_full_play_says_its_full_size():
    full = replace(played(), short=False)

    assert full.does == DOES
    assert replace(full, minutes=10.0).does == f"{DOES} (played: 10 minutes)"


def test_guides_own_server_has_no_native_socket(capsys):
    with pytest.raises(SystemExit):
        run.parse(["--over", "native", "--target", "guide"])

    assert "native socket" in capsys.readouterr().err


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS)
def test_row_with_a_smaller_size_says_it(scenario):
    assert scenario.short or "run.size(" not in inspect.getsource(scenario.play)


def test_every_row_is_there():
    assert scenarios.__all__
    left_to_others = {"R18", "R19", "R20", "R21", "R24", "R25", "R29"}

    assert set(SCENARIOS) == {f"R{number}" for number in range(1, 33)} - left_to_others | {"F14"}


def test_rows_are_played_in_their_order():
    assert run.parse(["--short"]).rows[:3] == ["R1", "R2", "R3"]
    assert run.parse([]).rows[-2:] == ["R32", "F14"]
    assert run.parse(["--target", "guide"]).rows == ["R1", "R3", "R10", "R13"]


def test_native_socket_is_played_in_ten_rows():
    rows = {row for row, scenario in SCENARIOS.items() if "native" in scenario.over}

    assert rows == {"R1", "R3", "R5", "R10", "R11", "R12", "R16", "R17", "R22", "R23"}
    assert set(run.parse(["--over", "native"]).rows) == rows
    assert replace(played(), over="native", short=False).does == f"over `/ws/`: {DOES}"


@pytest.mark.parametrize(
    "arguments", [["R99"], ["--target", "guide", "R8"], ["--over", "native", "R4"]], ids=lambda each: each[-1]
)
def test_row_that_cannot_be_played_is_refused(arguments, capsys):
    with pytest.raises(SystemExit):
        run.parse(arguments)

    assert arguments[-1] in capsys.readouterr().err
