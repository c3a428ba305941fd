"""Line charts as SVG text: axes, labels, legend. Enough for a report, and no dependency."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from bench.results import Plot

WIDTH, HEIGHT = 760, 420
LEFT, RIGHT, TOP, BOTTOM = 84, 190, 44, 60
#: Colours that the colour-blind tell apart too (Okabe and Ito); each line also has its own marker.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000", "#999999")
STYLE = f'width="{WIDTH}" height="{HEIGHT}" font-family="system-ui, sans-serif" font-size="12"'
GRID, INK = "#e3e3e3", "#333333"


class Axis:
    """One axis: converts values to pixels, and places its ticks."""

    def __init__(self, values: Sequence[float], *, start: float, end: float, log: bool) -> None:
        self.log = log and any(value > 0 for value in values)
        shown = [value for value in values if value > 0] if self.log else [*values, 0.0]
        low, high = (min(shown), max(shown)) if shown else (0.0, 1.0)
        if self.log:
            # Whole decades, so that every tick is a power of ten.
            low, high = 10.0 ** math.floor(math.log10(low)), 10.0 ** math.ceil(math.log10(high))
            self.high = high if high > low else low * 10
            self.low = low
            count = round(math.log10(self.high / self.low))
            self.ticks = [self.low * 10**power for power in range(count + 1)]
        else:
            step = _round_step((high - low) or 1.0)
            self.low, self.high = math.floor(low / step) * step, math.ceil(high / step) * step
            if self.high == self.low:
                self.high = self.low + step
            self.ticks = [
                self.low + step * index for index in range(round((self.high - self.low) / step) + 1)
            ]
        self._start, self._end = start, end

    def at(self, value: float) -> float:
        """The pixel of a value; a value that a logarithm cannot show lies on the edge."""
        if self.log:
            share = math.log10(max(value, self.low) / self.low) / math.log10(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self._start + share * (self._end - self._start)


def _round_step(span: float) -> float:
    """A step of 1, 2 or 5 times a power of ten: about five steps in a span."""
    rough = span / 5
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)


def label(value: float) -> str:
    """The text of a tick: 2.5k for 2,500."""
    for limit, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{value / limit:g}{suffix}"
    return f"{value:.4g}"


def svg(plot: Plot) -> str:
    """The chart as SVG."""
    points = [point for series in plot.series for point in series.points]
    x = Axis([p[0] for p in points], start=LEFT, end=WIDTH - RIGHT, log=plot.log_x)
    y = Axis([p[1] for p in points], start=HEIGHT - BOTTOM, end=TOP, log=plot.log_y)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" {STYLE} fill="{INK}">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        _text(LEFT, 24, plot.title, size=15, weight="600"),
        *_frame(x, y),
        _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 16, plot.x_label, anchor="middle"),
        f'<g transform="translate(20 {(TOP + HEIGHT - BOTTOM) / 2:.1f}) rotate(-90)">',
        _text(0, 0, plot.y_label, anchor="middle"),
        "</g>",
    ]
    for index, series in enumerate(plot.series):
        colour = COLOURS[index % len(COLOURS)]
        placed = [(x.at(a), y.at(b)) for a, b in series.points]
        line = " ".join(f"{a:.1f},{b:.1f}" for a, b in placed)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        if len(placed) <= 40:
            parts += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3.5" fill="{colour}"/>' for a, b in placed]
        top = TOP + 8 + index * 22
        parts.append(f'<rect x="{WIDTH - RIGHT + 20}" y="{top}" width="16" height="4" fill="{colour}"/>')
        parts.append(_text(WIDTH - RIGHT + 44, top + 6, series.name))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _frame(x: Axis, y: Axis) -> list[str]:
    """Grid, ticks and the two axes."""
    left, right, top, bottom = LEFT, WIDTH - RIGHT, TOP, HEIGHT - BOTTOM
    parts = []
    for tick in x.ticks:
        parts.append(_line(x.at(tick), top, x.at(tick), bottom, GRID))
        parts.append(_text(x.at(tick), bottom + 18, label(tick), anchor="middle"))
    for tick in y.ticks:
        parts.append(_line(left, y.at(tick), right, y.at(tick), GRID))
        parts.append(_text(left - 8, y.at(tick) + 4, label(tick), anchor="end"))
    return [*parts, _line(left, bottom, right, bottom, INK), _line(left, top, left, bottom, INK)]


def _line(x1: float, y1: float, x2: float, y2: float, colour: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"/>'


def _text(
    x: float, y: float, text: str, *, anchor: str = "start", size: int = 12, weight: str = "400"
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" font-weight="{weight}">'
        f"{escape(text)}</text>"
    )
