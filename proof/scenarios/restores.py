"""R31: an older backup takes the place of the database."""

from __future__ import annotations

import asyncio
import http.client
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
from psycopg import sql

from proof.history import Ack, Connection, Receiver, Send
from proof.load import Load
from proof.member import Member
from proof.office import Office
from proof.scenario import KEPT, Run, at_most, exactly, scenario
from proof.stage import Stage
from proof.tables import sqlite_file

#: Seconds until all members have left, or are back.
GIVE_UP_SECONDS = 60.0
#: Messages of the new past, beyond those needed to reach the seqs of the old one.
BEYOND = 3
#: Messages sent without sockets, in one transaction.
SAID_TOGETHER = 64


@scenario(
    "R31",
    "everything killed (-9) under base load, an older backup restored, as much said as was lost, everything "
    "started; on PostgreSQL and on SQLite",
    KEPT,
    exactly("lost seqs that were given again", "all"),
    at_most("positions of the old past that were not answered resync", 0),
    at_most("messages of the new past that somebody misses", 0),
    short="8 s of load before each backup and restore",
)
async def another_past(run: Run) -> None:
    for on_sqlite in (False, True):
        # SQLite has one writer: with the whole load, two processes would mostly wait for each other.
        speakers, rate = (20, 2.0) if on_sqlite else (50, 4.0)
        async with run.stage(on_sqlite=on_sqlite) as stage:
            async with run.base_load(stage, speakers=speakers, rate=rate) as load:
                kept = await _play(run, stage, load, speakers, rate)
            evidence = await run.judge(load)
            run.note_tracebacks(stage)
            history = {c: await stage.do(_history, stage, load, c) for c in load.conversations}
        stored = {c: {row.message_id for row in evidence.rows if row.conversation == c} for c in history}
        missed = 0
        for receiver in evidence.receivers:
            known = _known(receiver, history[receiver.conversation], kept.get(receiver.conversation, 0))
            missed += len(stored[receiver.conversation] - known)
        run.figure("messages of the new past that somebody misses", missed)


async def _play(run: Run, stage: Stage, load: Load, speakers: int, rate: float) -> dict[int, int]:
    """One play from start to end; returns the conversations' heads in the backup."""
    await run.calm(run.size(30, 8))
    async with load.fault():
        await _all_killed(stage, load)
        backup = await stage.do(_back_up, stage.database_url)
        heads_kept = await stage.heads(load.conversations)
        await asyncio.gather(*(stage.do(worker.start) for worker in stage.workers))
    await _all_here(load)
    load.start_talking(load.members[:speakers], rate=rate)
    await run.calm(run.size(30, 8))
    for conversation in load.conversations:  # each of them loses something
        await _heard_by_all(load, conversation)
    async with load.fault():
        await _all_killed(stage, load)
        heads_lost = await stage.heads(load.conversations)
        await stage.do(_restore, stage.database_url, backup)
        asked = {member: member.position for member in load.members}
        await _begin_anew(stage, load)
        await _say_what_was_lost(stage, load, heads_lost)
        heads_new = await stage.heads(load.conversations)
        await asyncio.gather(*(stage.do(worker.start) for worker in stage.workers))
    await _all_here(load)
    load.start_talking(load.members[:speakers], rate=rate)
    await run.calm(run.size(30, 8))

    lost = {m: seq for m, seq in asked.items() if seq > heads_kept.get(m.receiver.conversation, 0)}
    again = all(heads_new[c] > heads_lost[c] > heads_kept.get(c, 0) for c in load.conversations)
    run.figure("lost seqs that were given again", "all" if again and len(lost) == len(asked) else "not all")
    wrong = [member for member in lost if not _was_told(member.receiver)]
    run.figure("positions of the old past that were not answered resync", len(wrong))
    database = "SQLite" if stage.on_sqlite else "PostgreSQL"
    gone = sum(heads_lost[c] - heads_kept.get(c, 0) for c in load.conversations)
    run.notes.append(
        f"{database}: {gone:,} messages lost with the backup, {len(lost)} clients came back with "
        f"positions of theirs; {len(lost) - len(wrong)} were answered resync, {len(wrong)} otherwise"
    )
    return heads_kept


# ── the course ───────────────────────────────────────────────────────────────────────────────────────────


async def _all_killed(stage: Stage, load: Load) -> None:
    """Kill all workers while members send, and let them send nothing more without a server."""
    await asyncio.gather(*(stage.do(worker.kill) for worker in stage.workers))
    await load.stop_talking()
    async with asyncio.timeout(GIVE_UP_SECONDS):
        while any(member.is_here or member.socket is not None for member in load.members):
            await asyncio.sleep(0.01)


async def _all_here(load: Load) -> None:
    async with asyncio.timeout(GIVE_UP_SECONDS):
        for member in load.members:
            await member.here()


