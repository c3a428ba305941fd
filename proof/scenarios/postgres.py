"""R6 and R7: PostgreSQL is away, frozen, full, or holds a lock."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections import Counter
from collections.abc import Iterator

import psycopg

from proof.figures import ack_seconds, closed, percentile, within
from proof.history import Attempt, Evidence, Window
from proof.listener import Listener
from proof.load import Load
from proof.scenario import KEPT, Run, at_most, exactly, scenario
from proof.stage import Stage, freeze, thaw

AWAY_SECONDS = 5.0
FROZEN_SECONDS = 10.0
LOCKED_SECONDS = 5.0


@scenario(
    "R6",
    "PostgreSQL killed (-9), back after 5 s: 5 times",
    KEPT,
    exactly("what a send is answered meanwhile", "unavailable"),
    at_most("until it is answered, max", 2, "s"),
    at_most("sockets closed", 0),
    exactly("typing meanwhile", "works"),
    short="twice",
)
async def postgres_is_killed(run: Run) -> None:
    async with run.base() as (stage, load):
        typing = await _typists(stage, load)
        away: list[Window] = []
        for _ in range(run.size(5, 2)):
            async with load.fault():
                await stage.do(stage.postgres.kill)
                gone_at = asyncio.get_running_loop().time()
                run.figure("typing meanwhile", await _types(*typing, seconds=AWAY_SECONDS))
                away.append(Window(gone_at, asyncio.get_running_loop().time()))
                await stage.do(stage.postgres.start)
            await run.calm(8)
    evidence = load.evidence_judged
    answers = list(_attempts(evidence, away))
    codes = Counter(attempt.detail for attempt in answers if attempt.outcome == "error")
    run.figure("what a send is answered meanwhile", " and ".join(sorted(codes)) or "nothing")
    # A send from just before PostgreSQL's return may be stored after it: only refusals have to be quick.
    run.figure(
        "until it is answered, max",
        max((a.ended_at - a.at for a in answers if a.outcome != "ack"), default=math.inf),
    )
    run.figure("sockets closed", closed(evidence))
    run.notes.append(f"answers while it was away: {dict(codes)}, {len(answers)} sends")


def _attempts(evidence: Evidence, windows: list[Window]) -> Iterator[Attempt]:
    return (a for send in evidence.sends for a in send.attempts if within(windows, a.at))


async def _typists(stage: Stage, load: Load) -> tuple[Listener, Listener]:
    """Two members of the first conversation, on different workers."""
    first = load.members[0].receiver.conversation
    pair = [member for member in load.members if member.receiver.conversation == first][-2:]
    one, other = [
        await Listener.at(worker.port, f"/ws/typing/{first}/?token={member.token}")
        for worker, member in zip(stage.workers, pair, strict=True)
    ]
    return one, other


async def _types(one: Listener, other: Listener, *, seconds: float) -> str:
    """One member types for so long; returns whether the other is shown it."""
    started = asyncio.get_running_loop().time()
    seen = len(other.frames)
    while asyncio.get_running_loop().time() < started + seconds:
        one.say(is_typing=True)
        await asyncio.sleep(0.5)
        one.say(is_typing=False)
        await asyncio.sleep(0.5)
    return "works" if any(frame.get("is_typing") for _, frame in other.frames[seen:]) else "does not"


@scenario(
    "R7",
    "PostgreSQL frozen (SIGSTOP) for 10 s; its connections used up for 5 s; one conversation locked for 5 s",
    KEPT,
    at_most("frozen: until a send is answered, max", 2, "s"),
    at_most("full: until a send is answered, max", 2, "s"),
    at_most("locked: until a send is refused, max", 2, "s"),
    at_most("refused otherwise than overloaded or unavailable", 0),
    at_most("locked: ack p99 of the other conversations", 2, "× as before"),
    at_most("sockets closed", 0),
)
async def postgres_is_slow(run: Run) -> None:
    parts: dict[str, Window] = {}
    loop = asyncio.get_running_loop()
    async with run.base() as (stage, load):
        calm = Window(loop.time(), loop.time() + 10)
        await run.calm(10)
        victim = load.members[0].receiver.conversation
        start = loop.time()
        async with load.fault():
            await stage.do(_hold_lock, stage.database_url, victim)
        parts["locked"] = Window(start, loop.time())
        await run.calm(6)
        start = loop.time()
        async with load.fault():
            await stage.do(freeze, stage.postgres)
            await run.calm(FROZEN_SECONDS)
            await stage.do(thaw, stage.postgres)
        parts["frozen"] = Window(start, loop.time())
        await run.calm(8)
        start = loop.time()
        async with load.fault():
            with await stage.do(_use_up, stage.database_url):
                await run.calm(AWAY_SECONDS)
        parts["full"] = Window(start, loop.time())
        await run.calm(8)
    evidence = load.evidence_judged
    for part, window in parts.items():
        attempts = list(_attempts(evidence, [window]))
        waits = [attempt.ended_at - attempt.at for attempt in attempts]
        if part == "locked":  # most conversations are not locked, and no fault of theirs counts
            refused = [wait for wait, a in zip(waits, attempts, strict=True) if a.outcome != "ack"]
            run.figure("locked: until a send is refused, max", max(refused, default=0.0))
        else:
            run.figure(f"{part}: until a send is answered, max", max(waits))
        codes = Counter(a.detail for a in attempts if a.outcome == "error")
        otherwise = sum(codes[code] for code in codes.keys() - {"overloaded", "unavailable"})
        run.figure("refused otherwise than overloaded or unavailable", otherwise)
        run.notes.append(f"{part}: {len(attempts)} sends, refused: {dict(codes)}")
    others = [send for send in evidence.sends if send.conversation != victim]
    before, meanwhile = (percentile(ack_seconds(others, [w]), 0.99) for w in (calm, parts["locked"]))
    run.figure("locked: ack p99 of the other conversations", meanwhile / before)
    run.notes.append(f"locked: ack p99 of the others {before * 1000:.0f} → {meanwhile * 1000:.0f} ms")
    run.figure("sockets closed", closed(evidence))


def _hold_lock(database_url: str, conversation: int) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "SELECT 1 FROM realtime_topic WHERE name = %s FOR UPDATE", [f"conversation.{conversation}"]
        )
        connection.execute("SELECT pg_sleep(%s)", [LOCKED_SECONDS])


def _use_up(database_url: str) -> contextlib.ExitStack:
    """Take every connection of PostgreSQL, the workers' too; closing the stack gives them back."""
    taken = contextlib.ExitStack()
    ours: list[int] = []
    for _ in range(3):  # a worker may have been quicker
        with contextlib.suppress(psycopg.OperationalError):
            while True:
                connection = taken.enter_context(psycopg.connect(database_url, autocommit=True))
                ours.append(connection.info.backend_pid)
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> ALL(%s)",
            [ours],
        )
    return taken
