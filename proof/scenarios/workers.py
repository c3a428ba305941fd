"""R1, R2 and R8: processes of Relais die."""

from __future__ import annotations

import asyncio
import math
import tempfile
from pathlib import Path

from proof.figures import gaps, percentile, resume_seconds
from proof.load import Load
from proof.member import Member
from proof.scenario import KEPT, Run, at_most, exactly, scenario
from proof.seats import BOTH
from proof.stage import Stage, Worker

#: Seconds of watching for something that should happen within a few.
GIVE_UP_SECONDS = 20.0


@scenario(
    "R1",
    "a worker killed (-9) under base load: 10 times in 120 s",
    KEPT,
    at_most("resumed after the restart, p99", 3, "s"),
    short="3 times",
    targets=("ours", "guide"),
    over=BOTH,
)
async def a_worker_is_killed(run: Run) -> None:
    async with run.base() as (stage, load):
        for _ in range(run.size(10, 3)):
            worker = run.rng.choice(stage.workers)
            async with load.fault():
                await stage.do(worker.kill)
                await stage.do(worker.start)
            await run.calm(run.size(10, 5))
    evidence = load.evidence_judged
    run.figure("resumed after the restart, p99", percentile(resume_seconds(evidence), 0.99))
    cut = [gap.end - gap.start for gap in gaps(evidence)]
    run.notes.append(
        f"{len(cut)} members cut off; back after "
        f"p50 {percentile(cut, 0.5):.1f} s, p99 {percentile(cut, 0.99):.1f} s"
    )


@scenario(
    "R2",
    "both workers killed (-9) under base load and started again: 3 times",
    KEPT,
    at_most("first socket accepted after the start", 5, "s"),
    short="once",
)
async def everything_is_killed(run: Run) -> None:
    async with run.base() as (stage, load):
        for _ in range(run.size(3, 1)):
            async with load.fault():
                await asyncio.gather(*(stage.do(worker.kill) for worker in stage.workers))
                started = asyncio.get_running_loop().time()
                starting = [asyncio.create_task(stage.do(worker.start)) for worker in stage.workers]
                while not any(member.is_here for member in load.members):
                    await asyncio.sleep(0.01)
                took = asyncio.get_running_loop().time() - started
                await asyncio.gather(*starting)
            run.figure("first socket accepted after the start", took)
            await run.calm(10)


@scenario(
    "R8",
    "a worker killed (-9) between the commit of a message and its bell, and started again: 200 times",
    KEPT,
    exactly("messages that reached all ten members", "all"),
    at_most("with everybody after the restart", 2, "s"),
    short="10 times",
)
async def killed_between_commit_and_bell(run: Run) -> None:
    with tempfile.TemporaryDirectory() as directory:
        fatal = Path(directory) / "die"
        program, env = ["-m", "proof.doomed"], {"PROOF_DIE_IF": str(fatal)}
        async with run.stage(program=program, env=env) as stage:
            [places] = await stage.people(conversations=1, members=10)
            load = Load(stage, run.rng)
            await load.gather(places)
            times = run.size(200, 10)
            late = [await _last_words(load, stage, fatal) for _ in range(times)]
            await load.settle()
            await run.judge(load)
            await load.leave()
    run.figure("messages that reached all ten members", "all" if max(late) < math.inf else "not all")
    run.figure("with everybody after the restart", max(late))
    run.notes.append(f"{times} runs; median {percentile(late, 0.5):.2f} s after the restart")


async def _last_words(load: Load, stage: Stage, fatal: Path) -> float:
    """Send a message to a worker that dies of it; seconds from its return until all members have it."""
    loop = asyncio.get_running_loop()
    for member in load.members:
        await member.here()
    speaker: Member = load.rng.choice(load.members)
    async with load.fault():
        fatal.touch()
        send = speaker.say()
        victim = await _dead(stage.workers)
        fatal.unlink()
        await stage.do(victim.kill)  # it is dead: this forgets it
        await stage.do(victim.start)
        back_at = loop.time()
    while loop.time() < back_at + GIVE_UP_SECONDS:
        if all(_heard(member, send.client_id) for member in load.members):
            return loop.time() - back_at
        await asyncio.sleep(0.01)
    return math.inf


def _heard(member: Member, client_id: str) -> bool:
    last = (c.frames[-5:] for c in member.receiver.connections[-2:])
    return any(heard.client_id == client_id for frames in last for heard in frames)


async def _dead(workers: list[Worker]) -> Worker:
    async with asyncio.timeout(GIVE_UP_SECONDS):
        while True:
            for worker in workers:
                if not worker.is_running:
                    return worker
            await asyncio.sleep(0.01)
