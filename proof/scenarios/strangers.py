"""R32: people without a token ask for all that they can get."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import sys
import tempfile
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

from bench.machine import ROOT, forget_peak, peak_memory
from proof.figures import ack_seconds, closed, percentile
from proof.history import Window
from proof.office import Office
from proof.operator import OLD
from proof.scenario import KEPT, Run, at_most, scenario
from proof.scenarios.abuse import AS_SHIPPED
from proof.stage import Stage

#: One address, then as many as a small botnet has.
ONE = ["127.0.0.66"]
MANY = [f"127.0.1.{number}" for number in range(1, 201)]
#: The address from which a member signs in meanwhile, again and again.
AT_HOME = "127.0.0.77"
SIGN_IN_EVERY_SECONDS = 3.0
#: Seconds after which a sign-in has failed its mark and is given up.
SIGN_IN_PATIENCE_SECONDS = 30.0
#: Acks of the members may take twice as long as before, or this long.
ACK_SECONDS = 0.15
#: Seconds until all that strangers left behind must be gone.
AFTER_SECONDS = 30.0
#: Descriptors that come and go by themselves: connections to the database, a scrape.
SPARE_DESCRIPTORS = 10


@scenario(
    "R32",
    "strangers for 60 s from one address and 60 s from 200: sign-ins and registrations with unknown names, "
    "2 GB bodies with and without length, dripping heads and bodies, 200,000 headers, documents with random "
    "queries, silent connections, sockets of /ws/ that do not say who they are, say it wrong or talk all the "
    "same, all at once",
    KEPT,
    at_most("ack p99 of the members", 1, "× the greater of twice as before and 150 ms"),
    at_most("sockets of members closed", 0),
    at_most("a member's sign-in from another address, max", 10, "s"),
    at_most("peak memory of a worker (VmHWM)", 300, "MB more"),
    at_most("descriptors left after 30 s", SPARE_DESCRIPTORS),
    at_most("temporary files left", 0),
    short="15 s each",
    in_short=False,
)
async def strangers_come(run: Run) -> None:
    loop = asyncio.get_running_loop()
    seconds = run.size(60, 15)
    storms: dict[str, Window] = {}
    with tempfile.TemporaryDirectory(prefix="relais-strangers-") as directory:
        async with run.base(env=AS_SHIPPED | {"TMPDIR": directory}) as (stage, load):
            name = await _member_with_password(stage, load.members[0].receiver.user)
            await run.calm(2)
            await _sign_in(stage, name)  # a process allocates something when it first hashes
            calm = Window(loop.time(), loop.time() + 10)
            await run.calm(10)
            before, descriptors = _forget_peaks(stage), stage.descriptors()
            for who, addresses in (("one address", ONE), ("200 addresses", MANY)):
                start = loop.time()
                async with _signing_in(run, stage, name):
                    answers = await _storm(run, stage, addresses, seconds)
                storms[who] = Window(start, loop.time())
                run.notes.append(f"{who}: {_said(answers)}")
            run.figure("peak memory of a worker (VmHWM)", _peak_since(stage, before))
            left = await _descriptors_left(stage, descriptors)
            run.figure("descriptors left after 30 s", left)
            run.figure("temporary files left", _temporary_files(stage, Path(directory)))
    evidence = load.evidence_judged
    usual = percentile(ack_seconds(evidence.sends, [calm]), 0.99)
    for who, storm in storms.items():
        p99 = percentile(ack_seconds(evidence.sends, [storm]), 0.99)
        run.figure("ack p99 of the members", p99 / max(2 * usual, ACK_SECONDS))
        run.notes.append(f"ack p99 of the members {usual * 1000:.0f} ms before, {p99 * 1000:.0f} ms ({who})")
    run.figure("sockets of members closed", closed(evidence))


async def _storm(run: Run, stage: Stage, addresses: list[str], seconds: float) -> dict[str, dict[str, int]]:
    order = {
        "ports": [worker.port for worker in stage.workers],
        "addresses": addresses,
        "seconds": seconds,
        "seed": run.rng.getrandbits(32),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "proof.strangers", json.dumps(order), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    try:
        told, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    answers: dict[str, dict[str, int]] = json.loads(told)
    return answers


def _said(answers: dict[str, dict[str, int]]) -> str:
    return "; ".join(
        f"{visit} " + ", ".join(f"{count} × {answer}" for answer, count in sorted(counts.items()))
        for visit, counts in answers.items()
    )


# --- a member who comes meanwhile -------------------------------------------------------------------------


async def _member_with_password(stage: Stage, user: int) -> str:
    async with Office(stage.workers[0].environment()) as office:
        await office.order("prepare", user=user)
    [(name,)] = await stage.do(stage.sql, "SELECT username FROM accounts_user WHERE id = %s", user)
    return str(name)


@contextlib.asynccontextmanager
async def _signing_in(run: Run, stage: Stage, name: str) -> AsyncIterator[None]:
    """Sign in again and again, on each worker in turn; the longest time is a figure."""

    async def again_and_again() -> None:
        while True:
            await asyncio.sleep(SIGN_IN_EVERY_SECONDS)
            run.figure("a member's sign-in from another address, max", await _sign_in(stage, name))

    task = asyncio.create_task(again_and_again())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error


async def _sign_in(stage: Stage, name: str) -> float:
    """Sign in; returns the seconds until it succeeded. A refusal with a time is repeated after that."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    port = stage.next_port()
    while loop.time() < started + SIGN_IN_PATIENCE_SECONDS:
        status, retry_after = await _ask_for_token(port, name)
        if status == 200:
            return loop.time() - started
        await asyncio.sleep(retry_after or 0.5)
    return math.inf


