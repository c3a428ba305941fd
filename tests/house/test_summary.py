"""The last line of scripts/test: the tests that count as passed, and those that do not."""

import json

import pytest

from tests import summary

pytestmark = pytest.mark.stack("small")


def report(directory, name, **counts):
    path = directory / f"{name}.xml"
    attributes = " ".join(f'{key}="{value}"' for key, value in counts.items())
    path.write_text(f"<testsuites><testsuite {attributes}/></testsuites>")
    return path


def test_runs_are_added_up(tmp_path, capsys):
    small = report(tmp_path, "small", tests=5, failures=0, errors=0, skipped=0)
    full = report(tmp_path, "full", tests=4, failures=1, errors=1, skipped=0)
    assert summary.main([small, full]) == 1
    assert capsys.readouterr().out == "7 passed, 2 failed\n"


def test_runs_without_failures_succeed(tmp_path, capsys):
    assert summary.main([report(tmp_path, "small", tests=5)]) == 0
    assert capsys.readouterr().out == "5 passed, 0 failed\n"


def test_skipped_test_is_a_failure(tmp_path, capsys):
    assert summary.main([report(tmp_path, "small", tests=5, skipped=1)]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "4 passed, 1 failed"


def test_run_that_left_no_report_is_a_failure(tmp_path, capsys):
    assert summary.main([report(tmp_path, "small", tests=5), tmp_path / "full.xml"]) == 1
    assert "1 of 2 runs left no report" in capsys.readouterr().out


def test_frame_that_no_process_was_told_is_a_failure(tmp_path, capsys):
    known = [["chat", "ack"], ["chat", "pong"]]
    for number, seen in enumerate([[["chat", "ack"]], []]):
        (tmp_path / f"frames-{number}.json").write_text(json.dumps({"known": known, "seen": seen}))

    assert summary.main([report(tmp_path, "small", tests=5)]) == 1
    assert "no test was told: chat.pong" in capsys.readouterr().out


def test_frames_that_were_told_by_several_processes_are_added_up(tmp_path):
    known = [["chat", "ack"], ["chat", "pong"]]
    for number, seen in enumerate(known):
        (tmp_path / f"frames-{number}.json").write_text(json.dumps({"known": known, "seen": [seen]}))

    assert summary.main([report(tmp_path, "small", tests=5)]) == 0
