"""The scoreboard: any worker answers for all, and no counter that was shown ever falls."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from realtime.metrics.exposition import as_text
from realtime.metrics.instruments import Counter, Gauge, Histogram, Registry
from realtime.metrics.scoreboard import Scoreboard


class Worker:
    """A process of a service, as far as its numbers go; several of them live in this one."""

    def __init__(self, directory: Path | None) -> None:
        registry = self.registry = Registry()
        self.counter = Counter("sent_total", "", "kind", registry=registry)
        self.histogram = Histogram("seconds", "", (1, 2), registry=registry)
        self.sum = Gauge("open", "", registry=registry)
        self.max = Gauge("lag", "", combine="max", registry=registry)
        self.each = Gauge("memory", "", combine="worker", registry=registry)
        self.own = Gauge("health", "", combine="own", registry=registry)
        self.board = Scoreboard(directory, registry)

    def work(self, number: int) -> None:
        self.counter.add("chat", n=number)
        self.histogram.observe(number)
        for gauge in (self.sum, self.max, self.each, self.own):
            gauge.value = number

    def rest(self) -> None:
        """Let the second of rest pass."""
        self.board.note()
        self.board.write()

    def die(self) -> None:
        """Leave what a killed process leaves: its file, and no lock."""
        self.board.leave()

    def answer(self) -> dict[str, float]:
        self.board.note()
        lines = as_text(self.board.totals(), self.registry).decode().splitlines()
        return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if line[0] != "#"}


def test_one_process_needs_no_directory():
    alone = Worker(None)
    alone.work(3)

    assert alone.answer()['sent_total{kind="chat"}'] == 3


def test_each_worker_answers_for_all(tmp_path):
    one, other = Worker(tmp_path), Worker(tmp_path)
    one.work(1)
    other.work(2)
    one.rest()

    assert other.answer() == {
        'sent_total{kind="chat"}': 3,
        'seconds_bucket{le="1.0"}': 1,
        'seconds_bucket{le="2.0"}': 2,
        'seconds_bucket{le="+Inf"}': 2,
        "seconds_count": 2,
        "seconds_sum": 3,
        "open": 3,
        "lag": 2,
        'memory{worker="0"}': 1,
        'memory{worker="1"}': 2,
        "health": 2,
    }


def test_dead_worker_counts_and_weighs_nothing(tmp_path):
    one, other = Worker(tmp_path), Worker(tmp_path)
    one.work(1)
    other.work(2)
    other.rest()
    other.die()

    answer = one.answer()

    assert answer['sent_total{kind="chat"}'] == 3
    assert (answer["open"], answer["lag"]) == (1, 1)
    assert 'memory{worker="1"}' not in answer


def test_next_worker_goes_on_where_the_last_one_stopped(tmp_path):
    one, other = Worker(tmp_path), Worker(tmp_path)
    one.work(1)
    one.rest()
    other.work(2)
    for number in range(20):
        one.die()
        one = Worker(tmp_path)
        one.work(1)
        one.rest()

        answer = other.answer()
        assert answer['sent_total{kind="chat"}'] == 2 + 2 + number
        assert answer["seconds_count"] == 3 + number
        assert answer["open"] == 3

    assert len(list(tmp_path.glob("*.json"))) == 2, "files of the dead do not pile up"


def test_shown_number_outlives_the_worker_that_showed_it(tmp_path):
    one, other = Worker(tmp_path), Worker(tmp_path)
    one.work(5)
    shown = one.answer()['sent_total{kind="chat"}']

    one.die()  # in this very moment: it never noted anything but to answer

    assert other.answer()['sent_total{kind="chat"}'] == shown


@pytest.mark.acceptance
def test_process_that_is_really_killed_frees_its_slot(tmp_path):
    script = (
        "import os, sys; from pathlib import Path; from realtime.metrics.scoreboard import _locked;"
        "assert _locked(Path(sys.argv[1]) / '0.lock'); print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        beside = Worker(tmp_path).board.slot
        holder.kill()
        holder.wait(10)

    assert (beside, Worker(tmp_path).board.slot) == (1, 0)


def test_forked_child_does_not_hold_its_parents_slot(tmp_path, monkeypatch):
    from realtime.metrics import scoreboard

    parent = Worker(tmp_path)
    monkeypatch.setattr(scoreboard, "_current", parent.board)
    read, write = os.pipe()
    if (child := os.fork()) == 0:
        os._exit(0 if scoreboard._current is None and parent.board._lock_fd is None else 1)
    _, status = os.waitpid(child, 0)  # not just any child: servers of other tests are children as well
    os.close(read)
    os.close(write)

    assert os.waitstatus_to_exitcode(status) == 0
    assert Worker(tmp_path).board.slot == 1, "the parent still holds the first one"


@pytest.mark.parametrize("damage", ["cut", "gone", "strange"])
def test_damaged_board_loses_what_is_damaged_and_no_more(tmp_path, caplog, damage):
    one, other, third = Worker(tmp_path), Worker(tmp_path), Worker(tmp_path)
    third.work(2)
    for worker in (other, third):
        worker.rest()
    one.work(1)
    if damage == "cut":
        (tmp_path / "1.json").write_bytes(b'{"sent_total"')
    elif damage == "gone":
        shutil.rmtree(tmp_path)
    else:
        (tmp_path / "notes.json").write_text("{}")

    with caplog.at_level(logging.WARNING):
        answers = [one.answer()['sent_total{kind="chat"}'] for _ in range(2)]

    assert answers == ([1, 1] if damage == "gone" else [3, 3]), "and those of the others that can be read"
    assert len(caplog.records) == (damage != "strange"), "said once"


def test_numbers_of_another_version_are_left_out(tmp_path):
    one = Worker(tmp_path)
    one.work(1)
    (tmp_path / "1.json").write_text(
        '{"gone_total": [[[], [7]]], "seconds": [[[], [1, 2]]], "sent_total": [[["chat"], [2]]]}'
    )

    answer = one.answer()

    assert answer['sent_total{kind="chat"}'] == 3
    assert answer["seconds_count"] == 1
    assert "gone_total" not in answer
