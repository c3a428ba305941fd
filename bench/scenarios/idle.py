"""P5: the CPU of sockets that only answer pings; `memory` measures their memory."""

from __future__ import annotations

import time

from bench import progress
from bench.machine import cpu_seconds
from bench.results import Outcome, Table, at_most, spread
from bench.scenarios.memory import server_of
from bench.workbench import KINDS, Workbench
from realtime.defaults import Conf

IDLE_SOCKETS = 10_000
CPU_MARKS = {"uvicorn": 5, "daphne": 15}


def measure(bench: Workbench) -> Outcome:
    """Measure both servers over some ping periods."""
    outcome = Outcome("Idle sockets: CPU (P5)")
    sockets = bench.effort.sized(IDLE_SOCKETS, least=20)
    # Each window holds one ping per socket.
    window = Conf.limit_ping_seconds if bench.effort.scale == 1 else bench.effort.seconds
    rows = []
    for kind in KINDS:
        with bench.part() as part:
            server, places = server_of(part, kind, sockets)
            crowd = part.crowd(server, places)
            opened = crowd.connect(frames=1, timeout=1200)
            progress.say(f"idle: {kind}: {sockets} sockets open, {opened.per_second:.0f} a second")
            time.sleep(window)  # until the work of connecting is over
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
    return outcome
