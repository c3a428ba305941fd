"""P4 and P5: what sockets cost that do nothing: user-space memory for each, and CPU for their pings.

Memory is what only the server's process holds (USS), so neither shared libraries nor the kernel's buffers
count. The first sockets are not counted either: they pay for what a process makes once.
"""

from __future__ import annotations

import time

from bench import progress
from bench.crowd import Place
from bench.machine import cpu_seconds, memory
from bench.results import Outcome, Plot, Series, Table, at_most, spread
from bench.workbench import KINDS, Workbench
from realtime.conf import Conf
from tests.processes import Process

WARM, STEPS, STEP_SOCKETS = 200, 4, 500
SETTLE_SECONDS = 2.0
MEMORY_MARKS = {"uvicorn": 20, "daphne": 26}
IDLE_SOCKETS = 10_000
CPU_MARKS = {"uvicorn": 5, "daphne": 15}


def measure(bench: Workbench) -> Outcome:
    """Memory, then CPU."""
    outcome = Outcome("Idle sockets: memory and CPU (P4, P5)")
    _measure_memory(bench, outcome)
    _measure_cpu(bench, outcome)
    return outcome


def _measure_memory(bench: Workbench, outcome: Outcome) -> None:
    rows, curves = [], []
    for name in (*KINDS, "guide"):
        unique: list[float] = []
        resident: list[float] = []
        points: list[tuple[float, float]] = []
        # A process gives little back, so each run has a new one.
        for _ in range(bench.effort.runs):
            with bench.part() as part:
                points, residents = _grow(part, name)
            sockets = points[-1][0] - points[0][0]
            unique.append((points[-1][1] - points[0][1]) * 1024 / sockets)
            resident.append((residents[-1] - residents[0]) / 1024 / sockets)
            progress.say(f"idle: {name}: {unique[-1]:.1f} KB a socket")
        rows.append([name, spread(unique), spread(resident)])
        curves.append(Series(name, points))
        if name in MEMORY_MARKS:
            limit = MEMORY_MARKS[name]
            middle = sorted(unique)[len(unique) // 2]
            outcome.marks.append(at_most("P4", f"{name}: ≤ {limit} KB a socket", middle, limit, unit=" KB"))
    outcome.tables.append(Table("Memory per idle socket", ["server", "USS KB", "RSS KB"], rows))
    outcome.plots.append(Plot("memory", "Memory of the server", "idle sockets", "USS, MB", curves))
    outcome.notes.append("The guide's sockets are not authenticated: it reads no tokens.")


def _grow(bench: Workbench, name: str) -> tuple[list[tuple[float, float]], list[int]]:
    """(sockets, MB) after each step, and the resident bytes."""
    warm = bench.effort.sized(WARM, least=10)
    step = bench.effort.sized(STEP_SOCKETS, least=10)
    total = warm + STEPS * step
    server, places = _server(bench, name, total)
    points, residents = [], []
    for opened in range(STEPS + 1):
        end = warm + opened * step
        crowd = bench.crowd(server, places[end - step if opened else 0 : end])
        crowd.connect(frames=1 if name in KINDS else 0, timeout=600)
        time.sleep(SETTLE_SECONDS)
        held = memory(server.pid)
        points.append((float(end), held.unique / 2**20))
        residents.append(held.resident)
    return points, residents


def _server(bench: Workbench, name: str, sockets: int) -> tuple[Process, list[Place]]:
    for kind in KINDS:
        if kind == name:
            server = bench.relais(kind)
            [conversation] = server.fixture(members=sockets)
            return server, conversation.places()
    guide = bench.guide()
    return guide, guide.places(sockets, speakers=0)


def _measure_cpu(bench: Workbench, outcome: Outcome) -> None:
    sockets = bench.effort.sized(IDLE_SOCKETS, least=20)
    # Each window holds one ping of every socket.
    window = Conf.limit_ping_seconds if bench.effort.scale == 1 else bench.effort.seconds
    rows = []
    for kind in KINDS:
        with bench.part() as part:
            server, places = _server(part, kind, sockets)
            crowd = part.crowd(server, places)
            opened = crowd.connect(frames=1, timeout=1200)
            progress.say(f"idle: {kind}: {sockets} sockets open, {opened.per_second:.0f} a second")
            time.sleep(window)  # what connecting left behind is over
            shares: list[float] = []
            for _ in range(bench.effort.runs):
                before, began = cpu_seconds(server.pid), time.monotonic()
                time.sleep(window)
                shares.append((cpu_seconds(server.pid) - before) / (time.monotonic() - began) * 100)
            ended = crowd.load(mode="open", seconds=0.1, warmup=0.1, drain=0).ended
        rows.append([kind, f"{sockets:,}", spread(shares), str(sum(ended.values()))])
        middle, limit = sorted(shares)[len(shares) // 2], CPU_MARKS[kind]
        outcome.marks.append(at_most("P5", f"{kind}: ≤ {limit} % of a core", middle, limit, unit=" %"))
    header = ["server", "sockets", "CPU, % of one core", "sockets lost"]
    outcome.tables.append(Table(f"CPU of idle sockets, windows of {window:g} s", header, rows))
