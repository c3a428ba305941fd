"""Plots are well-formed pictures in which every point lies inside the axes."""

import re
from xml.etree import ElementTree as ET

import pytest

from bench.plot import HEIGHT, LEFT, RIGHT, TOP, WIDTH, Axis, label, svg
from bench.results import Plot, Series

pytestmark = pytest.mark.stack("small")


def drawn(*series: Series, **options) -> ET.Element:
    return ET.fromstring(svg(Plot("name", "A <title> & more", "members", "per second", series, **options)))


def points_of(picture: ET.Element) -> list[tuple[float, float]]:
    lines = [line.get("points", "") for line in picture.iter("{http://www.w3.org/2000/svg}polyline")]
    return [(float(x), float(y)) for line in lines for x, y in re.findall(r"([\d.-]+),([\d.-]+)", line)]


@pytest.mark.parametrize("log", [True, False])
@pytest.mark.parametrize(
    "points",
    [[(1, 1)], [(0, 0), (5, 0)], [(10, 3), (1000, 2e6)], [(0, -4), (2, 9.5)], [(1, 1e-3), (2, 1e-3)], []],
)
def test_points_lie_inside_the_axes(points, log):
    for x, y in points_of(drawn(Series("ours", points), log_x=log, log_y=log)):
        assert LEFT <= x <= WIDTH - RIGHT
        assert TOP <= y <= HEIGHT


def test_more_is_higher_and_further_right():
    (x1, y1), (x2, y2) = points_of(drawn(Series("ours", [(1, 10), (2, 1000)]), log_y=True))
    assert x2 > x1
    assert y2 < y1


def test_title_labels_and_legend_are_there_and_escaped():
    words = [
        text.text
        for text in drawn(Series("ours <1>", [(1, 1)]), Series("theirs", [(2, 2)])).iter()
        if text.text
    ]
    assert {"A <title> & more", "members", "per second", "ours <1>", "theirs"} <= set(words)


@pytest.mark.parametrize(
    ("values", "ticks"),
    [([0, 10], [0, 2, 4, 6, 8, 10]), ([3, 97], [0, 20, 40, 60, 80, 100]), ([0, 0], [0, 0.2])],
)
def test_ticks_are_round_numbers(values, ticks):
    assert Axis(values, start=0, end=100, log=False).ticks[: len(ticks)] == pytest.approx(ticks)


def test_logarithmic_ticks_are_powers_of_ten():
    assert Axis([3, 2500], start=0, end=100, log=True).ticks == [1, 10, 100, 1000, 10000]


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (0.25, "0.25"), (2500, "2.5k"), (2e6, "2M"), (1e9, "1G")]
)
def test_tick_label_is_short(value, text):
    assert label(value) == text
