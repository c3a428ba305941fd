"""Percentiles are values that occurred, and can be sent and added up."""

import json
import random

import pytest

from bench.latencies import Latencies, median, percentile, rounded

pytestmark = pytest.mark.stack("small")


@pytest.mark.parametrize(
    ("percent", "value"), [(0, 1), (1, 1), (50, 50), (50.5, 51), (99, 99), (99.1, 100), (100, 100)]
)
def test_percentile_is_the_nearest_rank(percent, value):
    assert percentile(random.Random(1).sample(range(1, 101), 100), percent) == value


def test_percentile_of_one_and_of_nothing():
    assert percentile([7], 1) == percentile([7], 100) == 7
    assert percentile([], 50) == 0


@pytest.mark.parametrize(("values", "middle"), [([], 0), ([3], 3), ([9, 1, 5], 5), ([4, 1, 3, 2], 2.5)])
def test_median_is_the_middle_value(values, middle):
    assert median(values) == middle


def test_distribution_agrees_with_the_values_to_three_digits():
    chance = random.Random(2)
    values = [int(chance.lognormvariate(16, 1)) for _ in range(5000)]
    distribution = Latencies.of(values)
    for percent in (0, 10, 50, 95, 99, 99.9, 100):
        exact = percentile(values, percent) / 1e6
        assert distribution.percentile(percent) == pytest.approx(exact, rel=0.006)


def test_distribution_survives_json_and_adds_up():
    one, other = Latencies.of([1_000_000, 2_000_000]), Latencies.of([3_000_000, 3_000_000])
    both = Latencies(json.loads(json.dumps(one.counts()))) + other
    assert len(both) == 4
    assert both.percentiles([0, 50, 75, 100]) == [1, 2, 3, 3]
    assert len(one) == 2


def test_no_deliveries_have_no_delay():
    assert Latencies().percentiles([50, 100]) == [0, 0]
    assert Latencies().mean() == 0


def test_mean_counts_each():
    assert Latencies.of([1_000_000, 1_000_000, 4_000_000]).mean() == 2


@pytest.mark.parametrize(("value", "kept"), [(7, 7), (999, 999), (12_345, 12_300), (9_999, 10_000)])
def test_three_digits_are_kept(value, kept):
    assert rounded(value) == kept