async def _heard_by_all(load: Load, conversation: int) -> None:
    """Send a message, and wait until all members of the conversation have received it."""
    members = [member for member in load.members if member.receiver.conversation == conversation]
    send = load.rng.choice(members).say()
    async with asyncio.timeout(GIVE_UP_SECONDS):
        while not send.acks or any(member.position < send.acks[0].seq for member in members):
            await asyncio.sleep(0.01)


async def _begin_anew(stage: Stage, load: Load) -> None:
    """Judge only the new past from here on: the backup's rows, and what is sent from now on."""
    kept = {row.client_id for row in await stage.rows(load.conversations)}
    for member in load.members:
        member.begin_anew([send for send in member.sends if not send.acks or send.client_id in kept])


async def _say_what_was_lost(stage: Stage, load: Load, up_to: dict[int, int]) -> None:
    """Have a program without sockets send messages, until the lost seqs have been given again."""
    first: dict[int, Member] = {}
    for member in load.members:
        first.setdefault(member.receiver.conversation, member)
    now = asyncio.get_running_loop().time
    async with Office({**stage.workers[0].environment(), "DATABASE_URL": stage.database_url}) as office:
        for conversation, member in first.items():
            seq = 0
            while seq < up_to[conversation] + BEYOND:
                sends = [_new_send(member, now()) for _ in range(SAID_TOGETHER)]
                contents = {send.client_id: send.content for send in sends}
                stored = await office.say(member.receiver.user, conversation, contents)
                for send, (message_id, seq) in zip(sends, stored, strict=True):
                    send.acks.append(Ack(now(), message_id, seq))
                member.sends += sends


def _new_send(member: Member, now: float) -> Send:
    name, place = str(uuid4()), member.receiver
    return Send(place.conversation, place.user, name, f"{place.user}.new {name}", now)


# ── what they know in the end ────────────────────────────────────────────────────────────────────────────


def _was_told(receiver: Receiver) -> bool:
    """Whether the first answer to its old position was `resync`, before any event."""
    answer = _answer(receiver)
    if answer is None or not answer.resync:
        return False
    return all(heard.seq > (answer.subscribed_seq or 0) for heard in answer.frames)


def _answer(receiver: Receiver) -> Connection | None:
    """The first connection on which it became live."""
    return next((each for each in receiver.connections if each.subscribed_seq is not None), None)


def _known(receiver: Receiver, history: dict[int, int], kept: int) -> set[int]:
    """The messages that it has: those it received, and those of the history if it was sent to load it.

    If it was not sent there, it has what is older than the backup, and messages that were lost.
    """
    told = {heard.message_id for heard in receiver.frames() if heard.kind == "message"}
    answer = _answer(receiver)
    up_to = answer.subscribed_seq or 0 if answer is not None and answer.resync else kept
    return told | {message_id for message_id, seq in history.items() if seq <= up_to}


def _history(stage: Stage, load: Load, conversation: int) -> dict[int, int]:
    """All messages that the history shows to a member, with their seqs."""
    member = next(m for m in load.members if m.receiver.conversation == conversation)
    return {
        row["message_id"]: row["seq"]
        for page in _pages(
            stage.workers[-1].port, member.token, f"/api/conversations/{conversation}/messages/"
        )
        for row in page
    }


def _pages(port: int, token: str, path: str) -> Iterator[list[dict[str, Any]]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        query = "?limit=200"
        while True:
            connection.request("GET", path + query, headers={"Authorization": f"Bearer {token}"})
            answer = connection.getresponse()
            page = json.loads(answer.read())
            yield page["results"]
            if not page["has_more"]:
                return
            query = f"?limit=200&before={page['results'][-1]['seq']}"
    finally:
        connection.close()


# ── the databases ────────────────────────────────────────────────────────────────────────────────────────


def _back_up(database_url: str) -> str:
    """Copy a database that nobody uses; returns the copy's name."""
    if (file := sqlite_file(database_url)) is not None:
        copy = file.with_suffix(".backup")
        _copy_sqlite(file, copy)
        return str(copy)
    _copy_postgres(database_url, "proof", "backup")
    return "backup"


def _restore(database_url: str, backup: str) -> None:
    if (file := sqlite_file(database_url)) is not None:
        for part in (file, *(Path(f"{file}{end}") for end in ("-wal", "-shm"))):
            part.unlink(missing_ok=True)
        _copy_sqlite(Path(backup), file)
        return
    with psycopg.connect(_maintenance(database_url), autocommit=True) as connection:
        connection.execute("DROP DATABASE proof WITH (FORCE)")
    _copy_postgres(database_url, backup, "proof")


def _copy_sqlite(source: Path, target: Path) -> None:
    one, other = sqlite3.connect(source), sqlite3.connect(target)
    try:
        one.backup(other)
    finally:
        other.close()
        one.close()


def _copy_postgres(database_url: str, source: str, target: str) -> None:
    with psycopg.connect(_maintenance(database_url), autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [source]
        )
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(target), sql.Identifier(source))
        )


def _maintenance(database_url: str) -> str:
    return f"{database_url.rpartition('/')[0]}/postgres"
