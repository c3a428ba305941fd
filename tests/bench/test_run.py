"""The command line says what it cannot do, and adds each report to the one before it."""

import pytest

from bench import report, run
from bench.results import Outcome, Plot, Series, Table

pytestmark = pytest.mark.stack("small")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["pairs"], "--base"),
        (["pairs", "--base", "HEAD", "--what", "fanout,nonsense"], "nonsense"),
        (["pairs", "--base", "HEAD", "--servers", "guide"], "guide"),
        (["pairs", "--base", "HEAD", "--pairs", "0"], "at least one pair"),
        (["nonsense"], "no such scenario"),
    ],
)
def test_impossible_wishes_are_refused(arguments, problem, capsys):
    with pytest.raises(SystemExit) as refused:
        run.parse(arguments)
    assert refused.value.code == 2
    assert problem in capsys.readouterr().err


def test_pairs_can_be_chosen():
    options = run.parse(
        ["pairs", "--base", "v1", "--what", "sends,connects", "--servers", "daphne", "--seed", "3"]
    )
    assert (options.what, options.servers, options.seed) == (("sends", "connects"), ("daphne",), 3)
    assert options.pairs == 9


def test_run_without_names_plays_all_that_need_no_other_revision():
    options = run.parse([])
    assert options.scenarios == list(run.SCENARIOS)
    assert run.PAIRS not in options.scenarios
    assert 0 <= options.seed < 10_000


def test_second_report_of_a_day_stands_below_the_first(tmp_path):
    def outcome(value: str) -> Outcome:
        plot = Plot("line", "A line", "x", "y", [Series("one", [(0, 0), (1, float(value))])])
        return Outcome("Something", [Table("Found", ["number"], [[value]])], plots=[plot])

    for value in ("17", "18"):
        file = report.write(
            tmp_path, "day", [outcome(value)], about={"date": "today"}, effort="scripts/bench"
        )

    text = file.read_text()
    assert text.index("| 17 |") < text.index("| 18 |")
    assert text.count("# day\n") == 2
    assert text.index("(day-line.svg)") < text.index("(day-line-2.svg)")
    assert (tmp_path / "day-line.svg").read_text() != (tmp_path / "day-line-2.svg").read_text()


def test_report_is_printed_without_plots():
    plot = Plot("line", "A line", "x", "y", [])
    printed = report.text([Outcome("Something", [Table("Found", ["number"], [["17"]])], plots=[plot])])
    assert "| 17 |" in printed
    assert "svg" not in printed
