"""The report of a run: lines on the terminal, and a table for docs/proof/."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.machine import Cores, description
from proof.scenario import Run, Scenario, said


@dataclass(frozen=True)
class Result:
    """One run with its verdict."""

    run: Run
    seconds: float
    failures: list[str]

    @property
    def scenario(self) -> Scenario:
        return self.run.scenario

    @property
    def seed(self) -> int:
        return self.run.seed

    @property
    def command(self) -> str:
        """The command that plays it again."""
        parts = ["scripts/chaos", self.scenario.row, f"--seed {self.seed}"]
        parts += ["--short"] * self.run.short
        parts += ["--target guide"] * (self.run.target == "guide")
        parts += ["--over native"] * (self.run.over == "native")
        if self.run.minutes is not None:
            parts.append(f"--minutes {self.run.minutes:g}")
        return " ".join(parts)


def tell(result: Result) -> None:
    """Print a run's figures as soon as it is over."""
    for mark in result.run.marks:
        figure = result.run.figures.get(mark.name, "not measured")
        print(f"   {'ok    ' if mark.allows(figure) else 'FAILED'} {mark}: {said(figure, mark.unit)}")
    for note in [*result.run.notes, *result.failures]:
        print(f"   · {note}")
    print(f"   {result.seconds:.0f} s", flush=True)


def markdown(results: Sequence[Result]) -> str:
    """The table as Markdown, with what a reader needs in order to repeat it."""
    about = description(Cores((), (), ()))
    lines = [
        f"* {name}: {about[name]}" for name in ("date", "revision", "machine", "kernel", "python", "packages")
    ]
    lines += [
        "",
        "| test | what was done | mark | figure | passed | command |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for result in results:
        for index, mark in enumerate(result.run.marks):
            figure = result.run.figures.get(mark.name, "not measured")
            first = index == 0
            cells = [
                result.scenario.row if first else "",
                result.run.does if first else "",
                str(mark),
                said(figure, mark.unit),
                "yes" if mark.allows(figure) else "**no**",
                f"`{result.command}`" if first else "",
            ]
            lines.append("| " + " | ".join(cells) + " |")
    for result in results:
        if result.run.notes or result.failures:
            lines += ["", f"**{result.scenario.row}** ({result.seconds:.0f} s)", ""]
            lines += [f"* {note}" for note in [*result.run.notes, *result.failures]]
    return "\n".join(lines) + "\n"
