"""R12, R13, R14 and R16: readers that are slow, asleep, long away, or all back at once."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from proof.figures import ack_seconds, closed, delivery_seconds, percentile
from proof.history import Window
from proof.load import Load
from proof.member import Member, Place
from proof.proxy import Proxy
from proof.pulse import pulse
from proof.scenario import KEPT, Run, at_least, at_most, exactly, scenario
from proof.seats import BOTH
from proof.stage import Stage
from proof.websocket import WebSocket
from tests.servers import Kind

#: Seconds until the slow readers of R13 are closed, or clearly not.
GONE_SECONDS = 60.0


class Bystander:
    """One of hundreds of sockets that only listen; only the number of frames is known."""

    def __init__(self) -> None:
        self.heard_frames = 0
        self.code: int | None = None
        self._open = asyncio.Event()

    @classmethod
    async def at(cls, port: int, path: str) -> Bystander:
        bystander = cls()
        bystander.socket = WebSocket(bystander, path)
        await asyncio.get_running_loop().create_connection(lambda: bystander.socket, "127.0.0.1", port)
        await asyncio.wait_for(bystander._open.wait(), 30)
        return bystander

    socket: WebSocket

    def opened(self) -> None:
        self._open.set()

    def heard(self, payload: bytes) -> None:
        self.heard_frames += 1

    def ended(self, code: int, *, status: int, retry_after: float) -> None:
        self.code = code
        self._open.set()


async def bystanders(stage: Stage, places: Sequence[Place], *, at_once: int = 50) -> list[Bystander]:
    """Connect bystanders at these places, a limited number of handshakes at a time."""
    found: list[Bystander] = []
    for start in range(0, len(places), at_once):
        paths = [f"/ws/chat/{p.conversation}/?token={p.token}" for p in places[start : start + at_once]]
        found += await asyncio.gather(*(Bystander.at(stage.next_port(), path) for path in paths))
    return found


@scenario(
    "R13",
    "20 of 1,000 members stop reading at 50 messages/s of 2 KB",
    KEPT,
    at_least("throughput of the others", 0.95, "of before"),
    at_most("delivery p99 of the others", 2, "× as before"),
    exactly("slow readers that were closed", "all"),
    at_most("others closed", 0),
    at_most("until they were given up as too slow (4408), max", 10, "s"),
    at_most("resident memory", 32, "MB more"),
    short="10 of 200",
    targets=("ours", "guide"),
)
async def readers_stop_reading(run: Run) -> None:
    loop = asyncio.get_running_loop()
    total, slow_ones, seconds = run.size(1000, 200), run.size(20, 10), run.size(30, 12)
    async with run.stage() as stage:
        [places] = await stage.people(conversations=1, members=total)
        load = Load(stage, run.rng)
        # The members whose every frame is judged: the speakers, the slow ones, and some who read on.
        members = await load.gather(places[: 10 + 2 * slow_ones])
        speakers, slow = members[:10], members[10 : 10 + slow_ones]
        others = members[10 + slow_ones :]
        crowd = await bystanders(stage, places[len(members) :])

        def heard() -> int:
            return sum(each.heard_frames for each in crowd)

        load.start_talking(speakers, rate=5, size=2000)
        await run.calm(5)
        memory = peak = stage.resident()
        before, heard_before = Window(loop.time(), loop.time() + seconds), heard()
        await run.calm(seconds)
        usual = (heard() - heard_before) / seconds

        start, heard_before, sockets = loop.time(), heard(), stage.sockets()
        for member in slow:
            member.stop_reading()
        # A reader that does not read cannot receive 4408: the server's log shows it.
        given_up = math.inf
        while stage.sockets() > sockets - len(slow) and loop.time() < start + GONE_SECONDS:
            await asyncio.sleep(0.25)
            peak = max(peak, stage.resident())
            if given_up == math.inf and _too_slow(stage) >= len(slow):
                given_up = loop.time() - start
        meanwhile = Window(start, loop.time())
        took = meanwhile.end - start
        kept_up = (heard() - heard_before) / took / usual if usual else math.nan
        for member in slow:
            member.read_on()
        await load.settle(seconds=60)
        # The server counts sockets, not whose: one of this side's that closes is no slow reader's. Counted
        # before the judging, in which nobody here reads.
        lost = sum(each.code is not None for each in crowd)
        evidence = await run.judge(load)
        run.note_tracebacks(stage)
        reading = [member.receiver for member in members if member not in slow]
        lost += closed(replace(evidence, receivers=reading))
        for each in crowd:
            each.socket.close()
        await load.leave()
    receivers = {id(m.receiver) for m in others}
    evidence.receivers = [r for r in evidence.receivers if id(r) in receivers]
    p99 = [percentile(delivery_seconds(evidence, [window]), 0.99) for window in (before, meanwhile)]
    run.figure("throughput of the others", kept_up)
    run.figure("delivery p99 of the others", p99[1] / p99[0])
    run.figure("others closed", lost)
    run.figure("slow readers that were closed", "all" if took < GONE_SECONDS else "not all")
    run.figure("until they were given up as too slow (4408), max", given_up)
    run.figure("resident memory", peak - memory)
    run.notes.append(
        f"gone after {took:.1f} s; delivery p99 of the others "
        f"{p99[0] * 1000:.0f} → {p99[1] * 1000:.0f} ms; {len(crowd)} more listened"
    )


def _too_slow(stage: Stage) -> int:
    return sum(worker.log().count("its peer does not read") for worker in stage.workers)


@scenario(
    "R14",
    "1,000 sockets fall into a black hole: nothing passes, nothing is closed",
    at_most("until all are reclaimed", 45, "s"),
    at_most("descriptors over the baseline", 10),
    short="200 sockets",
    in_short=False,
)
async def sockets_are_half_open(run: Run) -> None:
    loop = asyncio.get_running_loop()
    async with (
        run.stage() as stage,
        Proxy(stage.workers[0].port) as one,
        Proxy(stage.workers[1].port) as other,
    ):
        seats = await stage.people(conversations=run.size(100, 20), members=10)
        proxies = [one, other]
        stage.next_port = lambda: run.rng.choice(proxies).port  # type: ignore[method-assign]  # through the hole
        places = [place for table in seats for place in table]
        for each in await bystanders(stage, places[:100]):  # pools and caches get their usual size
            each.socket.close()
        await comes_true(lambda: not stage.sockets(), seconds=10)
        baseline = stage.descriptors()
        crowd = await bystanders(stage, places)
        started = loop.time()
        for proxy in proxies:
            proxy.freeze()
        reclaimed = await comes_true(lambda: not stage.sockets(), seconds=90)
        run.figure("until all are reclaimed", loop.time() - started if reclaimed else math.inf)
        run.figure("descriptors over the baseline", stage.descriptors() - baseline)
        run.note_tracebacks(stage)
        for each in crowd:
            each.socket.reset()


async def comes_true(condition: Callable[[], bool], *, seconds: float) -> bool:
    """Whether a condition holds within so many seconds."""
    until = asyncio.get_running_loop().time() + seconds
    while not condition():
        if asyncio.get_running_loop().time() > until:
            return False
        await asyncio.sleep(0.25)
    return True


@scenario(
    "R16",
    "5,000 clients cut at once come back, each having missed 20 messages; on each server",
    KEPT,
    at_most("all resumed on uvicorn", 20, "s"),
    at_most("all resumed on Daphne", 40, "s"),
    at_most("event loop lag, p99", 0.5, "s"),
    at_most("refused without Retry-After", 0),
    short="600 clients",
    over=BOTH,
)
async def everybody_comes_back(run: Run) -> None:
    for kind, name in (("uvicorn", "uvicorn"), ("daphne", "Daphne")):
        run.figure(f"all resumed on {name}", await _storm(run, kind))  # type: ignore[arg-type]  # both are kinds


async def _storm(run: Run, kind: Kind) -> float:
    loop = asyncio.get_running_loop()
    async with run.stage(servers=(kind, kind)) as stage:
        seats = await stage.people(conversations=run.size(5, 2), members=run.size(1000, 300))
        load = Load(stage, run.rng)
        everyone = await load.gather([place for table in seats for place in table], at_once=200)
        speakers = _first_of_each(everyone)
        rest = [member for member in load.members if member not in speakers]
        async with load.fault():
            await asyncio.gather(*(member.vanish() for member in rest))
            for _ in range(20):
                for speaker in speakers:
                    speaker.say()
                await asyncio.sleep(0.05)
            started = loop.time()
            async with pulse(stage.workers) as lags:
                for member in rest:
                    member.come()
                await comes_true(lambda: all(member.is_here for member in rest), seconds=120)
            back = [
                member.receiver.connections[-1].subscribed_at - started if member.is_here else math.inf
                for member in rest
            ]
            took = max(back)
        await load.settle()
        await run.judge(load)
        run.figure("event loop lag, p99", percentile(lags, 0.99))
        run.figure("refused without Retry-After", sum(socket.refused for socket in load.sockets))
        run.notes.append(
            f"{kind}: {len(rest):,} members back in {took:.1f} s, half in {percentile(back, 0.5):.1f} s, "
            f"lag p99 {percentile(lags, 0.99) * 1000:.0f} ms"
        )
        run.note_tracebacks(stage)
        await load.leave()
    return took


def _first_of_each(members: Sequence[Member]) -> list[Member]:
    first: dict[int, Member] = {}
    for member in members:
        first.setdefault(member.receiver.conversation, member)
    return list(first.values())


@scenario(
    "R12",
    "a client comes back after 10,000 missed messages, while others talk on",
    KEPT,
    at_most("complete after", 5, "s"),
    at_least("events replayed", 10_000, short=3_000),
    at_most("resident memory", 10, "MB more"),
    at_most("delivery p99 of the others", 2, "× as before"),
    short="3,000 messages",
    in_short=False,
    over=BOTH,
)
async def long_away(run: Run) -> None:
    loop = asyncio.get_running_loop()
    missed = run.size(10_000, 3_000)
    async with run.stage() as stage:
        [places] = await stage.people(conversations=1, members=20)
        load = Load(stage, run.rng)
        members = await load.gather(places)
        away = members[-1]
        await away.vanish()
        absent = Window(loop.time(), math.inf)
        load.start_talking(members[:10], rate=100)
        conversation = away.receiver.conversation
        while (await stage.heads([conversation]))[conversation] < missed:
            await asyncio.sleep(0.1)
        await load.stop_talking()
        load.start_talking(members[:5], rate=10)
        await run.calm(5)
        before, memory = Window(loop.time(), loop.time() + 6), stage.resident()
        await run.calm(6)
        started = loop.time()
        away.come()
        await asyncio.wait_for(away.here(), 60)
        took, peak = loop.time() - started, stage.resident()
        meanwhile = Window(started, loop.time() + 1)
        await run.calm(2)
        load.faults.append(
            Window(absent.start, before.start)
        )  # the flood that made the history: its times are not judged
        await load.settle()
        evidence = await run.judge(load)
        run.note_tracebacks(stage)
        await load.leave()
    replayed = len(away.receiver.connections[-1].frames)
    evidence.receivers = [r for r in evidence.receivers if r is not away.receiver]
    p99 = [percentile(delivery_seconds(evidence, [window]), 0.99) for window in (before, meanwhile)]
    run.figure("complete after", took)
    run.figure("events replayed", replayed)
    run.figure("resident memory", peak - memory)
    run.figure("delivery p99 of the others", p99[1] / p99[0])
    run.notes.append(
        f"p99 of the others {p99[0] * 1000:.0f} → {p99[1] * 1000:.0f} ms; "
        f"ack p99 of the flood {percentile(ack_seconds(evidence.sends), 0.99) * 1000:.0f} ms"
    )
