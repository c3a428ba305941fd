"""R26 and R28: clients that take more than their share, and a database that accepts no writes."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections import Counter

import psycopg

from bench.relais import ENVIRONMENT
from bench.wire import frame, handshake
from proof.figures import ack_seconds, closed, percentile, within
from proof.history import Window
from proof.listener import Listener
from proof.member import Place
from proof.scenario import KEPT, Run, at_most, exactly, scenario
from proof.stage import Stage

#: The limits by default; the other scenarios switch them off, since all clients share an address.
AS_SHIPPED = {name: "" for name in ENVIRONMENT if name.startswith("LIMIT_")}
#: The flood has another address than its victims.
ELSEWHERE = "127.0.0.66"


@scenario(
    "R26",
    "floods: 5,000 frames/s, 500 handshakes/s, 1,000 handshakes that never finish, 10,000 typing frames/s",
    KEPT,
    at_most("frames limited after", 1, "s"),
    at_most("handshakes limited after", 1, "s"),
    at_most("unfinished handshakes left", 20),  # other handshakes come and go meanwhile
    at_most("ack p99 of the victims", 2, "× as before"),
    at_most("ack p99 5 s after", 2, "× as before"),
    at_most("sockets of victims closed", 0),
    short="5 s each, 300 unfinished handshakes",
    in_short=False,
)
async def floods(run: Run) -> None:
    loop = asyncio.get_running_loop()
    seconds = run.size(10, 5)
    calm: Window | None = None
    during: list[Window] = []
    after: list[Window] = []
    async with run.base(env=AS_SHIPPED) as (stage, load):
        [attackers] = await stage.people(conversations=1, members=4)
        calm = Window(loop.time(), loop.time() + 8)
        await run.calm(8)
        for flood in (_frames, _handshakes, _unfinished, _typing):
            start = loop.time()
            await flood(run, stage, attackers, seconds)
            during.append(Window(start, loop.time()))
            await run.calm(5)
            after.append(Window(loop.time(), loop.time() + 4))
            await run.calm(4)
    evidence = load.evidence_judged
    usual = percentile(ack_seconds(evidence.sends, [calm]), 0.99)
    names = ("frames", "handshakes", "unfinished", "typing")
    p99s = {
        name: percentile(ack_seconds(evidence.sends, [w]), 0.99)
        for name, w in zip(names, during, strict=True)
    }
    then = [percentile(ack_seconds(evidence.sends, [window]), 0.99) for window in after]
    run.figure("ack p99 of the victims", max(p99s.values()) / usual)
    run.figure("ack p99 5 s after", max(then) / usual)
    run.figure("sockets of victims closed", closed(evidence))
    told = ", ".join(f"{name} {value * 1000:.0f}" for name, value in p99s.items())
    run.notes.append(f"ack p99 of the victims {usual * 1000:.0f} ms before; during: {told} ms")


async def _pour(port: int, path: str, payload: bytes, *, rate: int, seconds: float) -> list[Listener]:
    """Send so many frames a second, in one write per hundredth; a sender that is closed for it reconnects."""
    loop = asyncio.get_running_loop()
    piece, until, at = frame(payload) * (rate // 100), loop.time() + seconds, loop.time()
    listeners = [await Listener.at(port, path)]
    while loop.time() < until:
        if listeners[-1].is_gone:
            listeners.append(await Listener.at(port, path))
        listeners[-1].socket.write(piece)
        at += 0.01
        await asyncio.sleep(max(0.0, at - loop.time()))
    for listener in listeners:
        listener.socket.close()
    return listeners


def _ends(listeners: list[Listener]) -> str:
    return f"{len(listeners)} sockets, closed with {dict(Counter(each.code for each in listeners))}"


async def _frames(run: Run, stage: Stage, attackers: list[Place], seconds: float) -> None:
    one = attackers[0]
    path = f"/ws/chat/{one.conversation}/?v=1&token={one.token}"
    started = asyncio.get_running_loop().time()
    flood = b'{"message":"flood","ref":1}'
    listeners = await _pour(stage.workers[0].port, path, flood, rate=5_000, seconds=seconds)
    errors = [error for listener in listeners for error in listener.of_type("error")]
    limited = [at for at, told in errors if told["code"] == "rate_limited"]
    run.figure("frames limited after", min(limited, default=math.inf) - started)
    run.notes.append(f"the flood of frames: {_ends(listeners)}")


async def _typing(run: Run, stage: Stage, attackers: list[Place], seconds: float) -> None:
    one, other = attackers[1], attackers[2]
    path = f"/ws/typing/{one.conversation}/?token={one.token}"
    victim = await Listener.at(stage.workers[1].port, f"/ws/typing/{other.conversation}/?token={other.token}")
    port = stage.workers[0].port
    listeners = await _pour(port, path, b'{"is_typing":true}', rate=10_000, seconds=seconds)
    run.notes.append(
        f"10,000 typing frames/s for {seconds} s were {len(victim.frames)} frames for another member; "
        f"{_ends(listeners)}"
    )
    victim.socket.close()


async def _handshakes(run: Run, stage: Stage, attackers: list[Place], seconds: float) -> None:
    one = attackers[3]
    loop = asyncio.get_running_loop()
    path = f"/ws/chat/{one.conversation}/?token={one.token}"
    refused: list[float] = []
    answers: Counter[str] = Counter()

    async def knock() -> None:
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(10):
                reader, writer = await asyncio.open_connection(
                    "127.0.0.1", stage.workers[1].port, local_addr=(ELSEWHERE, 0)
                )
                writer.write(handshake(path, host="127.0.0.1"))
                status = (await reader.readline()).decode("latin1").strip()
                answers[status] += 1
                if " 101 " not in status:
                    refused.append(loop.time())
                writer.close()

    started = at = loop.time()
    knocks = []
    while at < started + seconds:
        knocks.append(asyncio.create_task(knock()))
        at += 1 / 500
        await asyncio.sleep(max(0.0, at - loop.time()))
    await asyncio.gather(*knocks)
    run.figure("handshakes limited after", min(refused, default=math.inf) - started)
    run.notes.append(f"{len(knocks)} handshakes at 500/s from one address: {dict(answers)}")


async def _unfinished(run: Run, stage: Stage, attackers: list[Place], seconds: float) -> None:
    loop = asyncio.get_running_loop()
    descriptors = stage.descriptors()
    half = handshake("/ws/chat/1/", host="127.0.0.1")[:-2]
    writers = []
    for _ in range(run.size(1_000, 300)):
        _, writer = await asyncio.open_connection("127.0.0.1", stage.next_port(), local_addr=(ELSEWHERE, 0))
        writer.write(half)
        writers.append(writer)
    started = loop.time()
    while stage.descriptors() > descriptors + 20 and loop.time() < started + 4 * seconds:
        await asyncio.sleep(0.25)
    left = stage.descriptors() - descriptors
    run.figure("unfinished handshakes left", max(0, left))
    run.notes.append(
        f"{len(writers)} unfinished handshakes: {max(0, left)} left after {loop.time() - started:.0f} s"
    )
    for writer in writers:
        writer.close()


@scenario(
    "R28",
    "the database is read-only for 10 s: 3 times",
    KEPT,
    at_most("acks meanwhile", 0),
    exactly("what a send is answered meanwhile", "unavailable"),
    at_most("until it is answered, max", 2, "s"),
    at_most("sockets closed", 0),
    short="once",
)
async def read_only(run: Run) -> None:
    loop = asyncio.get_running_loop()
    windows: list[Window] = []
    async with run.base() as (stage, load):
        for _ in range(run.size(3, 1)):
            async with load.fault():
                await stage.do(_set_read_only, stage.database_url, "on")
                start = loop.time()
                await run.calm(10)
                windows.append(Window(start, loop.time()))
                await stage.do(_set_read_only, stage.database_url, "off")
            await run.calm(8)
    evidence = load.evidence_judged
    attempts = [
        a
        for send in evidence.sends
        for a in send.attempts
        if within(windows, a.at) and within(windows, a.ended_at)
    ]
    codes = Counter(attempt.detail for attempt in attempts if attempt.outcome == "error")
    run.figure("acks meanwhile", sum(attempt.outcome == "ack" for attempt in attempts))
    run.figure("what a send is answered meanwhile", " and ".join(sorted(codes)) or "nothing")
    run.figure("until it is answered, max", max((a.ended_at - a.at for a in attempts), default=math.inf))
    run.figure("sockets closed", closed(evidence))
    run.notes.append(f"answers meanwhile: {dict(codes)}")


def _set_read_only(database_url: str, value: str) -> None:
    """Set it for every new transaction; the old connections are ended, as in a failover."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("SET default_transaction_read_only = off")
        connection.execute(f"ALTER DATABASE proof SET default_transaction_read_only = {value}".encode())
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
