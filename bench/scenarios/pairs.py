"""This checkout against another revision, pair by pair, on each chosen server.

fanout    1,000 members, 64 speaking, each waiting for its own message
open      the same people at a fixed rate: half of what the other revision did in closed loop
sends     200 conversations of 10, one of each speaking, each waiting for its ack; on both databases
connects  1,000 sockets that come back, each with 20 missed messages
logged    the same with LOG_LEVEL=INFO: what a server does that was told nothing
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import progress, targets
from bench.crowd import Crowd, Loaded
from bench.latencies import median
from bench.machine import ROOT, cpu_seconds
from bench.pairs import Compared, compared, in_turn
from bench.relais import Relais
from bench.results import Mark, Outcome, Table, at_most, number
from bench.scenarios import connects, sends
from bench.workbench import Database, Workbench
from tests.processes import Process
from tests.servers import Kind

#: The parts, in the order of play.
PARTS = ("fanout", "open", "sends", "connects", "logged")
MEMBERS, SPEAKERS = 1000, 64
#: The fixed rate, as a share of the other revision's rate in closed loop.
SHARE_OF_PEAK = 0.5
#: Plays that find this rate where closed loop is not measured.
PEAK_PLAYS = 3
#: A figure is worse beyond this factor: two measurements of one thing differ by less.
WORSE = 1.05
WARMUP_SECONDS = 1.0
#: A server is quiet when it used less than this share of a core for so many seconds; the wait for that is
#: limited to the third number.
QUIET_SHARE, QUIET_SECONDS, QUIET_PATIENCE = 0.05, 0.2, 10.0
#: A figure that is not compared: both revisions together must have none.
BROKEN = "lost, doubled, out of order or refused"

#: The figures of one play, by name.
Figures = dict[str, float]
Play = Callable[[], Figures]


@dataclass(frozen=True)
class Wanted:
    """A wanted figure, as a multiple of the other revision's."""

    part: str
    figure: str
    sign: str
    limit: float
    server: str = ""

    def is_about(self, part: str, server: str, figure: str) -> bool:
        return (self.part, self.figure) == (part, figure) and server.startswith(self.server)

    def mark(self, server: str, found: Compared) -> Mark:
        """The mark of a comparison, judged by the median; the interval stands beside it."""
        is_reached = found.ratio <= self.limit if self.sign == "≤" else found.ratio >= self.limit
        wanted = f"{self.part}, {server}: {self.figure} {self.sign} {number(self.limit)}× before"
        return Mark("pairs", wanted, f"{found.ratio:.2f}× ({_between(found)})", is_reached)


WANTED = (
    Wanted("fanout", "deliveries/s", "≥", 1 / WORSE),
    Wanted("fanout", "echo p50 ms", "≤", WORSE),
    Wanted("open", "delivery p50 ms", "≤", 0.7),
    Wanted("open", "delivery p99 ms", "≤", WORSE),
    Wanted("sends", "sends/s", "≥", 1 / WORSE),
    Wanted("connects", "connects/s", "≥", 1 / WORSE),
    Wanted("logged", "connects/s", "≥", 1.5, server="uvicorn"),
    Wanted("logged", "connects/s", "≥", 1 / WORSE, server="daphne"),
)


def measure(bench: Workbench) -> Outcome:
    """Measure all parts, or the chosen ones."""
    comparison = Comparison()
    what = bench.effort.what or PARTS
    for kind in bench.effort.servers:
        if {"fanout", "open"} & set(what):
            with bench.part() as part:
                _fan_out(comparison, part, kind, what)
        for database in sends.DATABASES if "sends" in what else ():
            with bench.part() as part:
                _sends(comparison, part, kind, database)
        for name, level in (("connects", "WARNING"), ("logged", "INFO")):
            if name in what:
                with bench.part() as part:
                    _connects(comparison, part, kind, name, level)
    return comparison.outcome(bench)


class Comparison:
    """The results of all pairs so far."""

    def __init__(self) -> None:
        self.rows: list[list[str]] = []
        self.marks: list[Mark] = []
        self.notes: list[str] = []
        self.confidence = 0.0

    def play(
        self, bench: Workbench, part: str, server: str, base: Play, head: Play
    ) -> list[tuple[Figures, Figures]]:
        """Play both revisions in turn, and note the comparison."""
        for play in (base, head):
            play()  # warms caches and opens database connections
        pairs = in_turn(base, head, pairs=bench.effort.pairs)
        broken = sum(figures.pop(BROKEN, 0) for pair in pairs for figures in pair)
        for figure in pairs[0][0]:
            found = compared([(before[figure], now[figure]) for before, now in pairs])
            if found is None:
                self.rows.append([part, server, figure, "–", "–", "–", "–"])
                continue
            progress.say(f"pairs: {part}, {server}: {figure}: {found.ratio:.3f} ({_between(found)})")
            row = [part, server, figure, number(found.base), number(found.head)]
            self.rows.append([*row, f"{found.ratio:.3f}", _between(found)])
            self.confidence = found.interval.confidence
            self.marks += [
                wanted.mark(server, found) for wanted in WANTED if wanted.is_about(part, server, figure)
            ]
        self.marks.append(at_most("pairs", f"{part}, {server}: nothing {BROKEN}", broken, 0))
        return pairs

    def outcome(self, bench: Workbench) -> Outcome:
        header = ["", "server", "figure", "before", "now", "now / before", f"{self.confidence:.0%} interval"]
        title = f"Medians of {bench.effort.pairs} pairs"
        tables = [Table(title, header, self.rows)]
        return Outcome("Two revisions in alternating pairs", tables, self.marks, notes=self.notes)


