"""The command `scripts/chaos [--short] [--over native] [row…]`: plays rows, and fails when a mark does."""

from __future__ import annotations

import argparse
import asyncio
import gc
import importlib
import random
import signal
import sys
import time
import traceback
from collections.abc import Iterable, Sequence
from pathlib import Path

from bench.machine import allow_many_files
from proof import report, scenarios
from proof.scenario import SCENARIOS, Run, Scenario

#: Seconds of one scenario, scaled down (the soak then takes 4 minutes) and in full (the soak takes an hour);
#: one that hangs has failed.
LONGEST_SECONDS = {True: 420, False: 5400}
#: Never run a full collection: a soak keeps millions of objects, and meanwhile the proxies would stand still,
#: so that the workers would miss Redis and PostgreSQL.
YOUNGER_COLLECTIONS = 2**30


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 0 when every mark was reached."""
    importlib.import_module(scenarios.__name__)
    options = parse(arguments)
    allow_many_files()
    gc.set_threshold(*gc.get_threshold()[:2], YOUNGER_COLLECTIONS)
    chosen = [SCENARIOS[row] for row in options.rows]
    seed = random.randrange(10**6) if options.seed is None else options.seed
    results: list[report.Result] = []
    for scenario in chosen:
        run = Run(
            scenario,
            seed,
            short=options.short,
            target=options.target,
            over=options.over,
            minutes=options.minutes,
        )
        results.append(play(run))
        report.tell(results[-1])
    if options.report:
        options.report.write_text(report.markdown(results))
    failed = [result for result in results if result.failures]
    for result in failed:
        print(f"FAILED {result.scenario.row}, seed {result.seed}: {result.command}")
    print(f"{len(results) - len(failed)} passed, {len(failed)} failed")
    return 1 if failed else 0


def play(run: Run) -> report.Result:
    """Play one scenario from its start to its verdict."""
    started = time.monotonic()
    longest = LONGEST_SECONDS[run.short] + 60 * (run.minutes or 0)
    print(f"── {run.scenario.row}: {run.does}", flush=True)
    broken = []
    try:
        asyncio.run(asyncio.wait_for(run.scenario.play(run), longest))
    except Exception as error:  # noqa: BLE001 - the others are played all the same, and this one has failed
        if isinstance(error, TimeoutError) and time.monotonic() - started >= longest:
            broken.append(f"not over after {longest:g} s")
        else:
            traceback.print_exc()
            broken.append(f"{type(error).__name__}: {error}".partition("\n")[0])
    return report.Result(run, time.monotonic() - started, [*broken, *run.failures()])


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(prog="scripts/chaos", description=__doc__)
    every = in_order(SCENARIOS)
    parser.add_argument("rows", nargs="*", metavar="row", help=", ".join(every))
    parser.add_argument("--short", action="store_true", help="the selection for every change, scaled down")
    parser.add_argument("--seed", type=int, help="play a run again: the same choices at the same places")
    parser.add_argument("--target", choices=("ours", "guide"), default="ours", help="the server under proof")
    parser.add_argument(
        "--over",
        choices=("guide", "native"),
        default="guide",
        help="native: on /ws/, beside the guide's sockets",
    )
    parser.add_argument("--minutes", type=float, help="how long the soak (R27) lasts; 60 in full")
    parser.add_argument("--report", type=Path, help="write a table of what was done and found, in Markdown")
    options = parser.parse_args(arguments)
    if unknown := set(options.rows) - set(SCENARIOS):
        parser.error(f"no such row: {', '.join(sorted(unknown))}; there are {', '.join(every)}")
    playable: list[Scenario] = [
        scenario for scenario in SCENARIOS.values() if options.target in scenario.targets
    ]
    if refused := set(options.rows) - {scenario.row for scenario in playable}:
        parser.error(f"the guide's server has nothing to show in {', '.join(sorted(refused))}")
    if options.over == "native" and options.target == "guide":
        parser.error("the guide's server has no native socket")
    playable = [scenario for scenario in playable if options.over in scenario.over]
    if refused := set(options.rows) - {scenario.row for scenario in playable}:
        parser.error(f"{', '.join(in_order(refused))} cannot be played over the native socket")
    options.rows = options.rows or in_order(
        scenario.row for scenario in playable if scenario.in_short or not options.short
    )
    return options


def in_order(rows: Iterable[str]) -> list[str]:
    """Sort rows: R2 before R10, and every R before F14."""
    return sorted(rows, key=lambda row: (row[0] != "R", int(row[1:])))


if __name__ == "__main__":
    # On SIGTERM, as on Ctrl-C, the started programs end too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main())
