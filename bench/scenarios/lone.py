"""A lone topic beside 1,000 sockets with 200 subscriptions each: do they delay it?

Measured in one process without a server (bench/inside.py). One socket listens alone to a topic, on which an
event is published a hundred times a second from a thread, as services publish; the delay lasts from that call
until the bytes are handed to the socket's connection. There are two comparisons: with silent others against
nobody else; and with others who receive a hundred events a second on their many topics, against as many
deliveries to others who have one topic only. So the work of the deliveries themselves, which is always there,
is no part of the ratio.
"""

from __future__ import annotations

from bench import progress
from bench.latencies import Latencies
from bench.results import Outcome, Table, at_most, number, ratio, spread
from bench.workbench import Workbench

SOCKETS, SUBSCRIPTIONS, TOPICS = 1000, 200, 1000
#: Events a second on the other sockets' topics; each reaches 200 sockets.
RATE = 100
#: The p99 divided by the p99 without so many subscriptions.
LIMIT = 2
STATES = {
    "alone": "nobody else",
    "quiet": "beside all subscriptions, silent",
    "few": "beside one subscription each, told something",
    "busy": "beside all subscriptions, told as much",
}
COMPARED = {"quiet": "alone", "busy": "few"}


def measure(bench: Workbench) -> Outcome:
    """Measure each run in a new process."""
    outcome = Outcome(f"A lone topic beside {SOCKETS:,} sockets with {SUBSCRIPTIONS} subscriptions each")
    sized = {
        "--sockets": bench.effort.sized(SOCKETS, least=10),
        "--subscriptions": bench.effort.sized(SUBSCRIPTIONS, least=2),
        "--topics": bench.effort.sized(TOPICS, least=10),
        "--rate": RATE,
        "--seconds": bench.effort.seconds * 2,
    }
    arguments = [part for name, value in sized.items() for part in (name, str(value))]
    runs = []
    for _ in range(bench.effort.runs):
        runs.append(bench.inside("lone", *arguments))
        delays = [f"{STATES[state]}: {Latencies(runs[-1][state]).percentile(99):.2f} ms" for state in STATES]
        progress.say(f"lone: p99 {', '.join(delays)}")
    found = {state: [Latencies(run[state]) for run in runs] for state in STATES}
    rows = []
    for state, title in STATES.items():
        p50, p99 = ([each.percentile(percent) for each in found[state]] for percent in (50, 99))
        row = [title, spread(p50), spread(p99), "", number(len(found[state][0]))]
        if (other := COMPARED.get(state)) is not None:
            times = ratio(p99, [each.percentile(99) for each in found[other]])
            row[3] = f"{times or 0:.2f}× {STATES[other]}"
            wanted = f"lone topic, {title}: p99 ≤ {LIMIT}× that with {STATES[other]}"
            outcome.marks.append(at_most("lone", wanted, times, LIMIT, unit="×"))
        rows.append(row)
    header = ["", "p50 ms", "p99 ms", "p99", "events a run"]
    outcome.tables.append(Table("Delay of an event on the lone topic", header, rows))
    written = spread([run["written"] for run in runs])
    outcome.notes.append(f"Told something: {RATE} events a second, which were {written} writes.")
    return outcome
