"""P6: reconnecting sockets per second, with token and membership checked and 20 missed messages read.

A socket counts when it is told that it is live again. The guide's server checks and resumes nothing; its
sockets count when they are accepted.
"""

from __future__ import annotations

from bench import progress
from bench.crowd import Opened, Place
from bench.relais import Relais
from bench.results import Outcome, Plot, Series, Table, at_least, number, spread
from bench.workbench import KINDS, Workbench

SOCKETS = 1_000
MISSED = 20
#: The frames of a resume: the missed messages, and the one that says they are complete.
FRAMES = MISSED + 1
#: Handshakes at a time: enough that the server never waits for the generator.
WINDOW = 64
MARKS = {"uvicorn": 400, "daphne": 150}
PERCENTS = (0, 10, 25, 50, 75, 90, 95, 99, 100)


def measure(bench: Workbench) -> Outcome:
    """Measure Relais on both servers and both databases, and the guide's server."""
    outcome = Outcome(f"Connects: authenticated, resuming {MISSED} missed messages (P6)")
    sockets = bench.effort.sized(SOCKETS, least=20)
    rows, curves = [], []
    for name in [f"{kind}, {database}" for database in ("sqlite", "postgresql") for kind in KINDS] + [
        "guide"
    ]:
        with bench.part() as part:
            rounds = _rounds(part, name, sockets)
        rates = [opened.per_second for opened in rounds]
        progress.say(f"connects: {name}: {spread(rates)}/s")
        delays = [spread([opened.connect.percentile(percent) for opened in rounds]) for percent in (50, 99)]
        busy = f"{max(opened.busy for opened in rounds):.0%}"
        rows.append([name, spread(rates), *delays, busy])
        curves.append(
            Series(name, list(zip(rounds[-1].connect.percentiles(PERCENTS), PERCENTS, strict=True)))
        )
        kind = name.partition(",")[0]
        if kind in MARKS:
            middle = sorted(rates)[len(rates) // 2]
            wanted = f"{name}: ≥ {number(MARKS[kind])}/s"
            outcome.marks.append(at_least("P6", wanted, middle, MARKS[kind], unit="/s"))
    header = ["server", "connects/s", "p50 ms", "p99 ms", "generator CPU"]
    outcome.tables.append(Table(f"{sockets:,} sockets, {WINDOW} handshakes at a time", header, rows))
    outcome.plots.append(
        Plot("connects", "Until a socket is live again", "milliseconds", "% live by then", curves, log_x=True)
    )
    return outcome


def places(server: Relais, sockets: int) -> list[Place]:
    """The members of a new conversation, all of whom missed its messages."""
    [conversation] = server.fixture(members=sockets, messages=MISSED)
    return conversation.places(query="since=0")


def _rounds(bench: Workbench, name: str, sockets: int) -> list[Opened]:
    if name == "guide":
        guide = bench.guide()
        server, wanted, frames = guide, guide.places(sockets, speakers=0), 0
    else:
        kind, _, database = name.partition(", ")
        server = ours = bench.relais(kind, database=database)  # type: ignore[arg-type, assignment]  # names of theirs; either server
        wanted, frames = places(ours, sockets), FRAMES
    rounds = []
    for _ in range(bench.effort.runs + 1):
        crowd = bench.crowd(server, wanted)
        rounds.append(crowd.connect(frames=frames, window=WINDOW, timeout=300))
        crowd.close()
    return rounds[1:]  # the first round warms caches and opens database connections
