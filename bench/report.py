"""The report of a run: a Markdown file with date and machine, and an SVG file for each plot.

Another run of the same scenarios on the same day is written below the one before.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from bench.plot import svg
from bench.results import Mark, Outcome, Table

REACHED = {True: "yes", False: "**no**", None: "–"}


def write(
    directory: Path, name: str, outcomes: Sequence[Outcome], *, about: Mapping[str, str], effort: str
) -> Path:
    """Write the report and its plots; returns its path."""
    directory.mkdir(parents=True, exist_ok=True)
    report = directory / f"{name}.md"
    before = report.read_text() + "\n" if report.exists() else ""
    head = [
        f"# {name}",
        "",
        f"Measured with `{effort}`; how to read this: [docs/benchmarks.md](../../docs/benchmarks.md).",
        "",
    ]
    head += [*_table(Table("", ["", ""], list(about.items()))), "", ""]
    drawn = {}
    for plot in (plot for outcome in outcomes for plot in outcome.plots):
        drawn[plot.name] = _free(directory / f"{name}-{plot.name}.svg")
        drawn[plot.name].write_text(svg(plot))
    report.write_text(before + "\n".join(head) + text(outcomes, drawn=drawn))
    return report


def text(outcomes: Sequence[Outcome], *, drawn: Mapping[str, Path] = MappingProxyType({})) -> str:
    """The marks, and all tables and notes of the scenarios, with the plots that were drawn."""
    parts = ["## Marks", "", *_marks([mark for outcome in outcomes for mark in outcome.marks]), ""]
    for outcome in outcomes:
        parts += [f"## {outcome.title}", ""]
        for table in outcome.tables:
            parts += [f"### {table.title}", "", *_table(table), ""]
        for plot in outcome.plots:
            if plot.name in drawn:
                parts += [f"![{plot.title}]({drawn[plot.name].name})", ""]
        if outcome.ratios:
            ratios = [[ratio, f"{value:,.2f}×"] for ratio, value in outcome.ratios.items()]
            parts += [
                "### Ratios, medians over the rounds",
                "",
                *_table(Table("", ["", "deliveries/s"], ratios)),
                "",
            ]
        parts += [f"* {note}" for note in outcome.notes] + ([""] if outcome.notes else [])
    return re.sub(r"\n{3,}", "\n\n", "\n".join(parts)).rstrip() + "\n"


def _free(file: Path) -> Path:
    """This file name, or the next one that no plot has yet."""
    number = 2
    found = file
    while found.exists():
        found = file.with_stem(f"{file.stem}-{number}")
        number += 1
    return found


def _marks(marks: Sequence[Mark]) -> list[str]:
    rows = [[mark.number, mark.wanted, mark.found, REACHED[mark.reached]] for mark in marks]
    return _table(Table("", ["", "mark", "found", "reached"], rows)) if rows else ["None in this run."]


def _table(table: Table) -> list[str]:
    """A table in Markdown, in which a bar inside a cell is escaped."""

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    return [line(table.header), line(["---"] * len(table.header)), *map(line, table.rows)]
