"""Instruments: counting is cheap, and no input makes them grow without bounds."""

from __future__ import annotations

import pytest

from realtime.metrics.instruments import MAX_SERIES, Counter, Gauge, Histogram, Registry


@pytest.fixture
def registry() -> Registry:
    return Registry()


def test_counts_are_shown_by_label(registry):
    plain = Counter("plain_total", "", registry=registry)
    by_code = Counter("by_code_total", "", "code", registry=registry)

    plain.value += 2
    plain.add()
    by_code.add("4404")
    by_code.add("4408", n=3)

    assert registry.snapshot() == {
        "plain_total": {(): [3]},
        "by_code_total": {("4404",): [1], ("4408",): [3]},
    }


def test_label_values_without_end_are_counted_together(registry):
    counter = Counter("hostile_total", "", "what", registry=registry)

    for number in range(10 * MAX_SERIES):
        counter.add(f"value {number}")

    series = counter.series()
    assert len(series) == MAX_SERIES + 1
    assert series[("other",)] == [9 * MAX_SERIES]


def test_gauge_reads_what_it_is_told_to_when_somebody_asks(registry):
    waiting = ["a", "b"]
    gauge = Gauge("waiting", "", registry=registry)
    gauge.reads(lambda: len(waiting))

    waiting.append("c")

    assert gauge.series() == {(): [3]}


@pytest.mark.parametrize(("value", "bucket"), [(0, 0), (1, 0), (1.5, 1), (2, 1), (2.1, 2), (100, 2)])
def test_observation_falls_into_the_first_bucket_that_holds_it(registry, value, bucket):
    histogram = Histogram("sizes", "", (1, 2), registry=registry)

    histogram.observe(value)

    total, *counts = histogram.series()[()]
    assert total == value
    assert counts == [int(number == bucket) for number in range(3)]


def test_two_instruments_of_one_name_are_refused(registry):
    Counter("twice_total", "", registry=registry)

    with pytest.raises(ValueError, match="twice_total"):
        Counter("twice_total", "", registry=registry)
