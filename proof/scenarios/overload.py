"""F14, the contract of an overloaded server: members send more than can be stored."""

from __future__ import annotations

import asyncio
import math
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from typing import Any

from proof.dialects import Frame
from proof.figures import percentile, within
from proof.history import Send, Window
from proof.load import Load
from proof.member import Member
from proof.scenario import KEPT, Run, at_least, at_most, scenario

#: Few who listen to many who speak: storing is measured, and the clients share the machine.
CONVERSATIONS, MEMBERS = 50, 4
#: The search for the peak: first sends/s, factor per step, and the share that must be acknowledged.
FIRST_RATE, STEP, KEEPS_UP = 400.0, 1.5, 0.9
STEP_SECONDS = 4.0
#: A rate is too high after failing so often in a row: a single failure may be the machine's.
TRIES = 2
#: The load offered in the storm as a multiple of the peak, and the least that the clients must reach.
TIMES, TIMES_AT_LEAST = 3.0, 2.7
REFUSALS = {"overloaded", "unavailable"}


class Paced(Member):
    """A member that offers a fixed rate: a refused send that may be repeated replaces a new one."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.refusals: Counter[str] = Counter()
        self._again: deque[Send] = deque()
        self._keeps_pace = True

    def say(self, content: str = "") -> Send:
        if not self._again:
            return super().say(content)
        super()._repeat(send := self._again.popleft())
        return send

    def keep_pace(self) -> None:
        """Begin to send at the rate."""
        self._keeps_pace = True

    def finish(self) -> None:
        """Repeat the remaining refused sends as soon as they may be, at no rate."""
        self._keeps_pace = False
        while self._again:
            super()._repeat(self._again.popleft())

    def _repeat(self, send: Send) -> None:
        if self._keeps_pace:
            self._again.append(send)
        else:
            super()._repeat(send)

    def _refused(self, frame: Frame, now: float) -> None:
        when = "" if frame.retry_after_ms else " without retry_after_ms"
        self.refusals[f"{frame.code}{when}"] += 1
        super()._refused(frame, now)


@scenario(
    "F14",
    "3 times as many sends as can be stored are offered for 60 s",
    KEPT,
    at_least("offered", TIMES_AT_LEAST, "× the peak"),
    at_least("refused", 1),
    at_least("acknowledged", 0.8, "of the peak"),
    at_most("ack p99 of what is acknowledged", 2, "s"),
    at_most("refused otherwise than overloaded or unavailable with retry_after_ms", 0),
    at_most("resident memory", 64, "MB more"),
    short="for 15 s",
    in_short=False,
)
async def more_than_can_be_stored(run: Run) -> None:
    seconds = run.size(60, 15)
    async with run.stage(is_direct=True) as stage:
        seats = await stage.people(conversations=CONVERSATIONS, members=MEMBERS)
        load = Load(stage, run.rng, kind=Paced)
        with stage.apart():
            await load.gather(place for table in zip(*seats, strict=True) for place in table)
            peak = await _peak(load)
            memory = most = stage.resident()
            storm = asyncio.create_task(_offered(load, peak * TIMES, seconds))
            while not storm.done():
                await asyncio.sleep(0.5)
                most = max(most, stage.resident())
            window = await storm
        for member in _paced(load):
            member.finish()
        await load.settle()
        evidence = await run.judge(load)
        run.note_tracebacks(stage)
        await load.leave()
    attempts = [a for send in evidence.sends for a in send.attempts if within([window], a.at)]
    refusals = sum((member.refusals for member in _paced(load)), Counter[str]())
    run.figure("offered", len(attempts) / seconds / peak)
    run.figure("refused", sum(attempt.outcome == "error" for attempt in attempts))
    run.figure("acknowledged", _acknowledged(load.members, window) / peak)
    waits = [a.ended_at - a.at for a in attempts if a.outcome == "ack"]
    run.figure("ack p99 of what is acknowledged", percentile(waits, 0.99) if waits else math.inf)
    run.figure(
        "refused otherwise than overloaded or unavailable with retry_after_ms",
        sum(times for answer, times in refusals.items() if answer not in REFUSALS),
    )
    run.figure("resident memory", most - memory)
    run.notes.append(f"the peak was {peak:.0f} sends/s; refused: {dict(refusals)}")


async def _peak(load: Load) -> float:
    """The highest acknowledged rate, found by offering more and more."""
    rate, peak, failed = FIRST_RATE, 0.0, 0
    while failed < TRIES:
        acknowledged = _acknowledged(load.members, await _offered(load, rate, STEP_SECONDS))
        peak = max(peak, acknowledged)
        if acknowledged < KEEPS_UP * rate:
            failed += 1
        else:
            rate, failed = rate * STEP, 0
    # Sends left waiting or refused by the last step are no part of the storm.
    for member in _paced(load):
        member.finish()
    while any(member.unanswered for member in load.members):
        await asyncio.sleep(0.1)
    for member in _paced(load):
        member.keep_pace()
    return peak


async def _offered(load: Load, rate: float, seconds: float) -> Window:
    """All members send, at so many a second together; returns when."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    load.start_talking(load.members, rate=rate / len(load.members))
    await asyncio.sleep(seconds)
    await load.stop_talking()
    return Window(start, loop.time())


def _acknowledged(members: Iterable[Member], window: Window) -> float:
    """Acknowledged sends per second in a window."""
    acks = (send.acks[0].at for member in members for send in member.sends if send.acks)
    return sum(within([window], at) for at in acks) / (window.end - window.start)


def _paced(load: Load) -> Sequence[Paced]:
    return [member for member in load.members if isinstance(member, Paced)]
