"""The time budget: each part ends in time for the one around it, and all follow from the promise."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import Any

from realtime.database import time_budget
from realtime.database.url import database

PARTS = ("QUEUE", "LOCK", "CONNECTION", "DATABASE", "ANSWER", "PROMISE")


def seconds(module: Any = None) -> list[float]:
    values = module or vars(time_budget)
    return [values[f"{part}_SECONDS"] for part in PARTS]


def test_each_wait_ends_a_tenth_of_a_second_before_the_one_around_it():
    assert all(round(later - sooner, 3) >= 0.1 for sooner, later in pairwise(seconds()))
    assert 0 < time_budget.SHORT_LOCK_SECONDS < time_budget.LOCK_SECONDS


def test_another_promise_is_one_line():
    text = Path(str(time_budget.__file__)).read_text()
    longer, count = re.subn(r"^PROMISE_SECONDS = 2\.0$", "PROMISE_SECONDS = 3.0", text, flags=re.MULTILINE)
    changed: dict[str, Any] = {"__name__": "changed"}
    exec(compile(longer, "changed", "exec"), changed)

    assert count == 1
    assert {round(new - old, 3) for new, old in zip(seconds(changed), seconds(), strict=True)} == {1.0}


def test_comment_adds_up_to_what_the_names_hold():
    listed = re.findall(r"^    (\d\.\d)  ([A-Z]+) ", str(time_budget.__doc__), re.MULTILINE)

    assert [(name, float(value)) for value, name in reversed(listed)] == [
        (name, round(value, 3)) for name, value in zip(PARTS, seconds(), strict=True)
    ]


def test_pool_and_reconnecting_keep_to_it():
    pool = database("postgres://u:p@localhost/db", directory=Path(), pool_size=8)["OPTIONS"]["pool"]

    assert pool["timeout"] == time_budget.CONNECTION_SECONDS
    assert 2 * pool["reconnect_timeout"] < pool["timeout"]
