"""R17 and R30: servers are stopped and started in order, or run different versions."""

from __future__ import annotations

import asyncio
import math
import os
import signal
import subprocess
import tempfile
from pathlib import Path

from bench.machine import ROOT, family
from bench.workbench import KINDS
from proof.figures import gaps, percentile, resume_seconds, within
from proof.history import Window
from proof.load import Load
from proof.scenario import KEPT, Run, at_least, at_most, exactly, scenario
from proof.seats import BOTH
from tests.servers import Kind

#: Seconds after which a stop has failed; the mark is lower.
STOP_SECONDS = 40.0
ROLL_SECONDS = 80.0


@scenario(
    "R17",
    "rolling restart (SIGHUP) of two workers with 2,000 sockets, 50 of them sending; SIGTERM; on each server",
    KEPT,
    at_most("gap that a client sees in the rolling restart, p99", 2, "s"),
    exactly("exit codes", "0"),
    at_most("until it has ended, max", 15, "s"),
    at_least("hints to come back are spread over", 5, "s"),
    exactly("close codes", "1012"),
    short="400 sockets",
    in_short=False,
    over=BOTH,
)
async def stopped_politely(run: Run) -> None:
    for kind in KINDS:
        await _stopped_politely(run, kind)


async def _stopped_politely(run: Run, kind: Kind) -> None:
    loop = asyncio.get_running_loop()
    async with run.stage(servers=(kind,), processes=2) as stage:
        [service] = stage.workers
        conversations = run.size(200, 40)
        seats = await stage.people(conversations=conversations, members=10)
        load = Load(stage, run.rng)
        everyone = await load.gather(place for table in zip(*seats, strict=True) for place in table)
        load.start_talking(everyone[:50], rate=4)
        await run.calm(3)
        async with load.fault():
            began = loop.time()
            await _replace_workers(service.pid)
            rolling = Window(began, loop.time())
        await run.calm(8)
        async with load.fault():
            began = loop.time()
            exit_code = await stage.do(service.stop, seconds=STOP_SECONDS)
            run.figure("until it has ended, max", loop.time() - began)
            await stage.do(service.start)
        await run.calm(8)
        await load.settle()
        evidence = await run.judge(load)
        run.note_tracebacks(stage)
        await load.leave()
    moved = [gap.end - gap.start for gap in gaps(evidence) if within([rolling], gap.start)]
    asked = [at for socket in load.sockets for at in socket.hints if at > began]
    codes = {c.close_code for r in evidence.receivers for c in r.connections if c.closed_at < load.ended_at}
    run.figure("gap that a client sees in the rolling restart, p99", percentile(moved, 0.99))
    run.figure("exit codes", str(exit_code))
    run.figure("hints to come back are spread over", max(asked) - min(asked) if asked else 0.0)
    run.figure("close codes", " and ".join(sorted(map(str, codes))))
    run.notes.append(
        f"{kind}: rolling restart in {rolling.end - rolling.start:.0f} s, {len(moved):,} members moved; "
        f"gap p50 {percentile(moved, 0.5):.1f} s, max {max(moved, default=math.nan):.1f} s"
    )


async def _replace_workers(service: int) -> None:
    """Replace all workers, as a release does; returns when no old process is left."""
    before = set(family(service)) - {service}
    os.kill(service, signal.SIGHUP)
    async with asyncio.timeout(ROLL_SECONDS):
        while before & set(family(service)):
            await asyncio.sleep(0.1)


@scenario(
    "R30",
    "a worker of this revision and one of the revision before it, under R1",
    KEPT,
    at_most("resumed after the restart, p99", 3, "s"),
    short="each worker killed twice",
    in_short=False,
)
async def two_revisions(run: Run) -> None:
    with tempfile.TemporaryDirectory(prefix="relais-before-") as directory:
        before = Path(directory) / "tree"
        revision = _before_the_last_change()
        run.notes.append(f"beside revision {revision}")
        _check_out(revision, before)
        # Both on the tables of the newer version: a release migrates before its first worker starts.
        async with run.base(trees=(before, ROOT)) as (stage, load):
            for _ in range(run.size(6, 2)):
                for worker in stage.workers:
                    async with load.fault():
                        await stage.do(worker.kill)
                        await stage.do(worker.start)
                    await run.calm(8)
    evidence = load.evidence_judged
    run.figure("resumed after the restart, p99", percentile(resume_seconds(evidence), 0.99))


def _before_the_last_change() -> str:
    """The newest revision with a server that differs from this one."""
    packages = ["accounts", "chat", "config", "notifications", "realtime", "typing_indicator"]
    command = ["git", "rev-list", "--max-count=1", "HEAD", "--", *packages]
    last = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    return f"{last}~1"


def _check_out(revision: str, directory: Path) -> None:
    """Write the files of a revision into a directory, without changing the repository."""
    directory.mkdir()
    archive = subprocess.run(["git", "archive", revision], cwd=ROOT, capture_output=True, check=True)
    subprocess.run(["tar", "-x", "-C", str(directory)], input=archive.stdout, check=True)
