"""R22 and R23: rights end while sockets are open: revoked or removed; expired, with wrong clocks."""

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
from proof.pages import Page, Subscriber
from proof.scenario import KEPT, Run, at_most, exactly, scenario
from proof.seats import BOTH, NATIVE
from proof.stage import Stage, claims

#: The ways in which rights end, each with the close code that follows.
KINDS = {"ban": 4403, "logout": 4401, "password": 4401, "remove": 4404}
#: Seconds after which a socket that is still open is given up on.
GIVE_UP_SECONDS = 15.0


@dataclass
class Person:
    """A user whose rights end, with three sockets."""

    place: Place
    chat: Member
    kind: str
    owner: int
    #: The sockets for typing in the conversation, and for the user's notifications.
    beside: tuple[Listener, ...] = ()
    ended_at: float = math.inf

    def sockets_seconds(self) -> list[float]:
        """How long each socket that had to close stayed open; inf if it still is."""
        return [end - self.ended_at for end in [_closed_at(self.chat), *self._ends_beside()]]

    def _ends_beside(self) -> list[float]:
        typing, notices = self.beside
        if self.kind == "remove":  # a removed member keeps other conversations, and the notifications socket
            return [typing.closed_at]
        return [typing.closed_at, notices.closed_at]

    @property
    def is_out(self) -> bool:
        return max(self.sockets_seconds()) < math.inf

    @property
    def has_lost_the_others(self) -> bool:
        """Whether what other conversations brought ended too."""
        return self.beside[-1].is_gone

    def noticed(self, conversation: int) -> int:
        """The number of notices of messages in a conversation."""
        told = self.beside[-1].of_type("message_received")
        return sum(frame["data"]["conversation_id"] == conversation for _, frame in told)


class PersonOnPage(Person):
    """A user whose rights end, with one socket for everything."""

    @property
    def page(self) -> Page:
        assert isinstance(self.chat, Subscriber)
        return self.chat.page

    def _ends_beside(self) -> list[float]:
        return [] if self.kind == "remove" else [_closed_at(member) for member in self.page.members.values()]

    @property
    def has_lost_the_others(self) -> bool:
        others = (member for member in self.page.members.values() if member is not self.chat)
        return any(_closed_at(member) < math.inf for member in others)

    def noticed(self, conversation: int) -> int:
        return sum(each == conversation for _, each in self.page.notices)


def _closed_at(member: Member) -> float:
    return member.receiver.connections[-1].closed_at


@scenario(
    "R22",
    "ban, logout, password change, removal: 100 users × 3 sockets on 2 workers; for half, Redis is down",
    KEPT,
    at_most("closed, p99", 1, "s"),
    at_most("closed, max", 2, "s"),
    at_most("closed with Redis down, max", 10, "s"),
    exactly("close codes", "4401 logout, 4401 password, 4403 ban, 4404 remove"),
    at_most("notices of a conversation after the removal from it", 0),
    at_most("sockets for other conversations that a removal closed", 0),
    short="24 users",
    over=BOTH,
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
        removed = [person for person in people if person.kind == "remove"]
        lost = sum(person.has_lost_the_others for person in removed)
        await load.leave()
        late = sum(_notices_after_removal(person, evidence) for person in removed)
        run.note_tracebacks(stage)
    run.figure("closed, p99", percentile(quick, 0.99))
    run.figure("closed, max", max(quick))
    run.figure("closed with Redis down, max", max(slow))
    codes = {f"{person.chat.receiver.connections[-1].close_code} {person.kind}" for person in people}
    run.figure("close codes", ", ".join(sorted(codes)))
    run.figure("notices of a conversation after the removal from it", late)
    run.figure("sockets for other conversations that a removal closed", lost)
    run.notes.append(
        f"{len(people)} people, {len(load.readable)} removed, {len(evidence.rows)} messages meanwhile"
    )


async def _people(load: Load, stage: Stage, places: Sequence[Place], owners: dict[int, int]) -> list[Person]:
    found: list[Person] = []
    for place in places:
        if place.how in NATIVE:
            load.page(place).with_inbox = True
    chats = await load.gather(places)
    for index, (place, chat) in enumerate(zip(places, chats, strict=True)):
        kind, owner = [*KINDS][index % len(KINDS)], owners[place.conversation]
        if isinstance(chat, Subscriber):
            found.append(PersonOnPage(place, chat, kind, owner))
            continue
        query = f"?v=1&token={place.token}"
        paths = f"/ws/typing/{place.conversation}/{query}", f"/ws/notifications/{query}"
        beside = [await Listener.at(stage.next_port(), path) for path in paths]
        found.append(Person(place, chat, kind, owner, tuple(beside)))
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
    """Notices beyond the messages up to the removal: while Redis is away, notices come late too."""
    conversation = person.place.conversation
    removed_at = evidence.readable[conversation, person.place.user][-1].up_to
    allowed = sum(row.conversation == conversation and row.seq <= removed_at for row in evidence.rows)
    return max(0, person.noticed(conversation) - allowed)


#: Seconds until the tokens expire: by then all members must be connected.
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
    over=BOTH,
)
async def tokens_expire_and_clocks_jump(run: Run) -> None:
    await _expiry(run)
    with tempfile.TemporaryDirectory() as directory:
        clock = Path(directory) / "clock"
        clock.write_text("0")
        # Tokens live shorter than the clock jumps: by the wall clock, all of them would expire.
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
        listeners = [await _listener(stage, place) for place in places]
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


async def _listener(stage: Stage, place: Place) -> Listener:
    """A native socket that is live in all conversations of the user."""
    if place.how not in NATIVE:
        path = f"/ws/chat/{place.conversation}/?v=1&token={place.token}"
        return await Listener.at(stage.next_port(), path)
    topics = (
        ["mine"]
        if place.how == "mine"
        else [f"conversation.{c}" for c in (place.conversation, *place.beside)]
    )
    says_token_first = place.user % 2
    listener = await Listener.at(
        stage.next_port(), "/ws/" if says_token_first else f"/ws/?token={place.token}"
    )
    if says_token_first:
        listener.say(type="auth", token=place.token)
    for topic in topics:
        listener.say(type="subscribe", topic=topic)
    await listener.until(lambda: len(listener.of_type("subscribed")) == len(topics), seconds=30)
    return listener
