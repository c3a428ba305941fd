"""P9: how cost grows. Eight speakers in closed loop make batches alike; CPU is compared, not time.

A message has a cost of its own, to store it, and a cost per member. The latter is the slope between two
sizes, and should be the same everywhere.
"""

from __future__ import annotations

from itertools import pairwise

from bench import progress
from bench.crowd import Crowd, CrowdError, Loaded
from bench.latencies import median
from bench.machine import cpu_seconds
from bench.relais import Relais
from bench.results import Outcome, Plot, Series, Table, at_most, number, spread
from bench.workbench import KINDS, Workbench
from tests.processes import Process, ServerError
from tests.servers import Kind

SPEAKERS = 8
MEMBERS = (10, 100, 1_000, 10_000)
OTHERS = (0, 500, 2_000)
#: Sizes for one worker and for two: as many members as both can serve.
SHARED_MEMBERS = 1_000
#: Costs that differ by less are the same: two measurements of one thing differ as much.
FLAT = 1.25
TWO_WORKERS = 1.15


def measure(bench: Workbench) -> Outcome:
    """Measure growth with members, other conversations, and workers."""
    outcome = Outcome("Growth: what a message costs, and what that depends on (P9)")
    _by_members(bench, outcome)
    _by_other_conversations(bench, outcome)
    _by_workers(bench, outcome)
    return outcome


class Cost:
    """CPU microseconds of the server per message and per delivery, by round."""

    def __init__(self, bench: Workbench, process: Process, crowd: Crowd) -> None:
        self.per_message: list[float] = []
        self.per_delivery: list[float] = []
        self.loads: list[Loaded] = []
        for _ in range(bench.effort.runs):
            before = cpu_seconds(process.pid)
            load = crowd.load(seconds=bench.effort.seconds, warmup=0.5, seq="seq")
            used = (cpu_seconds(process.pid) - before) * 1e6
            self.per_message.append(used / max(1, load.sent_in_all))
            self.per_delivery.append(used / max(1, load.received_in_all))
            self.loads.append(load)

    @property
    def whole(self) -> str:
        return "yes" if all(load.is_whole for load in self.loads) else "no"


def _by_members(bench: Workbench, outcome: Outcome) -> None:
    rows, curves = [], []
    sizes = sorted({bench.effort.sized(members, least=SPEAKERS + 2) for members in MEMBERS})
    for kind in KINDS:
        costs = {}
        with bench.part() as part:
            server = part.relais(kind)
            for members in sizes:
                [conversation] = server.fixture(members=members)
                crowd = part.crowd(server, conversation.places(speakers=SPEAKERS))
                crowd.connect(frames=1, timeout=600)
                costs[members] = cost = Cost(part, server, crowd)
                crowd.close()
                progress.say(f"growth: {kind}: {members} members: {spread(cost.per_delivery)} µs a delivery")
                rows.append(
                    [kind, f"{members:,}", spread(cost.per_message), spread(cost.per_delivery), cost.whole]
                )
        slopes = []
        for fewer, more in pairwise(sizes):
            difference = median(costs[more].per_message) - median(costs[fewer].per_message)
            slopes.append((more, difference / (more - fewer)))
            rows.append([kind, f"{fewer:,} → {more:,}", "", f"{number(slopes[-1][1])} for each more", ""])
        curves.append(Series(f"{kind}, all of it", [(n, median(costs[n].per_delivery)) for n in sizes]))
        curves.append(Series(f"{kind}, each more", slopes))
        # The first slope is small beside the cost of storing, and so mostly noise.
        known = [slope for _, slope in slopes[1:] if slope > 0] or [1.0]
        outcome.marks.append(
            at_most(
                "P9", f"{kind}: cost for each more member flat", max(known) / min(known), FLAT, unit="× apart"
            )
        )
    header = ["server", "members", "CPU µs/message", "CPU µs/delivery", "nothing lost or doubled"]
    outcome.tables.append(Table(f"By members, {SPEAKERS} speaking", header, rows))
    outcome.plots.append(
        Plot("growth", "CPU of one delivery", "members", "microseconds", curves, log_x=True, log_y=True)
    )


def _by_other_conversations(bench: Workbench, outcome: Outcome) -> None:
    rows = []
    for kind in KINDS:
        found = []
        with bench.part() as part:
            server = part.relais(kind)
            [conversation] = server.fixture(members=SPEAKERS + 2)
            crowd = part.crowd(server, conversation.places(speakers=SPEAKERS))
            crowd.connect(frames=1)
            there = 0
            for others in sorted({bench.effort.sized(others, least=0) for others in OTHERS}):
                _add_listeners(part, server, others - there)
                there = others
                cost = Cost(part, server, crowd)
                found.append(median(cost.per_message))
                rows.append([kind, f"{others:,}", spread(cost.per_message), cost.whole])
        outcome.marks.append(
            at_most("P9", f"{kind}: cost per message flat", max(found) / min(found), FLAT, unit="× apart")
        )
    header = [
        "server",
        "other conversations, one open socket each",
        "CPU µs/message",
        "nothing lost or doubled",
    ]
    outcome.tables.append(Table("By other conversations", header, rows))


def _add_listeners(bench: Workbench, server: Relais, count: int) -> None:
    """Open so many more conversations, each with one socket."""
    if count > 0:
        places = [place for each in server.fixture(members=1, conversations=count) for place in each.places()]
        bench.crowd(server, places).connect(frames=1, timeout=600)


def _by_workers(bench: Workbench, outcome: Outcome) -> None:
    rows = []
    for kind in KINDS:
        costs = {}
        try:
            for workers in (1, 2):
                costs[workers] = cost = _with_workers(bench, kind, workers)
                rows.append([kind, str(workers), spread(cost.per_delivery), cost.whole])
        except (ServerError, CrowdError) as reason:
            last = str(reason).strip().splitlines()[-1]
            outcome.notes.append(f"{kind} with two workers could not be measured: {last}")
            continue
        times = median(costs[2].per_delivery) / median(costs[1].per_delivery)
        wanted = f"{kind}: CPU per delivery with two workers ≤ {TWO_WORKERS}× that with one"
        outcome.marks.append(at_most("P9", wanted, times, TWO_WORKERS, unit="×"))
    header = ["server", "workers", "CPU µs/delivery", "nothing lost or doubled"]
    outcome.tables.append(Table("By workers, not pinned", header, rows))


def _with_workers(bench: Workbench, kind: Kind, workers: int) -> Cost:
    with bench.part() as part:
        server = part.relais(kind, workers=workers)
        [conversation] = server.fixture(members=bench.effort.sized(SHARED_MEMBERS, least=20))
        crowd = part.crowd(server, conversation.places(speakers=SPEAKERS))
        crowd.connect(frames=1, timeout=600)
        return Cost(part, server, crowd)
