"""P1: one conversation of many members, in closed loop: each speaker waits for its own message.

All servers are started and connected first, and measured in turn, round by round, so that a ratio compares
measurements made one right after the other.
"""

from __future__ import annotations

from collections.abc import Sequence

from bench import progress, targets
from bench.crowd import Loaded
from bench.latencies import median
from bench.results import Outcome, Plot, Series, Table, at_least, at_most, number, ratio, spread
from bench.targets import Target
from bench.workbench import Workbench

#: (members, speakers); the first pair is P1.
SIZES = ((1000, 64), (200, 64))
PERCENTS = (0, 10, 25, 50, 75, 90, 95, 99, 99.9, 100)


class Rounds:
    """The results of one server at one size, by round."""

    def __init__(self) -> None:
        self.loads: list[Loaded] = []
        self.cpu: list[float] = []

    def rates(self) -> list[float]:
        return [load.deliveries_per_second for load in self.loads]

    def percentile(self, percent: float) -> list[float]:
        return [load.delivery.percentile(percent) for load in self.loads]

    @property
    def whole(self) -> bool:
        return all(load.is_whole for load in self.loads)


def measure(bench: Workbench) -> Outcome:
    """Measure all sizes on all servers."""
    everybody = [*targets.ours(bench), targets.guide(bench), *targets.nchan(bench)]
    outcome = Outcome("Fan-out: one conversation, every message to every member (P1)")
    found = {}
    for members, speakers in SIZES:
        size = (bench.effort.sized(members, least=10), min(speakers, bench.effort.sized(members, least=10)))
        found[members, speakers] = rounds = rounds_of(bench, everybody, *size)
        outcome.tables.append(table(size, rounds))
    _marks(outcome, found)
    outcome.plots += _plots(found)
    outcome.notes.append(
        "A message of ours has about 270 bytes on the wire and is stored before anybody is told; the guide's "
        "and nchan's have about 200, and nchan stores nothing."
    )
    return outcome


def rounds_of(
    bench: Workbench, everybody: Sequence[Target], members: int, speakers: int
) -> dict[str, Rounds]:
    """Measure all servers at one size."""
    effort = bench.effort
    progress.say(f"fan-out: {members} members, {speakers} speaking: connecting")
    crowds = {target.name: target.open(bench, members, speakers) for target in everybody}
    found = {target.name: Rounds() for target in everybody}
    for turn in range(effort.runs):
        for target in everybody:
            before = target.cpu_seconds()
            load = crowds[target.name].load(
                style=target.style,
                seq=target.seq,
                seconds=effort.seconds,
                warmup=effort.warmup,
            )
            rounds = found[target.name]
            rounds.loads.append(load)
            rounds.cpu.append((target.cpu_seconds() - before) * 1e6 / max(1, load.received_in_all))
            progress.say(f"  {turn + 1}/{effort.runs} {target.name}: {number(load.deliveries_per_second)}/s")
    for crowd in crowds.values():
        crowd.close()
    return found


def table(size: tuple[int, int], found: dict[str, Rounds]) -> Table:
    """The table of one size, with a row per server."""
    header = ["server", "deliveries/s", "p50 ms", "p95 ms", "p99 ms", "max ms", "server CPU µs/delivery"]
    header += ["generator CPU", "lost", "doubled", "out of order", "no echo in 5 s"]
    rows = []
    for name, rounds in found.items():
        row = [name, spread(rounds.rates())]
        row += [spread(rounds.percentile(percent)) for percent in (50, 95, 99, 100)]
        row += [spread(rounds.cpu), f"{max(load.busy for load in rounds.loads):.0%}"]
        for what in ("lost", "doubled", "faults", "unanswered"):
            row.append(number(sum(getattr(load, what) for load in rounds.loads)))
        rows.append(row)
    return Table(f"{size[0]} members, {size[1]} speaking", header, rows)


def against(found: dict[str, Rounds], one: str, other: str) -> float | None:
    """Deliveries per second of one server, divided by another's."""
    if one not in found or other not in found:
        return None
    return ratio(found[one].rates(), found[other].rates())


def _marks(outcome: Outcome, found: dict[tuple[int, int], dict[str, Rounds]]) -> None:
    many = found[SIZES[0]]
    outcome.marks += [
        at_least("P1", "uvicorn ≥ 8× nchan", against(many, "uvicorn", "nchan"), 8, unit="×"),
        at_least("P1", "uvicorn ≥ 1,000× the guide", against(many, "uvicorn", "guide"), 1000, unit="×"),
        at_least("P1", "Daphne ≥ 3× nchan", against(many, "daphne", "nchan"), 3, unit="×"),
    ]
    for kind in ("uvicorn", "daphne"):
        broken = sum(not rounds[kind].whole for rounds in found.values())
        outcome.marks.append(
            at_most("P1", f"{kind}: nothing lost or doubled", broken, 0, unit=" sizes with losses")
        )
    for size, rounds in found.items():
        for one in rounds:
            for other in ("guide", "nchan"):
                times = against(rounds, one, other)
                if one not in ("guide", "nchan") and times is not None:
                    outcome.ratios[f"{one}/{other} at {size[0]}×{size[1]}"] = times


def _plots(found: dict[tuple[int, int], dict[str, Rounds]]) -> list[Plot]:
    speaking = SIZES[0][1]
    sizes = sorted(members for members, speakers in found if speakers == speaking)
    names = list(found[SIZES[0]])
    throughput = [
        Series(name, [(size, median(found[size, speaking][name].rates())) for size in sizes])
        for name in names
    ]
    delay = []
    for name in names:
        load = found[SIZES[0]][name].loads[-1]
        times = load.delivery.percentiles(PERCENTS)
        delay.append(Series(name, list(zip(times, PERCENTS, strict=True))))
    return [
        Plot(
            "throughput",
            f"Deliveries per second, {speaking} speaking",
            "members",
            "per second",
            throughput,
            log_y=True,
        ),
        Plot(
            "latency",
            "Delay of delivery, 1,000 members, 64 speaking",
            "milliseconds",
            "% delivered by then",
            delay,
            log_x=True,
        ),
    ]
