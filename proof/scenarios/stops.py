"""Servers are stopped and started politely, or are of different age: R17, R30."""

from __future__ import annotations

import asyncio
import math
import subprocess
import tempfile
from pathlib import Path

from bench.machine import ROOT
from proof.load import Load, gaps, percentile, resume_seconds
from proof.scenario import KEPT, Run, at_least, at_most, exactly, scenario

#: A stop that takes longer than this has failed; the mark is lower.
STOP_SECONDS = 40.0


@scenario(
    "R17",
    "SIGTERM with 2,000 sockets open, 50 of them sending; then a rolling restart of both workers",
    KEPT,
    exactly("exit codes", "0"),
    at_most("until it has ended, max", 15, "s"),
    at_least("hints to come back are spread over", 5, "s"),
    at_most("gap that a client sees, p99", 2, "s"),
    exactly("close codes", "1012"),
)
async def stopped_politely(run: Run) -> None:
    loop = asyncio.get_running_loop()
    exits: set[int | None] = set()
    async with run.stage() as stage:
        conversations = run.size(200, 40)
        seats = await stage.people(conversations=conversations, members=10)
        load = Load(stage, run.rng)
        everyone = await load.gather(place for table in zip(*seats, strict=True) for place in table)
        load.start_talking(everyone[:50], rate=4)
        await run.calm(3)
        for worker in [stage.workers[0], *stage.workers]:
            async with load.fault():
                started = loop.time()
                exits.add(await stage.do(worker.stop, seconds=STOP_SECONDS))
                run.figure("until it has ended, max", loop.time() - started)
                await stage.do(worker.start)
            await run.calm(8)
        await load.settle()
        evidence = await run.judge(load)
        run.note_tracebacks(stage)
        await load.leave()
    seen = [gap.end - gap.start for gap in gaps(evidence)]
    hints = [wait for member in load.members for wait in member.hints]
    codes = {c.close_code for r in evidence.receivers for c in r.connections if c.closed_at < load.ended_at}
    run.figure("exit codes", " and ".join(sorted(map(str, exits))))
    run.figure("hints to come back are spread over", max(hints) - min(hints) if hints else 0.0)
    run.figure("gap that a client sees, p99", percentile(seen, 0.99))
    run.figure("close codes", " and ".join(sorted(map(str, codes))))
    run.notes.append(
        f"{len(seen):,} sockets moved; "
        f"gap p50 {percentile(seen, 0.5):.1f} s, max {max(seen, default=math.nan):.1f} s"
    )


@scenario(
    "R30",
    "a worker of this revision and one of the revision before it, under R1",
    KEPT,
    at_most("resumed after the restart, p99", 3, "s"),
    in_short=False,
)
async def two_revisions(run: Run) -> None:
    with tempfile.TemporaryDirectory(prefix="relais-before-") as directory:
        before = Path(directory) / "tree"
        revision = _before_the_last_change()
        run.notes.append(f"beside revision {revision}")
        _check_out(revision, before)
        # Both on the newer one's tables: a release migrates before the first new worker starts.
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
    """The newest revision whose server is another one than ours."""
    packages = ["accounts", "chat", "config", "notifications", "realtime", "typing_indicator"]
    command = ["git", "rev-list", "--max-count=1", "HEAD", "--", *packages]
    last = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    return f"{last}~1"


def _check_out(revision: str, directory: Path) -> None:
    """The files of a revision, without the repository noticing."""
    directory.mkdir()
    archive = subprocess.run(["git", "archive", revision], cwd=ROOT, capture_output=True, check=True)
    subprocess.run(["tar", "-x", "-C", str(directory)], input=archive.stdout, check=True)