async def _ask_for_token(port: int, name: str) -> tuple[int, float]:
    """Ask for a token; returns the status, 0 without an answer, and the seconds to wait."""
    body = json.dumps({"username": name, "password": OLD})
    head = [
        "POST /api/token/ HTTP/1.1",
        "Host: 127.0.0.1",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        "Connection: close",
    ]
    try:
        async with asyncio.timeout(SIGN_IN_PATIENCE_SECONDS):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(AT_HOME, 0))
            try:
                writer.write("\r\n".join([*head, "", body]).encode())
                answer = (await reader.read()).decode("latin1")
            finally:
                writer.close()
    except OSError:  # TimeoutError is one too
        return 0, 0.0
    lines = answer.partition("\r\n\r\n")[0].lower().split("\r\n")
    later = [float(line.partition(":")[2]) for line in lines if line.startswith("retry-after:")]
    words = lines[0].split()
    return int(words[1]) if len(words) > 1 else 0, max(later, default=0.0)


# --- what they leave behind -------------------------------------------------------------------------------


def _forget_peaks(stage: Stage) -> list[float]:
    """Start the peak memory of each worker again; returns the present memory of each."""
    for worker in stage.workers:
        forget_peak(worker.pid)
    return [peak_memory(worker.pid) for worker in stage.workers]


def _peak_since(stage: Stage, before: Iterable[float]) -> float:
    """MB that the peak memory of a worker has grown by, of the one that grew most."""
    grown = [peak_memory(worker.pid) - was for worker, was in zip(stage.workers, before, strict=True)]
    return max(grown) / 2**20


async def _descriptors_left(stage: Stage, before: int) -> int:
    loop = asyncio.get_running_loop()
    until = loop.time() + AFTER_SECONDS
    while (left := stage.descriptors() - before) > SPARE_DESCRIPTORS and loop.time() < until:
        await asyncio.sleep(0.25)
    return max(0, left)


def _temporary_files(stage: Stage, directory: Path) -> int:
    """The number of temporary files: with a name, or held only by a descriptor."""
    held = [
        link
        for worker in stage.workers
        for link in Path(f"/proc/{worker.pid}/fd").iterdir()
        if _target(link).startswith(str(directory))
    ]
    return len(list(directory.rglob("*"))) + len(held)


def _target(link: Path) -> str:
    with contextlib.suppress(OSError):  # closed meanwhile
        return str(link.readlink())
    return ""
