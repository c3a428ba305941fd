"""The Autobahn testsuite is found, and its results are read and reported; `scripts/autobahn` plays it."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from proof.autobahn import suite
from proof.autobahn.run import failed, report
from proof.autobahn.servers import SERVERS, Running
from proof.autobahn.suite import NoSuiteError, Outcome, outcomes, python27

DAPHNE = SERVERS[0]


def said(behavior: str, closing: str = "OK", code: int | None = 1000) -> dict[str, object]:
    return {"behavior": behavior, "behaviorClose": closing, "remoteCloseCode": code, "duration": 1}


INDEX = json.dumps(
    {
        "daphne": {
            "9.3.10": said("OK"),
            "9.3.1": said("FAILED", "FAILED", 1009),
            "3.2": said("NON-STRICT", "OK", 1002),
            "7.13.1": said("INFORMATIONAL", "INFORMATIONAL", 1002),
            "5.1": said("OK", "WRONG CODE", 1011),
        }
    }
)


def test_cases_stand_in_their_order() -> None:
    assert [each.case for each in outcomes(INDEX)] == ["3.2", "5.1", "7.13.1", "9.3.1", "9.3.10"]


def test_case_passes_where_both_the_answer_and_the_end_are_right() -> None:
    assert [each.case for each in outcomes(INDEX) if not each.has_passed] == ["5.1", "9.3.1"]
    assert [each.case for each in outcomes(INDEX) if not each.is_strict] == ["3.2"]


def test_case_refused_by_design_has_not_failed() -> None:
    assert [each.case for each in failed(DAPHNE, outcomes(INDEX))] == ["5.1"]


def test_report_counts_each_server_and_names_what_failed() -> None:
    page = report({DAPHNE: outcomes(INDEX)}, python="CPython 2.7.18")

    assert "| Relais on Daphne | 5 | 3 | 1 | 1 | 1 |" in page
    assert "**Relais on Daphne** failed: 5.1 (OK, closed with 1011)." in page
    assert "CPython 2.7.18" in page


def program(path: Path, words: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{words}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.fixture
def nothing_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine without any Python 2.7."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    monkeypatch.delenv("PYTHON27", raising=False)
    return tmp_path


def test_python_that_only_pretends_is_passed_over(nothing_here: Path) -> None:
    program(nothing_here / "bin/python2.7", "exit 127")  # this is pyenv's, where no version is chosen
    program(nothing_here / "bin/pypy", "echo 3.11")
    right = program(nothing_here / "pyenv/versions/2.7.18/bin/python", "echo 2.7")

    assert python27() == str(right)


def test_named_python_is_the_only_one_that_is_tried(
    nothing_here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(nothing_here / "bin/python2.7", "echo 2.7")
    monkeypatch.setenv("PYTHON27", "/nowhere/python")

    with pytest.raises(NoSuiteError, match="tried: /nowhere/python"):
        python27()


def test_machine_without_one_is_told_what_is_missing(nothing_here: Path) -> None:
    with pytest.raises(NoSuiteError, match=r"needs a Python 2\.7 with pip"):
        python27()


def test_install_that_fails_leaves_nothing_behind(
    nothing_here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suite, "DIRECTORY", nothing_here / "suite")
    python = program(nothing_here / "python", 'mkdir -p "$7"; echo no such version >&2; exit 1')

    with pytest.raises(NoSuiteError, match="no such version"):
        suite.installed(str(python))

    assert list((nothing_here / "suite").glob("autobahntestsuite-*[0-9]")) == []


@pytest.mark.acceptance
@pytest.mark.stack("small")
@pytest.mark.parametrize("server", SERVERS, ids=lambda server: server.name)
def test_every_server_that_is_compared_starts(server) -> None:
    with Running(server) as running:
        assert running.answers()


def test_no_case_of_ours_is_excused_but_for_its_fragments() -> None:
    assert {case for server in SERVERS for case in server.by_design} == {"9.3.1", "9.4.1"}
    assert Outcome("9.3.2", "FAILED", "FAILED", 1009) in failed(
        DAPHNE, [Outcome("9.3.2", "FAILED", "FAILED", 1009)]
    )