def _between(found: Compared) -> str:
    return f"{found.interval.low:.3f}–{found.interval.high:.3f}"


# ── fan-out ──────────────────────────────────────────────────────────────────────────────────────────────


def _fan_out(comparison: Comparison, bench: Workbench, kind: Kind, what: Sequence[str]) -> None:
    members = bench.effort.sized(MEMBERS, least=10)
    progress.say(f"pairs: {kind}: two crowds of {members} are connecting")
    sides = [targets.relais(bench, kind, tree=tree) for tree in _trees(bench)]
    crowds = [side.open(bench, members, min(SPEAKERS, members)) for side in sides]

    def plays(rate: float = 0) -> list[Play]:
        return [
            lambda side=side, crowd=crowd: _load(bench, side.process, crowd, rate)  # type: ignore[misc]  # bound early
            for side, crowd in zip(sides, crowds, strict=True)
        ]

    if "fanout" in what:
        found = comparison.play(bench, "fanout", kind, *plays())
        rates = [before["sends/s"] for before, _ in found]
    else:
        rates = [plays()[0]()["sends/s"] for _ in range(PEAK_PLAYS)]
    if "open" in what:
        rate = median(rates) * SHARE_OF_PEAK
        comparison.notes.append(f"open, {kind}: {number(rate)} messages a second of all speakers together.")
        comparison.play(bench, "open", kind, *plays(rate))


def _load(bench: Workbench, process: Process, crowd: Crowd, rate: float) -> Figures:
    """Load the server; with a rate, a delay counts from when the message was due, whoever was late."""
    before = cpu_seconds(process.pid)
    load = crowd.load(
        mode="open" if rate else "closed",
        rate=rate,
        seq="seq",
        seconds=bench.effort.seconds,
        warmup=WARMUP_SECONDS,
    )
    found = {
        "deliveries/s": load.deliveries_per_second,
        "sends/s": load.sends_per_second,
        "delivery p50 ms": load.delivery.percentile(50),
        "delivery p99 ms": load.delivery.percentile(99),
        "server CPU µs/delivery": _microseconds(process, before) / max(1, load.received_in_all),
        BROKEN: _broken(load),
    }
    if not rate:
        found["echo p50 ms"] = load.answer.percentile(50)
        found["echo p99 ms"] = load.answer.percentile(99)
    return found


# ── sends ────────────────────────────────────────────────────────────────────────────────────────────────


def _sends(comparison: Comparison, bench: Workbench, kind: Kind, database: Database) -> None:
    servers = [bench.relais(kind, database=database, tree=tree) for tree in _trees(bench)]
    crowds = [sends.opened(bench, server, speakers=1) for server in servers]

    def play(server: Relais, crowd: Crowd) -> Figures:
        before = cpu_seconds(server.pid)
        load = crowd.load(style="acknowledged", seconds=bench.effort.seconds, warmup=WARMUP_SECONDS)
        return {
            "sends/s": load.sends_per_second,
            "ack p50 ms": load.answer.percentile(50),
            "ack p99 ms": load.answer.percentile(99),
            "server CPU µs/send": _microseconds(server, before) / max(1, load.sent_in_all),
            BROKEN: _broken(load),
        }

    base, head = zip(servers, crowds, strict=True)
    comparison.play(bench, "sends", f"{kind}, {database}", lambda: play(*base), lambda: play(*head))


# ── connects ─────────────────────────────────────────────────────────────────────────────────────────────


def _connects(comparison: Comparison, bench: Workbench, kind: Kind, part: str, level: str) -> None:
    servers = [bench.relais(kind, tree=tree, env={"LOG_LEVEL": level}) for tree in _trees(bench)]
    sockets = bench.effort.sized(connects.SOCKETS, least=20)
    places = [connects.places(server, sockets) for server in servers]

    def play(index: int) -> Figures:
        server = servers[index]
        crowd = bench.crowd(server, places[index])
        before = cpu_seconds(server.pid)
        opened = crowd.connect(frames=connects.FRAMES, window=connects.WINDOW, timeout=300)
        used = _microseconds(server, before)
        crowd.close()
        _wait_until_quiet(server)  # the end of these sockets must not fall into the other revision's time
        return {
            "connects/s": opened.per_second,
            "live p50 ms": opened.connect.percentile(50),
            "live p99 ms": opened.connect.percentile(99),
            "server CPU µs/connect": used / max(1, opened.ready),
        }

    comparison.play(bench, part, kind, lambda: play(0), lambda: play(1))


def _wait_until_quiet(process: Process) -> None:
    deadline = time.monotonic() + QUIET_PATIENCE
    while time.monotonic() < deadline:
        before = cpu_seconds(process.pid)
        time.sleep(QUIET_SECONDS)
        if cpu_seconds(process.pid) - before < QUIET_SHARE * QUIET_SECONDS:
            return


# ── what all of them need ────────────────────────────────────────────────────────────────────────────────


def _trees(bench: Workbench) -> tuple[Path, Path]:
    """The other checkout, and this one."""
    assert bench.base is not None, "the command line asks for it"
    return bench.base, ROOT


def _microseconds(process: Process, before: float) -> float:
    """CPU microseconds of a process since `before`."""
    return (cpu_seconds(process.pid) - before) * 1e6


def _broken(load: Loaded) -> int:
    wrong = load.lost + load.doubled + load.faults + load.unsent + load.unanswered
    return wrong + sum(load.errors.values()) + sum(load.ended.values())
