"""P4: the memory of idle sockets, and of subscriptions and topics in the core.

Of a socket, only the memory of the server's process alone counts (USS): neither shared libraries nor the
kernel's buffers. The first sockets do not count, since they pay for what a process makes once. Subscriptions
and topics are measured in a process without a server (bench/inside.py), once as USS and once as what Python
allocates, which is the same in each run.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from bench import progress
from bench.crowd import Place
from bench.latencies import median
from bench.machine import memory
from bench.results import Outcome, Plot, Series, Table, at_most, spread
from bench.workbench import KINDS, Workbench
from tests.processes import Process

WARM, STEPS, STEP_SOCKETS = 200, 4, 500
SETTLE_SECONDS = 2.0
MARKS = {"uvicorn": 20, "daphne": 26}
#: The subscribing sockets, and the topics of each: first shared ones, then topics of its own.
SUBSCRIBERS, TOPICS = 1000, 20
#: Bytes of a subscription without its topic, and of a topic.
SUBSCRIPTION_MARKS = {"subscription": 1000, "topic": 1500}


def measure(bench: Workbench) -> Outcome:
    """Measure sockets, then subscriptions."""
    outcome = Outcome("Memory of idle sockets, subscriptions and topics (P4)")
    _measure_sockets(bench, outcome)
    _measure_subscriptions(bench, outcome)
    return outcome


def _measure_subscriptions(bench: Workbench, outcome: Outcome) -> None:
    sockets = str(bench.effort.sized(SUBSCRIBERS, least=50))
    rows = []
    for how, options in (("USS", ()), ("allocated", ("--traced",))):
        runs = [
            bench.inside("memory", "--sockets", sockets, "--topics", str(TOPICS), *options)
            for _ in range(bench.effort.runs)
        ]
        rows.append([how, *[spread([run[what] for run in runs]) for what in SUBSCRIPTION_MARKS]])
        progress.say(f"memory: {', '.join(rows[-1])} bytes")
        for what, limit in SUBSCRIPTION_MARKS.items():
            found = median([run[what] for run in runs])
            outcome.marks.append(
                at_most("P4", f"{what}, {how}: ≤ {limit:,} bytes", found, limit, unit=" bytes")
            )
    title = (
        f"Bytes; {sockets} sockets with {TOPICS} subscriptions to shared topics, and {TOPICS} to their own"
    )
    outcome.tables.append(Table(title, ["", "a subscription beyond its topic", "a topic"], rows))


def _measure_sockets(bench: Workbench, outcome: Outcome) -> None:
    rows, curves = [], []
    for name in (*KINDS, "guide"):
        unique: list[float] = []
        resident: list[float] = []
        points: list[tuple[float, float]] = []
        # A process gives little memory back, so each run has a new one.
        for _ in range(bench.effort.runs):
            with bench.part() as part:
                server, places = server_of(part, name, most_sockets(part))
                points, residents = grow(part, server, places, frames=1 if name in KINDS else 0)
            unique.append(kilobytes_each(points))
            resident.append((residents[-1] - residents[0]) / 1024 / (points[-1][0] - points[0][0]))
            progress.say(f"memory: {name}: {unique[-1]:.1f} KB a socket")
        rows.append([name, spread(unique), spread(resident)])
        curves.append(Series(name, points))
        if name in MARKS:
            limit = MARKS[name]
            middle = sorted(unique)[len(unique) // 2]
            outcome.marks.append(at_most("P4", f"{name}: ≤ {limit} KB a socket", middle, limit, unit=" KB"))
    outcome.tables.append(Table("Memory per idle socket", ["server", "USS KB", "RSS KB"], rows))
    outcome.plots.append(Plot("memory", "Memory of the server", "idle sockets", "USS, MB", curves))
    outcome.notes.append("The guide's sockets are not authenticated: it reads no tokens.")


def most_sockets(bench: Workbench) -> int:
    """The number of sockets at the end."""
    return bench.effort.sized(WARM, least=10) + STEPS * bench.effort.sized(STEP_SOCKETS, least=10)


def kilobytes_each(points: Sequence[tuple[float, float]]) -> float:
    """Kilobytes per socket, from the first to the last point of `grow`."""
    (few, before), (many, then) = points[0], points[-1]
    return (then - before) * 1024 / (many - few)


def grow(
    bench: Workbench, server: Process, places: Sequence[Place], *, frames: int
) -> tuple[list[tuple[float, float]], list[int]]:
    """(sockets, MB) after each step, and the resident bytes. A socket is subscribed after `frames` frames."""
    warm = bench.effort.sized(WARM, least=10)
    step = bench.effort.sized(STEP_SOCKETS, least=10)
    points, residents = [], []
    for opened in range(STEPS + 1):
        end = warm + opened * step
        crowd = bench.crowd(server, places[end - step if opened else 0 : end])
        crowd.connect(frames=frames, timeout=600)
        time.sleep(SETTLE_SECONDS)
        held = memory(server.pid)
        points.append((float(end), held.unique / 2**20))
        residents.append(held.resident)
    return points, residents


def server_of(bench: Workbench, name: str, sockets: int) -> tuple[Process, list[Place]]:
    """A server of this name, and places for so many idle sockets."""
    for kind in KINDS:
        if kind == name:
            server = bench.relais(kind)
            [conversation] = server.fixture(members=sockets)
            return server, conversation.places()
    guide = bench.guide()
    return guide, guide.places(sockets, speakers=0)
