"""R15 and R27: thousands of idle sockets, and a soak."""

from __future__ import annotations

import asyncio
import math
import time
from typing import NamedTuple

import psycopg
import redis as client

from bench.machine import cpu_seconds, memory
from proof.load import Load
from proof.scenario import KEPT, Run, at_most, exactly, scenario
from proof.scenarios.readers import bystanders, comes_true
from proof.stage import Stage
from realtime.defaults import Conf

#: The limits of 10,000 idle sockets: percent of a core, and memory of each socket, by server.
IDLE_PERCENT = {"uvicorn": 5, "daphne": 15}
IDLE_KB = {"uvicorn": 20, "daphne": 26}
#: Seconds until idle sockets are settled, and seconds for which the first few are watched.
SETTLED_SECONDS, FEW_SECONDS = 5.0, 30.0
#: Seconds after which sockets that are still open when all clients have left count as left behind.
EMPTY_SECONDS = 30.0
#: Database connections that two workers may have: one per thread, and one for /health/ready. The pool opens
#: them as needed, so the number after a calm start says nothing about the maximum.
DATABASE_THREADS = 2 * (Conf.database_threads + 1)


class Held(NamedTuple):
    """What a worker holds, and uses."""

    sockets: int
    memory: int
    busy: float

    def __str__(self) -> str:
        return f"{self.sockets:,} sockets, {self.memory / 2**20:.0f} MB, {self.busy:.2%} of a core"


async def _idle(run: Run, stage: Stage, seconds: float) -> list[Held]:
    """What each worker holds, and the CPU it uses in so many seconds without traffic."""
    await run.calm(SETTLED_SECONDS)
    began, cpu = time.monotonic(), [cpu_seconds(worker.pid) for worker in stage.workers]
    await run.calm(seconds)
    took = time.monotonic() - began
    return [
        Held(stage.sockets(worker), memory(worker.pid).unique, (cpu_seconds(worker.pid) - before) / took)
        for worker, before in zip(stage.workers, cpu, strict=True)
    ]


@scenario(
    "R15",
    "10,000 idle sockets for 10 minutes, then one message to all of them",
    exactly("sockets dropped", 0),
    at_most("the message is with all after", 1.0, "s"),
    *(
        at_most(f"{kind}: of a core for 10,000 idle sockets", share, "%")
        for kind, share in IDLE_PERCENT.items()
    ),
    *(at_most(f"{kind}: memory of an idle socket", size, "KB") for kind, size in IDLE_KB.items()),
    short="1,000 sockets for 1 minute",
    in_short=False,
)
async def nobody_speaks(run: Run) -> None:
    loop = asyncio.get_running_loop()
    async with run.stage() as stage:
        [places] = await stage.people(conversations=1, members=run.size(10_000, 1_000))
        load = Load(stage, run.rng)
        [speaker] = await load.gather(places[:1])
        # What a worker allocates once, for its first sockets, does not count for a socket.
        crowd = await bystanders(stage, places[1:101])
        few = await _idle(run, stage, FEW_SECONDS)
        crowd += await bystanders(stage, places[101:])
        many = await _idle(run, stage, run.size(600, 60))
        for worker, first, then in zip(stage.workers, few, many, strict=True):
            more = then.sockets - first.sockets
            busy = first.busy + (then.busy - first.busy) / more * 10_000
            run.figure(f"{worker.kind}: of a core for 10,000 idle sockets", busy * 100)
            run.figure(f"{worker.kind}: memory of an idle socket", (then.memory - first.memory) / more / 1024)
            run.notes.append(f"{worker.kind}: {first} → {then}")
        run.figure("sockets dropped", sum(each.code is not None for each in crowd))
        said_at = loop.time()
        speaker.say()
        while any(not each.heard_frames for each in crowd) and loop.time() < said_at + 20:
            await asyncio.sleep(0.005)
        heard = not any(not each.heard_frames for each in crowd)
        run.figure("the message is with all after", loop.time() - said_at if heard else math.inf)
        for each in crowd:
            each.socket.close()
        await load.leave()


@scenario(
    "R27",
    "60 minutes of base load, while members vanish and come back all the time",
    KEPT,
    at_most("resident memory after the warm-up", 2, "% more"),
    at_most("descriptors over the baseline", 10),
    at_most("Redis keys over the baseline", 0),
    at_most("database connections over one for each database thread", 0),
    short="4 minutes",
    in_short=False,
)
async def soak(run: Run) -> None:
    loop = asyncio.get_running_loop()
    seconds = 60 * (run.minutes or run.size(60, 4))
    async with run.stage() as stage:
        async with run.base_load(stage):
            await run.calm(10)  # opens connections to the database and Redis, which stay
        await _empty(stage)
        keys, descriptors = await stage.do(_keys, stage.redis.port), stage.descriptors()
        async with run.base_load(stage) as load:
            churning = asyncio.create_task(_churn(run, load))
            await run.calm(seconds * 0.25)
            warm, most = stage.resident(), await stage.do(_connections, stage)
            until = loop.time() + seconds * 0.75
            while loop.time() < until:
                await run.calm(min(60, until - loop.time()))
                most = max(most, await stage.do(_connections, stage))
            end = stage.resident()
            churning.cancel()
        # Before the judging, which stops the proxies, so that the workers miss Redis and PostgreSQL.
        await _empty(stage)
        now = await stage.do(_connections, stage)
        run.figure("resident memory after the warm-up", (end - warm) / warm * 100)
        run.figure("descriptors over the baseline", stage.descriptors() - descriptors)
        run.figure("Redis keys over the baseline", await stage.do(_keys, stage.redis.port) - keys)
        over = max(0, now - DATABASE_THREADS)
        run.figure("database connections over one for each database thread", over)
        run.note_tracebacks(stage)
        run.notes.append(
            f"{seconds / 60:g} minutes; {warm:.0f} → {end:.0f} MB resident; "
            f"{now} database connections, {most} at most meanwhile"
        )
        await run.judge(load)


async def _empty(stage: Stage) -> None:
    """Wait until all sockets are closed, and what they held is freed."""
    await comes_true(lambda: not stage.sockets(), seconds=EMPTY_SECONDS)
    await asyncio.sleep(SETTLED_SECONDS)


async def _churn(run: Run, load: Load) -> None:
    """Cut a random member's connection five times a second; members reconnect as clients do."""
    while True:
        await asyncio.sleep(0.2)
        member = run.rng.choice(load.members)
        if member.socket is not None:
            member.socket.reset()


def _keys(port: int) -> int:
    with client.Redis(port=port) as connection:
        return int(connection.dbsize())


def _connections(stage: Stage) -> int:
    with psycopg.connect(stage.database_url) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        ).fetchone()
    return int(row[0]) if row else 0
