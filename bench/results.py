"""Results of a scenario: tables, marks reached or not, plots, and notes for reading them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from bench.latencies import median


@dataclass(frozen=True)
class Series:
    """One line of a plot."""

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Plot:
    """A plot; `name` becomes part of its file's name."""

    name: str
    title: str
    x_label: str
    y_label: str
    series: Sequence[Series]
    log_x: bool = False
    log_y: bool = False


@dataclass(frozen=True)
class Table:
    """Rows of text under a title."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Mark:
    """One mark; `reached` is None where it could not be judged."""

    number: str
    wanted: str
    found: str
    reached: bool | None


@dataclass
class Outcome:
    """The whole result of one scenario."""

    title: str
    tables: list[Table] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    plots: list[Plot] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    #: The figures that are compared with a reference, by name.
    ratios: dict[str, float] = field(default_factory=dict)


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float | None:
    """The median ratio of ours to theirs, over the rounds in which both were measured in turn."""
    pairs = [one / other for one, other in zip(ours, theirs, strict=True) if other > 0]
    return median(pairs) if pairs else None


def number(value: float) -> str:
    """A number with as many digits as are significant."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def spread(values: Sequence[float]) -> str:
    """The median, and the smallest and largest value."""
    if not values:
        return "–"
    if len(values) == 1:
        return number(values[0])
    return f"{number(median(values))} ({number(min(values))}–{number(max(values))})"


def at_least(label: str, wanted: str, value: float | None, limit: float, *, unit: str = "") -> Mark:
    """A mark that is reached from `limit` up."""
    if value is None:
        return Mark(label, wanted, "not measured: the peer is absent", None)
    return Mark(label, wanted, f"{number(value)}{unit}", value >= limit)


def at_most(label: str, wanted: str, value: float | None, limit: float, *, unit: str = "") -> Mark:
    """A mark that is reached up to `limit`."""
    if value is None:
        return Mark(label, wanted, "not measured: the peer is absent", None)
    return Mark(label, wanted, f"{number(value)}{unit}", value <= limit)
