"""R10: many members speak at once, and some transactions are slow."""

from __future__ import annotations

import asyncio

from proof.figures import ack_seconds, percentile
from proof.history import Receiver
from proof.load import Load
from proof.scenario import KEPT, Run, exactly, scenario
from proof.seats import BOTH

SENDERS, LISTENERS = 32, 10


@scenario(
    "R10",
    "32 senders in one conversation say 5,000 messages; 1 % of the transactions are 200 ms late",
    KEPT,
    exactly("seqs in the table", "1 to the last, none skipped"),
    exactly("receivers that have all of them", SENDERS + LISTENERS),
    short="1,600 messages",
    targets=("ours", "guide"),
    over=BOTH,
)
async def many_speak_at_once(run: Run) -> None:
    total = run.size(5000, 1600)
    async with run.stage() as stage:
        if run.target == "ours":
            stage.postgres_proxy.hesitates = lambda data: (
                0.2 if b"COMMIT" in data and run.rng.random() < 0.01 else 0.0
            )
        [places] = await stage.people(conversations=1, members=SENDERS + LISTENERS)
        load = Load(stage, run.rng)
        members = await load.gather(places)
        load.start_talking(members[:SENDERS], rate=10)
        while sum(len(member.sends) for member in members) < total:
            await asyncio.sleep(0.05)
        await load.settle(seconds=60)
        evidence = await run.judge(load)
        run.note_tracebacks(stage)
        await load.leave()
    seqs = sorted(row.seq for row in evidence.rows)
    whole = seqs == list(range(1, len(seqs) + 1)) and len(seqs) >= total
    run.figure("seqs in the table", "1 to the last, none skipped" if whole else f"{len(seqs)} rows")
    everything = [_has_all(receiver, seqs) for receiver in evidence.receivers]
    run.figure("receivers that have all of them", sum(everything))
    run.notes.append(f"ack p99 {percentile(ack_seconds(evidence.sends), 0.99) * 1000:.0f} ms")


def _has_all(receiver: Receiver, seqs: list[int]) -> bool:
    """Whether a receiver has all seqs; a guide page on Relais only those from its first one on."""
    heard = [heard.seq for heard in receiver.frames()]
    return bool(heard) and heard == (seqs if receiver.resumes else seqs[-len(heard) :])
