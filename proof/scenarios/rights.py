"""Rights end while sockets are open: R22 (revoked, removed), R23 (expired, wrong clocks)."""

from __future__ import annotations

import asyncio
import math
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from proof.figures import closed, percentile
from proof.history import Evidence
from proof.listener import Listener
from proof.load import Load
from proof.member import Member, Place
from proof.office import Office
from proof.scenario import KEPT, Run, at_most, exactly, scenario
from proof.stage import Stage, claims

#: How rights end, and the code that the sockets then close with.
KINDS = {"ban": 4403, "logout": 4401, "password": 4401, "remove": 4404}
#: After which a socket that is still open is given up on.
GIVE_UP_SECONDS = 15.0


@dataclass
class Person:
    """Somebody whose rights end, on three sockets."""

    place: Place
    chat: Member
    typing: Listener
    notices: Listener
    kind: str
    owner: int
    ended_at: float = math.inf

    def sockets_seconds(self) -> list[float]:
        """How long each socket that had to end stayed open; inf: it still is."""
        connection = self.chat.receiver.connections[-1]
        ends = [connection.closed_at, self.typing.closed_at]
        if self.kind != "remove":  # who was removed keeps their other conversations, and the socket for all
            ends.append(self.notices.closed_at)
        return [end - self.ended_at for end in ends]

    @property
    def is_out(self) -> bool:
        return max(self.sockets_seconds()) < math.inf


