"""P3: one of 200 members speaks and waits for the own message; Relais beside nchan, and the parts of the
delay.

The server is nearly idle, so this is the delay of a quiet evening. In each round all members connect anew and
another one speaks, on every server from the same place in the order of writing.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from bench import progress, targets
from bench.crowd import Loaded
from bench.results import Outcome, Table, at_most, number, ratio, spread
from bench.splitting import ACK, TOLD, Split, mean_since, scrape, split
from bench.targets import Target
from bench.workbench import KINDS, Workbench

MEMBERS = 200
WARMUP_SECONDS = 0.5
PARTS = ("behind", "store", "wait", "writing")
#: The p50 divided by nchan's: the mark, and the goal.
MARKS = (("uvicorn", 2.5), ("uvicorn", 2), ("daphne", 10))
#: The parts of the delay, and where each is measured.
NOTES = (
    "behind: the message before was still being told, seen by the generator.",
    "store: the delay of the last member, less behind, less the mean of `relais_delivery_seconds`.",
    "wait: that mean, less the time from the first member to the last, seen by the generator.",
    "writing: the rest, from the first member to the mean one. Kernel and generator are in the store.",
    "ack: `relais_chat_ack_seconds`, another view of the store; where nothing waits, the writing is in it.",
    "CPU: all of the server's threads.",
)


@dataclass
class Found:
    """The results of one server, by round."""

    loads: list[Loaded] = field(default_factory=list)
    #: CPU milliseconds of the server per message.
    cpu: list[float] = field(default_factory=list)
    #: The parts of the delay; of Relais only.
    parts: list[Split] = field(default_factory=list)
    acks: list[float] = field(default_factory=list)

    def percentile(self, percent: float) -> list[float]:
        return [load.delivery.percentile(percent) for load in self.loads]


def measure(bench: Workbench) -> Outcome:
    """Measure Relais on both servers, the other revision if there is one, and nchan."""
    everybody = targets.ours(bench)
    if bench.base is not None:
        everybody += [targets.relais(bench, kind, tree=bench.base) for kind in KINDS]
    everybody += targets.nchan(bench)
    found = {target.name: Found() for target in everybody}
    for turn in range(bench.effort.runs):
        for target in everybody:
            _play(bench, target, found[target.name], turn)
            progress.say(
                f"speaker: {turn + 1}: {target.name}: {found[target.name].percentile(50)[-1]:.2f} ms"
            )
    outcome = Outcome(f"One speaker, {MEMBERS} members: delay, and where it goes (P3)")
    outcome.tables += [_delays(found), _parts(found)]
    _marks(outcome, found)
    outcome.notes += NOTES
    return outcome


def _play(bench: Workbench, target: Target, found: Found, turn: int) -> None:
    crowd = target.open(bench, bench.effort.sized(MEMBERS, least=10), 1, turn=turn)
    port, is_ours = target.process.port, bool(target.seq)
    before, used = scrape(port) if is_ours else {}, target.cpu_seconds()
    load = crowd.load(
        style=target.style,
        seq=target.seq,
        seconds=bench.effort.seconds,
        warmup=WARMUP_SECONDS,
        reach=True,
    )
    used = target.cpu_seconds() - used
    found.loads.append(load)
    found.cpu.append(used * 1e3 / max(1, load.sent_in_all))
    if is_ours:
        after = scrape(port)
        told = mean_since(before, after, TOLD)
        found.parts.append(
            split(
                mean=load.delivery.mean(),
                first=load.first.mean(),
                last=load.last.mean(),
                behind=load.behind.mean(),
                told=told,
            )
        )
        found.acks.append(mean_since(before, after, ACK))
    crowd.close()


def _delays(found: dict[str, Found]) -> Table:
    header = [
        "server",
        "p50 ms",
        "p99 ms",
        "p50 as a multiple of nchan's",
        "p99",
        "messages/s",
        "generator CPU",
    ]
    rows = []
    for name, rounds in found.items():
        times = [_times(found, name, percent) for percent in (50, 99)]
        rows.append(
            [
                name,
                *[spread(rounds.percentile(percent)) for percent in (50, 99)],
                *["–" if value is None else f"{value:.2f}×" for value in times],
                spread([load.sends_per_second for load in rounds.loads]),
                f"{max(load.busy for load in rounds.loads):.0%}",
            ]
        )
    return Table("Delay of a delivery", header, rows)


def _parts(found: dict[str, Found]) -> Table:
    header = ["server", "mean", *PARTS, "first member", "last member", "ack", "CPU/message"]
    rows = []
    for name, rounds in found.items():
        parts = [[getattr(part, each) for part in rounds.parts] for each in PARTS]
        whole = [[load.delivery.mean(), load.first.mean(), load.last.mean()] for load in rounds.loads]
        mean, first, last = zip(*whole, strict=True)
        rows.append(
            [
                name,
                *map(spread, (mean, *parts, first, last, rounds.acks, rounds.cpu)),
            ]  # "–" for a value that nchan does not have
        )
    return Table("Where the mean delay goes, milliseconds", header, rows)


def _marks(outcome: Outcome, found: dict[str, Found]) -> None:
    for kind, limit in MARKS:
        times = _times(found, kind, 50)
        outcome.marks.append(at_most("P3", f"{kind}: p50 ≤ {number(limit)}× nchan's", times, limit, unit="×"))
    broken = sum(not load.is_whole for name in KINDS for load in found[name].loads)
    outcome.marks.append(at_most("P3", "nothing lost or doubled", broken, 0, unit=" rounds with losses"))


def _times(found: dict[str, Found], name: str, percent: float) -> float | None:
    if "nchan" not in found:
        return None
    return ratio(found[name].percentile(percent), found["nchan"].percentile(percent))
