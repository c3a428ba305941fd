"""The gate of `scripts/bench --short` fails on a slow result, and only on that."""

import json

import pytest

from bench import reference, report, run
from bench.results import Mark, Outcome, Plot, Series, Table, at_least, at_most, ratio, spread
from bench.scenarios import short

pytestmark = pytest.mark.stack("small")

REFERENCE = {"uvicorn/guide": 500.0, "daphne/guide": 200.0}


@pytest.mark.parametrize(
    ("found", "failed"),
    [
        ({"uvicorn/guide": 500, "daphne/guide": 200}, 0),
        ({"uvicorn/guide": 250, "daphne/guide": 100}, 0),
        ({"uvicorn/guide": 249, "daphne/guide": 100}, 1),
        ({"uvicorn/guide": 900, "daphne/guide": 10}, 1),
        ({"uvicorn/guide": 0, "daphne/guide": 0}, 2),
        ({"uvicorn/guide": 500}, 1),
        ({}, 2),
    ],
)
def test_less_than_half_is_a_regression(found, failed):
    assert len(reference.regressions(found, REFERENCE)) == failed


@pytest.fixture
def gate(monkeypatch, tmp_path):
    """Run the command on a made-up measurement."""
    monkeypatch.setattr(reference, "FILE", tmp_path / "reference.json")
    # The default of an argument is bound early.
    monkeypatch.setattr(reference, "read", lambda read=reference.read: read(tmp_path / "reference.json"))
    original = reference.write
    monkeypatch.setattr(reference, "write", lambda r, *, about: original(r, about=about, file=reference.FILE))

    def measured(ratios: dict[str, float], *arguments: str, notes: tuple[str, ...] = ()) -> int:
        monkeypatch.setattr(
            short, "measure", lambda bench: Outcome("Short", ratios=ratios, notes=list(notes))
        )
        return run.main(["--short", *arguments])

    return measured


def test_command_fails_on_a_slow_result(gate, capsys):
    assert gate(REFERENCE, "--set-reference") == 0
    assert gate(REFERENCE) == 0
    assert gate({"uvicorn/guide": 120.0, "daphne/guide": 200.0}) == 1
    assert "uvicorn/guide is 120.0×, less than half of the reference, 500.0×" in capsys.readouterr().out


def test_command_fails_when_messages_were_lost_however_fast(gate):
    gate(REFERENCE, "--set-reference")
    assert gate(REFERENCE, notes=("uvicorn lost messages",)) == 1


def test_command_fails_without_a_reference(gate):
    assert gate(REFERENCE) == 1


def test_reference_says_where_it_was_measured(gate):
    gate({"uvicorn/guide": 1 / 3}, "--set-reference")
    written = json.loads(reference.FILE.read_text())
    assert written["ratios"] == {"uvicorn/guide": 0.33}
    assert "cores" in written["measured"]


@pytest.mark.parametrize("arguments", [["fanuot"], ["--set-reference"], ["--scale", "0.1"]])
def test_command_refuses_what_makes_no_sense(arguments):
    with pytest.raises(SystemExit) as refused:
        run.parse(arguments)
    assert refused.value.code == 2


def test_ratio_is_the_median_over_the_rounds():
    assert ratio([10, 20, 90], [1, 1, 1]) == 20
    assert ratio([10, 20], [0, 2]) == 10
    assert ratio([10], [0]) is None


def test_marks_are_judged_and_absent_peers_are_not():
    assert at_least("P1", "", 8, 8).reached is True
    assert at_least("P1", "", 7.9, 8).reached is False
    assert at_most("P2", "", 50, 50).reached is True
    assert at_most("P2", "", None, 50).reached is None


def test_report_holds_every_table_mark_and_plot(tmp_path):
    outcome = Outcome(
        "Fan-out",
        tables=[Table("1,000 members", ["server", "rate"], [["a|b", spread([3, 1, 2])]])],
        marks=[Mark("P1", "much", "little", reached=False)],
        plots=[Plot("rate", "Rate", "x", "y", [Series("ours", [(1, 2)])])],
        notes=["A note."],
        ratios={"ours/theirs": 2.0},
    )

    file = report.write(
        tmp_path, "2025-01-01-machine", [outcome], about={"revision": "abc"}, effort="scripts/bench"
    )

    text = file.read_text()
    for part in (
        "| revision | abc |",
        "| P1 | much | little | **no** |",
        "| a\\|b | 2 (1–3) |",
        "* A note.",
        "2.00×",
    ):
        assert part in text
    assert "(2025-01-01-machine-rate.svg)" in text
    assert (tmp_path / "2025-01-01-machine-rate.svg").read_text().startswith("<svg")