@scenario(
    "R22",
    "ban, logout, password change, removal: 100 users × 3 sockets on 2 workers; for half, Redis is down",
    KEPT,
    at_most("closed, p99", 1, "s"),
    at_most("closed, max", 2, "s"),
    at_most("closed with Redis down, max", 10, "s"),
    exactly("close codes", "4401 logout, 4401 password, 4403 ban, 4404 remove"),
    at_most("notices of a conversation after the removal from it", 0),
    short="24 users",
)
async def rights_are_taken_away(run: Run) -> None:
    victims, conversations = run.size(100, 24), run.size(10, 4)
    async with run.stage() as stage, Office(stage.workers[0].environment()) as office:
        seats = await stage.people(conversations=conversations, members=victims // conversations + 2)
        load = Load(stage, run.rng)
        speakers = await load.gather(place for places in seats for place in places[:2])
        owners = {places[0].conversation: places[0].user for places in seats}
        await stage.do(
            stage.sql,
            "UPDATE chat_participant SET role = 'owner' WHERE user_id = ANY(%s)",
            [*owners.values()],
        )
        people = await _people(load, stage, [place for places in seats for place in places[2:]], owners)
        for person in people:
            if person.kind == "password":
                await office.order("prepare", user=person.place.user)
        load.start_talking(speakers, rate=5)
        load.sent_away = {p.place.user: KINDS[p.kind] for p in people if p.kind != "remove"}
        run.rng.shuffle(people)
        half = len(people) // 2
        await _end_rights(office, people[:half])
        quick = [seconds for person in people[:half] for seconds in person.sockets_seconds()]
        async with load.fault():
            await stage.do(stage.redis.kill)
            await _end_rights(office, people[half:])
            slow = [seconds for person in people[half:] for seconds in person.sockets_seconds()]
            await stage.do(stage.redis.start)
        load.readable = await stage.readable(load.conversations)
        await load.settle()
        evidence = await run.judge(load)
        await load.leave()
        late = sum(_notices_after_removal(person, evidence) for person in people if person.kind == "remove")
        run.note_tracebacks(stage)
    run.figure("closed, p99", percentile(quick, 0.99))
    run.figure("closed, max", max(quick))
    run.figure("closed with Redis down, max", max(slow))
    codes = {f"{person.chat.receiver.connections[-1].close_code} {person.kind}" for person in people}
    run.figure("close codes", ", ".join(sorted(codes)))
    run.figure("notices of a conversation after the removal from it", late)
    run.notes.append(
        f"{len(people)} people, {len(load.readable)} removed, {len(evidence.rows)} messages meanwhile"
    )


async def _people(load: Load, stage: Stage, places: Sequence[Place], owners: dict[int, int]) -> list[Person]:
    found = []
    chats = await load.gather(places)
    for index, (place, chat) in enumerate(zip(places, chats, strict=True)):
        typing = f"/ws/typing/{place.conversation}/?v=1&token={place.token}"
        found.append(
            Person(
                place,
                chat,
                await Listener.at(stage.next_port(), typing),
                await Listener.at(stage.next_port(), f"/ws/notifications/?v=1&token={place.token}"),
                [*KINDS][index % len(KINDS)],
                owners[place.conversation],
            )
        )
    return found


async def _end_rights(office: Office, people: Sequence[Person]) -> None:
    for person in people:
        orders: dict[str, dict[str, Any]] = {
            "ban": {"user": person.place.user},
            "logout": {"token": person.place.token},
            "password": {"user": person.place.user},
            "remove": {
                "user": person.place.user,
                "conversation": person.place.conversation,
                "by": person.owner,
            },
        }
        person.ended_at = await office.order(person.kind, **orders[person.kind])
    until = asyncio.get_running_loop().time() + GIVE_UP_SECONDS
    while not all(person.is_out for person in people) and asyncio.get_running_loop().time() < until:
        await asyncio.sleep(0.05)


def _notices_after_removal(person: Person, evidence: Evidence) -> int:
    """More notices than there were messages up to the removal: while Redis is away those come late too."""
    conversation = person.place.conversation
    told = sum(
        frame["data"]["conversation_id"] == conversation
        for _, frame in person.notices.of_type("message_received")
    )
    removed_at = evidence.readable[conversation, person.place.user][-1].up_to
    allowed = sum(row.conversation == conversation and row.seq <= removed_at for row in evidence.rows)
    return max(0, told - allowed)


#: Until the tokens expire: everybody has to be connected by then.
TOKEN_SECONDS = 20


@scenario(
    "R23",
    "tokens expire on open sockets, some are refreshed in band; the wall clock of the workers jumps by ±1 h",
    KEPT,
    exactly("expired sockets closed with", 4401),
    at_most("after the expiry, max", 5, "s"),
    at_most("before the expiry", 0.05, "s"),
    exactly("refreshed sockets", "open"),
    at_most("sockets closed by the jumps", 0),
    short="10 tokens, 8 s after each jump",
)
async def tokens_expire_and_clocks_jump(run: Run) -> None:
    await _expiry(run)
    with tempfile.TemporaryDirectory() as directory:
        clock = Path(directory) / "clock"
        clock.write_text("0")
        # The tokens live shorter than the clock jumps: told by the wall clock, all of them would expire.
        env = {"PROOF_CLOCK": str(clock), "ACCESS_TOKEN_TTL": "1800"}
        program = ["-m", "proof.skewed"]
        async with run.base(program=program, env=env) as (_stage, load):
            for skew in (3600, -3600, 0):
                clock.write_text(str(skew))
                await run.calm(run.size(20, 8))
    run.figure("sockets closed by the jumps", closed(load.evidence_judged))


async def _expiry(run: Run) -> None:
    loop = asyncio.get_running_loop()
    async with run.stage(env={"ACCESS_TOKEN_TTL": str(TOKEN_SECONDS)}) as stage:
        [places] = await stage.people(conversations=1, members=run.size(40, 10))
        paths = [f"/ws/chat/{place.conversation}/?v=1&token={place.token}" for place in places]
        listeners = [await Listener.at(stage.next_port(), path) for path in paths]
        half = len(places) // 2
        async with Office({**stage.workers[0].environment(), "ACCESS_TOKEN_TTL": "3600"}) as office:
            for place, listener in zip(places[:half], listeners[:half], strict=True):
                listener.say(type="auth.refresh", token=await office.token(place.user))
        offset = loop.time() - time.time()
        expiries = [claims(place.token)["exp"] + offset for place in places[half:]]
        await asyncio.sleep(max(expiries) - loop.time() + 7)
        late = [listener.closed_at - at for listener, at in zip(listeners[half:], expiries, strict=True)]
        codes = {listener.code for listener in listeners[half:]}
        gone = [listener for listener in listeners[:half] if listener.is_gone]
        for listener in listeners:
            listener.socket.close()
    run.figure("expired sockets closed with", codes.pop() if len(codes) == 1 else str(sorted(codes)))
    run.figure("after the expiry, max", max(late))
    run.figure("before the expiry", max(0.0, -min(late)))
    run.figure("refreshed sockets", "open" if not gone else f"{len(gone)} closed")
