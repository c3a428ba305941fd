"""R3, R4 and R5: Redis is away, frozen, empty, or loses published messages."""

from __future__ import annotations

import asyncio
import random

import redis as client

from proof.figures import ack_seconds, closed, delivery_seconds, percentile
from proof.history import Window
from proof.load import Load
from proof.pulse import pulse
from proof.resp import Mistreats
from proof.scenario import KEPT, Run, at_least, at_most, exactly, scenario
from proof.seats import BOTH, TWENTY
from proof.stage import Stage, freeze, thaw

AWAY_SECONDS = 5.0
FROZEN_SECONDS = 15.0


@scenario(
    "R3",
    "Redis killed (-9), back after 5 s with nothing: 5 times",
    KEPT,
    at_most("acks while it is away, p99", 0.5, "s"),
    at_most("sockets closed", 0),
    exactly("readiness", "degraded"),
    short="twice",
    targets=("ours", "guide"),
    over=BOTH,
)
async def redis_is_killed(run: Run) -> None:
    async with run.base() as (stage, load):
        for _ in range(run.size(5, 2)):
            async with load.fault():
                await stage.do(stage.redis.kill)
                run.figure("readiness", await _worst_readiness(stage, AWAY_SECONDS))
                await stage.do(stage.redis.start)
            await run.calm(8)
    evidence = load.evidence_judged
    run.figure("acks while it is away, p99", percentile(ack_seconds(evidence.sends, load.faults), 0.99))
    run.figure("sockets closed", closed(evidence))


async def _worst_readiness(stage: Stage, seconds: float) -> str:
    """The worst answer of the workers to /health/ready, once they have noticed."""
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    said: set[str] = set()
    while loop.time() < until:
        await asyncio.sleep(0.25)
        said = {str((await stage.health(worker))["status"]) for worker in stage.workers}
    return " and ".join(sorted(said))


@scenario(
    "R4",
    "Redis frozen (SIGSTOP) for 15 s: 3 times",
    KEPT,
    at_most("event loop lag, max", 0.25, "s"),
    at_most("resident memory", 20, "MB more"),
    at_most("sockets closed", 0),
    short="once",
)
async def redis_is_frozen(run: Run) -> None:
    async with run.base() as (stage, load):
        await run.calm(5)  # for what a process allocates when it first works
        before = stage.resident()
        async with pulse(stage.workers) as lags:
            for _ in range(run.size(3, 1)):
                async with load.fault():
                    await stage.do(freeze, stage.redis)
                    await run.calm(FROZEN_SECONDS)
                    await stage.do(thaw, stage.redis)
                run.figure("resident memory", stage.resident() - before)
                await run.calm(8)
    run.figure("event loop lag, max", max(lags))
    run.figure("sockets closed", closed(load.evidence_judged))
    run.notes.append(f"event loop lag p99 {percentile(lags, 0.99) * 1000:.0f} ms, over {len(lags):,} probes")


#: Idle conversations, and the silence in seconds after their message: longer than a loss may last.
IDLE_CONVERSATIONS, IDLE_MEMBERS, SILENCE_SECONDS = 30, 4, 10.0


@scenario(
    "R5",
    "Redis FLUSHALL every 10 s, and 1 % of what it publishes is lost; then all of it, in conversations "
    "where nothing follows",
    KEPT,
    at_least("published messages lost", 10),
    at_most("longest delivery", 5, "s"),
    at_least("published messages lost of idle conversations", IDLE_CONVERSATIONS, short=10),
    at_most("longest delivery in an idle conversation", 5, "s"),
    at_most("sockets closed", 0),
    short="for 30 s, and 10 %; then 10 idle conversations",
    over=BOTH,
)
async def redis_forgets_and_loses(run: Run) -> None:
    bells = Mistreats(random.Random(run.rng.getrandbits(64)))
    async with run.base(redis_mistreats=bells) as (stage, load):
        # A busy server needs few bells: in a short run, 1 % of them would be none.
        bells.loses = 0.1 if run.short else 0.01
        for _ in range(run.size(9, 3)):
            await run.calm(10)
            await stage.do(_flush, stage.redis.port)
        bells.loses = 0.0
    evidence = load.evidence_judged
    run.figure("published messages lost", bells.lost)
    run.figure("longest delivery", max(delivery_seconds(evidence, [Window(load.started_at, load.ended_at)])))
    run.figure("sockets closed", closed(evidence))
    run.notes.append(f"{bells.lost:,} of {bells.seen:,} published messages were lost")
    await _idle_conversations(run)


async def _idle_conversations(run: Run) -> None:
    """In each conversation a member sends one message, at a random time, and its bell is lost.

    A later message would show the others what they miss. Here only a look at the database can.
    """
    bells = Mistreats(random.Random(run.rng.getrandbits(64)))
    async with run.stage(redis_mistreats=bells) as stage:
        tables = await stage.people(
            conversations=run.size(IDLE_CONVERSATIONS, 10), members=IDLE_MEMBERS, together=TWENTY
        )
        load = Load(stage, run.rng)
        members = await load.gather(place for seats in zip(*tables, strict=True) for place in seats)
        await run.calm(1)
        bells.loses = 1.0
        for speaker in members[: len(tables)]:  # the first member of each conversation
            speaker.say()
            await run.calm(run.rng.uniform(0, 1))
        await run.calm(SILENCE_SECONDS)
        await load.settle()
        evidence = await run.judge(load)
        run.note_tracebacks(stage)
        await load.leave()
    run.figure("published messages lost of idle conversations", bells.lost)
    run.figure("longest delivery in an idle conversation", max(delivery_seconds(evidence)))
    run.figure("sockets closed", closed(evidence))


def _flush(port: int) -> None:
    with client.Redis(port=port) as connection:
        connection.flushall()
