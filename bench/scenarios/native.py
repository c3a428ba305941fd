"""The native socket beside the guide's sockets, in one run on the same server.

Fan-out: one conversation of many members, on `/ws/chat/` and on `/ws/` in turn. Connects: a chat socket
against a native one that sends twenty `subscribe` frames at once. Memory: idle native sockets without
subscriptions, and with twenty.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench import progress, targets
from bench.crowd import Opened, Place
from bench.latencies import median
from bench.machine import cpu_seconds
from bench.relais import Relais, native_places
from bench.results import Outcome, Table, at_least, at_most, ratio, spread
from bench.scenarios.fanout import against, rounds_of, table
from bench.scenarios.memory import grow, kilobytes_each, most_sockets
from bench.workbench import KINDS, Workbench
from tests.servers import Kind

MEMBERS, SPEAKERS = 1000, 64
#: Deliveries a second on the native socket, divided by those on the chat socket.
LEAST_SHARE = 0.9
#: Subscriptions of an opening native socket: a page that shows so many conversations.
SUBSCRIPTIONS = 20
#: CPU of such a connect, divided by that of a connect to the chat socket.
MOST_TIMES = 3
SOCKETS = 500
#: Handshakes at a time: enough that the server never waits for the generator.
WINDOW = 64
GUIDE, NATIVE = "/ws/chat/?v=1", f"/ws/, {SUBSCRIPTIONS} subscriptions"


def measure(bench: Workbench) -> Outcome:
    """Measure all three on both servers."""
    outcome = Outcome("The native socket beside the guide's")
    for kind in KINDS:
        with bench.part() as part:
            _fan_out(part, kind, outcome)
    rows = []
    for kind in KINDS:
        with bench.part() as part:
            rows += _connects(part, kind, outcome)
    header = ["server", "socket", "server CPU, ms a connect", "a multiple of the guide's", "connects/s"]
    header += ["p50 ms", "p99 ms"]
    size = f"{bench.effort.sized(SOCKETS, least=20)} sockets, {WINDOW} handshakes at a time"
    outcome.tables.append(Table(size, header, rows))
    rows = [[kind, *[_kilobytes(bench, kind, count) for count in (0, SUBSCRIPTIONS)]] for kind in KINDS]
    header = ["server", "no subscription", f"{SUBSCRIPTIONS} subscriptions"]
    outcome.tables.append(Table("Memory of an idle native socket, USS KB", header, rows))
    return outcome


def _fan_out(bench: Workbench, kind: Kind, outcome: Outcome) -> None:
    guide, native = targets.both_sockets(bench, kind)
    members = bench.effort.sized(MEMBERS, least=10)
    speakers = min(SPEAKERS, members)
    found = rounds_of(bench, [guide, native], members, speakers)
    outcome.tables.append(table((members, speakers), found))
    times = against(found, native.name, guide.name)
    wanted = f"fan-out, {kind}: /ws/ ≥ {LEAST_SHARE}× /ws/chat/"
    broken = sum(not rounds.whole for rounds in found.values())
    outcome.marks += [
        at_least("native", wanted, times, LEAST_SHARE, unit="×"),
        at_most(
            "native", f"fan-out, {kind}: nothing lost or doubled", broken, 0, unit=" sockets with losses"
        ),
    ]


# ── connects ─────────────────────────────────────────────────────────────────────────────────────────────


def _connects(bench: Workbench, kind: Kind, outcome: Outcome) -> list[list[str]]:
    server = bench.relais(kind)
    conversations = server.fixture(
        members=bench.effort.sized(SOCKETS, least=20), conversations=SUBSCRIPTIONS, shared=True
    )
    kinds: Mapping[str, tuple[list[Place], int]] = {
        GUIDE: (conversations[0].places(), 1),
        "/ws/": (native_places(conversations[:1], subscribed_to=0), 1),
        NATIVE: (native_places(conversations), 1 + SUBSCRIPTIONS),
    }
    costs: dict[str, list[float]] = {name: [] for name in kinds}
    opened: dict[str, list[Opened]] = {name: [] for name in kinds}
    for turn in range(bench.effort.runs + 1):
        for name, (places, frames) in kinds.items():
            cost, found = _open_all(bench, server, places, frames)
            if turn:  # the first one warms caches and opens database connections
                costs[name].append(cost)
                opened[name].append(found)
        if turn:
            last = ", ".join(f"{name} {each[-1]:.2f} ms" for name, each in costs.items())
            progress.say(f"connects: {kind}: CPU {last}")
    times = ratio(costs[NATIVE], costs[GUIDE])
    wanted = f"connect with {SUBSCRIPTIONS} subscriptions, {kind}: CPU ≤ {MOST_TIMES}× {GUIDE}"
    outcome.marks.append(at_most("native", wanted, times, MOST_TIMES, unit="×"))
    return [
        [
            kind,
            name,
            spread(costs[name]),
            f"{ratio(costs[name], costs[GUIDE]) or 0:.2f}×",
            spread([each.per_second for each in opened[name]]),
            *[spread([each.connect.percentile(percent) for each in opened[name]]) for percent in (50, 99)],
        ]
        for name in kinds
    ]


def _open_all(bench: Workbench, server: Relais, places: Sequence[Place], frames: int) -> tuple[float, Opened]:
    """CPU milliseconds per connect, and the generator's result."""
    crowd = bench.crowd(server, places)
    before = cpu_seconds(server.pid)
    opened = crowd.connect(frames=frames, window=WINDOW, timeout=300)
    cost = (cpu_seconds(server.pid) - before) * 1000 / opened.ready
    crowd.close()
    return cost, opened


# ── memory ───────────────────────────────────────────────────────────────────────────────────────────────


def _kilobytes(bench: Workbench, kind: Kind, subscriptions: int) -> str:
    """Kilobytes per idle socket with so many subscriptions, on new servers: a process gives little back."""
    found = []
    for _ in range(bench.effort.runs):
        with bench.part() as part:
            server = part.relais(kind)
            conversations = server.fixture(
                members=most_sockets(part), conversations=SUBSCRIPTIONS, shared=True
            )
            places = native_places(conversations, subscribed_to=subscriptions)
            points, _ = grow(part, server, places, frames=1 + subscriptions)
        found.append(kilobytes_each(points))
    progress.say(f"memory: {kind}, {subscriptions} subscriptions: {median(found):.1f} KB a socket")
    return spread(found)
