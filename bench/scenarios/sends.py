"""P2: durable sends to 200 conversations of 10 members, each answered by an ack after its commit.

Open loop: messages are sent at a fixed rate whether or not the server keeps up, and a delay counts from when
its message was due. The rate rises until the server no longer delivers all of it; then the delays are
measured at 70 % of the peak.
"""

from __future__ import annotations

from bench import progress
from bench.crowd import Crowd, Loaded
from bench.latencies import median
from bench.relais import Relais
from bench.results import Outcome, Plot, Series, Table, at_least, at_most, number, spread
from bench.workbench import KINDS, Database, Workbench

CONVERSATIONS, MEMBERS = 200, 10
FIRST_RATE, STEP = 500, 1.3
#: A delay beyond this means that something else is being measured.
MAX_RATE = 50_000
#: A rate counts as delivered while the difference is within what a window's edges explain.
KEEPS_UP = 0.95
SHARE_OF_PEAK = 0.7
#: A rate is too high after failing so often in a row: a single failure may be the machine's.
TRIES = 2
DATABASES: tuple[Database, ...] = ("sqlite", "postgresql")


def measure(bench: Workbench) -> Outcome:
    """Measure both servers on both databases."""
    outcome = Outcome("Durable sends: an ack after every commit (P2)")
    rows, curves = [], []
    for database in DATABASES:
        for kind in KINDS:
            name = f"{kind}, {database}"
            with bench.part() as part:
                crowd = opened(part, part.relais(kind, database=database))
                peak, curve = find_peak(part, crowd, name)
                rate = peak * SHARE_OF_PEAK
                loads = [_load(crowd, rate, part.effort.seconds) for _ in range(part.effort.runs)]
            curves.append(Series(name, curve))
            rows.append(_row(name, peak, rate, loads))
            _marks(outcome, name, loads)
    header = [
        "server",
        "peak sends/s",
        "measured at",
        "sends/s",
        "ack p50 ms",
        "ack p99 ms",
        "delivery p50 ms",
    ]
    header += ["delivery p99 ms", "errors", "lost", "doubled", "generator CPU"]
    outcome.tables.append(Table(f"{CONVERSATIONS} conversations × {MEMBERS} members", header, rows))
    outcome.plots.append(
        Plot("acks", "Delay of the ack", "sends offered per second", "p99, milliseconds", curves, log_y=True)
    )
    outcome.notes.append(
        "PostgreSQL runs with fsync and synchronous_commit on, SQLite with synchronous=FULL."
    )
    return outcome


def opened(bench: Workbench, server: Relais, *, speakers: int = MEMBERS) -> Crowd:
    """Open all sockets; so many members of each conversation speak."""
    conversations = server.fixture(members=MEMBERS, conversations=bench.effort.sized(CONVERSATIONS, least=2))
    places = [
        place
        for number_of_it, conversation in enumerate(conversations)
        for place in conversation.places(speakers=speakers, number=number_of_it)
    ]
    crowd = bench.crowd(server, places)
    crowd.connect(frames=1, timeout=600)
    return crowd


def find_peak(bench: Workbench, crowd: Crowd, name: str) -> tuple[float, list[tuple[float, float]]]:
    """The highest rate that was delivered, and the ack's p99 at each rate that was tried."""
    rate, peak, curve, failed = float(FIRST_RATE), 0.0, [], 0
    while rate < MAX_RATE and failed < TRIES:
        load = _load(crowd, rate, min(3.0, bench.effort.seconds))
        goodput = load.deliveries_per_second / MEMBERS
        progress.say(f"sends: {name}: offered {number(rate)}/s, stored {number(goodput)}/s")
        peak = max(peak, min(goodput, rate))  # messages left from the warm-up do not count for the window
        if goodput < KEEPS_UP * rate:
            failed += 1
            continue
        curve.append((rate, load.answer.percentile(99)))
        rate, failed = rate * STEP, 0
    return peak, curve


def _load(crowd: Crowd, rate: float, seconds: float) -> Loaded:
    return crowd.load(mode="open", style="acknowledged", rate=rate, seconds=seconds)


def _row(name: str, peak: float, rate: float, loads: list[Loaded]) -> list[str]:
    return [
        name,
        number(peak),
        f"{number(rate)}/s",
        spread([load.deliveries_per_second / MEMBERS for load in loads]),
        *[spread([load.answer.percentile(percent) for load in loads]) for percent in (50, 99)],
        *[spread([load.delivery.percentile(percent) for load in loads]) for percent in (50, 99)],
        number(sum(sum(load.errors.values()) + load.unsent for load in loads)),
        number(sum(load.lost for load in loads)),
        number(sum(load.doubled + load.faults for load in loads)),
        f"{max(load.busy for load in loads):.0%}",
    ]


def _marks(outcome: Outcome, name: str, loads: list[Loaded]) -> None:
    sends = median([load.deliveries_per_second / MEMBERS for load in loads])
    acks = median([load.answer.percentile(99) for load in loads])
    deliveries = median([load.delivery.percentile(99) for load in loads])
    outcome.marks += [
        at_least("P2", f"{name}: ≥ 1,500 sends/s at 70 % of the peak", sends, 1500, unit="/s"),
        at_most("P2", f"{name}: ack p99 ≤ 50 ms", acks, 50, unit=" ms"),
        at_most("P2", f"{name}: delivery p99 ≤ 100 ms", deliveries, 100, unit=" ms"),
    ]
