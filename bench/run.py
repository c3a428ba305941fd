"""The command: `scripts/bench [--short] [scenario…]`. Measures, and writes the report into bench/results/."""

from __future__ import annotations

import argparse
import importlib
import shlex
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bench import machine, progress, reference, report
from bench.results import Outcome
from bench.scenarios import short
from bench.workbench import Effort, Workbench

RESULTS = Path(__file__).parent / "results"
SCENARIOS = ("fanout", "sends", "idle", "connects", "history", "growth")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 0 when nothing is slower than it may be."""
    options = parse(arguments)
    if options.short:
        # A reference is compared with for a long time: five rounds are worth it.
        effort = replace(
            short.EFFORT, scale=options.scale, runs=5 if options.set_reference else short.EFFORT.runs
        )
        return run_short(effort, set_reference=options.set_reference)
    effort = Effort(runs=options.runs, seconds=options.seconds, scale=options.scale)
    outcomes: list[Outcome] = []
    with Workbench(effort=effort, against=options.against) as bench:
        about = machine.description(bench.cores)
        for name in options.scenarios:
            with bench.part() as part:
                outcomes.append(importlib.import_module(f"bench.scenarios.{name}").measure(part))
        about |= bench.versions | {f"{peer}, absent": why for peer, why in bench.absent.items()}
    if options.against:
        about["other checkout"] = machine.revision(options.against)
    given = sys.argv[1:] if arguments is None else arguments
    command = " ".join(["scripts/bench", *map(shlex.quote, given)])
    if options.against:
        command = command.replace(str(options.against), "…")
    name = f"{about['date'][:10]}-{machine.slug()}"
    if set(options.scenarios) != set(SCENARIOS):
        name += "-" + "-".join(options.scenarios)
    directory = RESULTS if options.scale == 1 else options.output
    print(report.write(directory or RESULTS, name, outcomes, about=about, effort=command))
    return 0


def run_short(effort: Effort, *, set_reference: bool) -> int:
    """Under two minutes: fan-out against the guide's server, compared with the committed reference."""
    with Workbench(effort=effort) as bench:
        found = short.measure(bench)
        cores = bench.cores
    for name, value in found.ratios.items():
        print(f"{name}: {value:,.1f}×")
    for problem in found.notes:
        print(problem)
    if set_reference:
        about = machine.description(cores)
        reference.write(found.ratios, about=f"{about['date']}, {about['revision']}, {about['machine']}")
        print(f"Written to {reference.FILE.name}.")
        return 1 if found.notes else 0
    known = reference.read()
    if not known:
        print("No reference: run scripts/bench --short --set-reference and commit bench/reference.json.")
        return 1
    problems = [*reference.regressions(found.ratios, known), *found.notes]
    for problem in problems:
        print(f"FAILED: {problem}")
    if not problems:
        print("No ratio has fallen by half.")
    return 1 if problems else 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("scenarios", nargs="*", metavar="scenario", help=", ".join(SCENARIOS))
    parser.add_argument("--short", action="store_true", help="the gate: under two minutes, no report")
    parser.add_argument(
        "--set-reference", action="store_true", help="with --short: make its ratios the reference"
    )
    parser.add_argument("--runs", type=int, default=Effort.runs, help="rounds of each measurement")
    parser.add_argument("--seconds", type=float, default=Effort.seconds, help="of each measurement")
    parser.add_argument("--scale", type=float, default=1.0, help="of sockets and rows; for trying things out")
    parser.add_argument("--output", type=Path, help="where the report of a scaled run goes")
    parser.add_argument("--against", type=Path, help="another checkout to measure beside this one (fanout)")
    options = parser.parse_args(arguments)
    if unknown := set(options.scenarios) - set(SCENARIOS):
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}; there are {', '.join(SCENARIOS)}")
    if options.set_reference and not options.short:
        parser.error("--set-reference goes with --short")
    if options.scale != 1 and options.output is None and not options.short:
        parser.error("a scaled run proves nothing: give its report a place of its own with --output")
    options.scenarios = options.scenarios or list(SCENARIOS)
    options.against = options.against and options.against.resolve()
    return options


if __name__ == "__main__":
    # Asked to end, as by Ctrl-C: what was started ends too, and nothing is left behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    progress.say("started")
    sys.exit(main())
