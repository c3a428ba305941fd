"""The command `scripts/bench [--short] [scenario…]`: measures, and writes the report into bench/results/.

`scripts/bench pairs --base REVISION` compares this checkout with another one.
"""

from __future__ import annotations

import argparse
import importlib
import random
import shlex
import signal
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from bench import machine, progress, reference, report
from bench.pairs import checkout
from bench.results import Outcome
from bench.scenarios import pairs, short
from bench.workbench import KINDS, Effort, Workbench

RESULTS = Path(__file__).parent / "results"
SCENARIOS = (
    "fanout",
    "speaker",
    "sends",
    "memory",
    "idle",
    "connects",
    "native",
    "lone",
    "history",
    "growth",
)
#: Scenarios that run only by name, since they need another revision.
PAIRS = "pairs"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 0 when nothing is slower than allowed."""
    options = parse(arguments)
    progress.say(f"seed {options.seed}: who of a crowd speaks")
    if options.short:
        # A reference is used for a long time: it is worth five rounds.
        effort = replace(
            short.EFFORT,
            scale=options.scale,
            seed=options.seed,
            runs=5 if options.set_reference else short.EFFORT.runs,
        )
        return run_short(effort, set_reference=options.set_reference)
    effort = Effort(
        runs=options.runs,
        seconds=options.seconds,
        scale=options.scale,
        seed=options.seed,
        pairs=options.pairs,
        what=options.what,
        servers=options.servers,
    )
    outcomes: list[Outcome] = []
    base = checkout(options.base) if options.base else nullcontext()
    with base as tree, Workbench(effort=effort, base=tree) as bench:
        about = machine.description(bench.cores) | {"seed": f"{effort.seed}: who of a crowd speaks"}
        if tree is not None:
            about["before"] = machine.revision(tree)
        for name in options.scenarios:
            with bench.part() as part:
                outcomes.append(importlib.import_module(f"bench.scenarios.{name}").measure(part))
        about |= bench.versions | {f"{peer}, absent": why for peer, why in bench.absent.items()}
    given = sys.argv[1:] if arguments is None else arguments
    command = " ".join(["scripts/bench", *map(shlex.quote, given)])
    name = f"{about['date'][:10]}-{machine.slug()}"
    if set(options.scenarios) != set(SCENARIOS):
        name += "-" + "-".join(options.scenarios)
    file = report.write(options.output or RESULTS, name, outcomes, about=about, effort=command)
    print(report.text(outcomes))
    print(file)
    return 0


def run_short(effort: Effort, *, set_reference: bool) -> int:
    """Measure fan-out against the guide's server, compared with the reference; takes under two minutes."""
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
    """Parse the options."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("scenarios", nargs="*", metavar="scenario", help=", ".join((*SCENARIOS, PAIRS)))
    parser.add_argument("--short", action="store_true", help="the gate: under two minutes, no report")
    parser.add_argument(
        "--set-reference", action="store_true", help="with --short: make its ratios the reference"
    )
    parser.add_argument("--runs", type=int, default=Effort.runs, help="rounds of each measurement")
    parser.add_argument("--seconds", type=float, default=Effort.seconds, help="of each measurement")
    parser.add_argument("--scale", type=float, default=1.0, help="of sockets and rows; for trying things out")
    parser.add_argument("--output", type=Path, help="where the report goes; needed for a scaled run")
    parser.add_argument("--seed", type=int, help="who of a crowd speaks; as in the report of another run")
    parser.add_argument("--base", metavar="REVISION", help="another revision to measure beside this one")
    parser.add_argument("--pairs", type=int, default=Effort.pairs, help="with pairs: how many")
    parser.add_argument("--what", default="", help=f"with pairs: some of {','.join(pairs.PARTS)}")
    parser.add_argument("--servers", default=",".join(Effort.servers), help=f"some of {','.join(KINDS)}")
    options = parser.parse_args(arguments)
    known = (*SCENARIOS, PAIRS)
    if unknown := set(options.scenarios) - set(known):
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    if PAIRS in options.scenarios and not options.base:
        parser.error("pairs are of two revisions: name the other one with --base")
    for name, possible in (("what", pairs.PARTS), ("servers", KINDS)):
        chosen = [word for word in getattr(options, name).split(",") if word]
        if unknown := set(chosen) - set(possible):
            parser.error(f"--{name} is some of {', '.join(possible)}; not {', '.join(sorted(unknown))}")
        setattr(options, name, tuple(chosen))
    if options.pairs < 1:
        parser.error("at least one pair")
    if options.set_reference and not options.short:
        parser.error("--set-reference goes with --short")
    if options.scale != 1 and options.output is None and not options.short:
        parser.error("a scaled run proves nothing: give its report a place of its own with --output")
    options.scenarios = options.scenarios or list(SCENARIOS)
    if options.seed is None:
        options.seed = random.SystemRandom().randrange(10_000)
    return options


if __name__ == "__main__":
    # On SIGTERM, as on Ctrl-C, the started programs end too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    progress.say("started")
    sys.exit(main())
