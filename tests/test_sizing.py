"""docs/operations/sizing.md: its figures stand in the reports it names, and its examples follow from its
formulas."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest

from realtime.defaults import Conf

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs/operations/sizing.md"
TEXT = PAGE.read_text()
POOL = 20  # DB_POOL in config/settings.py

FIGURES = re.findall(
    r"^\| (\w+) \| [^|]* \| ([\d.,]+) ?([^|]*) \| \[\w+\]\(([^)]*)\)(.*) \|$", TEXT, re.MULTILINE
)
EXAMPLES = [
    [float(cell.replace(",", "").removesuffix(" MB")) for cell in row.split(" | ")]
    for row in re.findall(r"^\| ([\d,]+(?: \| [\d.,]+(?: MB)?){6}) \|$", TEXT, re.MULTILINE)
]


def figure(name: str) -> float:
    [value] = [value for each, value, *_ in FIGURES if each == name]
    return float(value.replace(",", ""))


def test_there_are_figures_and_examples() -> None:
    assert len(FIGURES) == 12
    assert len(EXAMPLES) == 6


@pytest.mark.parametrize(("name", "value", "unit", "report", "where"), FIGURES)
def test_figure_stands_in_the_report_that_is_named(
    name: str, value: str, unit: str, report: str, where: str
) -> None:
    file = (PAGE.parent / report).resolve()
    if "plot" in where:
        assert _without_sockets(file) == pytest.approx(float(value), abs=1)
    else:
        assert re.search(rf"(?<![\d.,]){re.escape(value)}(?![\d,]|\.\d)", file.read_text()), name


def test_reports_are_of_the_revision_that_is_named() -> None:
    [revision] = re.findall(r"The reports are of revision (\w+)", TEXT)
    reports = {
        (PAGE.parent / link).resolve()
        for link in re.findall(r"\]\(([^)\s]*bench/results/[^)\s]+\.md)\)", TEXT)
    }

    assert len(reports) == 7
    assert [each.name for each in reports if f"| revision | {revision} |" not in each.read_text()] == []


def _without_sockets(report: Path) -> float:
    """The memory of a worker without sockets, in MB: the first point of uvicorn's line, less its sockets."""
    [name] = re.findall(r"\((\S+\.svg)\)", report.read_text())
    plot = (report.parent / name).read_text()
    x, y = map(float, re.findall(r'points="([\d.]+),([\d.]+)', plot)[0])

    def axis(anchor: str, place: str) -> list[tuple[float, float]]:
        found = re.findall(
            rf'<text x="([\d.]+)" y="([\d.]+)" text-anchor="{anchor}"[^>]*>([\d.]+k?)</text>', plot
        )
        ticks = [(float(px if place == "x" else py), text) for px, py, text in found]
        return [
            (at, float(text.removesuffix("k")) * (1000 if text.endswith("k") else 1)) for at, text in ticks
        ]

    def value(at: float, ticks: list[tuple[float, float]]) -> float:
        (first, low), (last, high) = ticks[0], ticks[-1]
        return low + (at - first) / (last - first) * (high - low)

    return value(y, axis("end", "y")) - value(x, axis("middle", "x")) * figure("S") / 1024


@pytest.mark.parametrize(
    ("sockets", "messages", "members", "busy", "workers", "memory", "connections"), EXAMPLES
)
def test_example_follows_from_the_formulas(
    sockets: float,
    messages: float,
    members: float,
    busy: float,
    workers: float,
    memory: float,
    connections: float,
) -> None:
    per_message = figure(f"M{members:.0f}") / 1e6

    def busy_with(count: int) -> float:
        share = messages * per_message * (figure("W") if count > 1 else 1)
        return sockets / 10_000 * figure("I") / 100 + share

    count = 1
    while count < max(busy_with(count) / 0.7, sockets / Conf.limit_sockets):
        count += 1
    assert workers == count
    assert busy == round(busy_with(count), 2)
    expected = count * figure("B") + sockets * figure("S") / 1024 + sockets * figure("T") / 2**20
    assert memory == math.floor(expected + 0.5)
    assert connections == count * POOL
