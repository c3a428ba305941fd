"""The gate: fan-out to 200 members, Relais on both servers against the guide's, in less than two minutes."""

from __future__ import annotations

from bench import progress, targets
from bench.results import Outcome
from bench.scenarios.fanout import against, rounds_of
from bench.workbench import KINDS, Effort, Workbench

MEMBERS, SPEAKERS = 200, 64
#: Three rounds of three servers, five to ten seconds each: under a minute and a half with all starts.
EFFORT = Effort(runs=3, seconds=3.0, warmup=1.0)


def measure(bench: Workbench) -> Outcome:
    """Measure the ratios, and note every loss or error."""
    outcome = Outcome("Short")
    everybody = [*targets.ours(bench), targets.guide(bench)]
    found = rounds_of(bench, everybody, bench.effort.sized(MEMBERS), bench.effort.sized(SPEAKERS))
    for kind in KINDS:
        times = against(found, kind, "guide")
        if times is not None:
            outcome.ratios[f"{kind}/guide"] = times
        if not found[kind].whole:
            outcome.notes.append(f"{kind} lost, doubled or reordered messages")
    progress.say("measured")
    return outcome
