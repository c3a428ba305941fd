"""A load: members who talk while things break, and the evidence that they leave."""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

from proof.audit import Audit
from proof.dialects import Guide, Ours
from proof.guide import GuideStage, named, ranked
from proof.history import Evidence, Interval, Row, Seat, Window
from proof.member import Member, Place, text
from proof.oracle import QUIET_SECONDS
from proof.pages import Page, Subscriber
from proof.returning import Returning
from proof.seats import NATIVE, TWENTY
from proof.stage import Ground, Stage

#: Seconds until everybody has connected.
START_SECONDS = 60.0
#: Seconds after the last message until all members have everything; longer than I6 allows, so that a loss
#: shows.
SETTLE_SECONDS = 2 * QUIET_SECONDS + 2.0
LONGEST_SETTLE_SECONDS = 90.0


class Load:
    """Members of conversations, some of whom speak; scenarios note their faults here."""

    def __init__(self, stage: Ground, rng: random.Random, *, kind: type[Member] = Member) -> None:
        self.stage, self.rng, self._kind = stage, rng, kind
        self.members: list[Member] = []
        #: The native sockets, by user and by what each subscribes to.
        self.pages: dict[tuple[int, str], Page] = {}
        self.faults: list[Window] = []
        self.readable: Mapping[Seat, Sequence[Interval]] = {}
        #: The users whose sockets a scenario closes on purpose, with the expected code.
        self.sent_away: dict[int, int] = {}
        #: The newest seqs after settling.
        self.heads: Mapping[int, int] = {}
        self.ended_at = 0.0
        #: The share of a core that this process has used for the load.
        self.busy = 0.0
        self._cpu = time.process_time()
        #: The evidence, once it was judged.
        self.judged: Evidence | None = None
        #: Compares the members' frames with the contract, if the server publishes one.
        self.audit: Audit | None = None
        self._is_guide = isinstance(stage, GuideStage)
        self._speaking: list[asyncio.Task[None]] = []
        self._loop = asyncio.get_running_loop()
        self.started_at = self._loop.time()

    # --- people -----------------------------------------------------------------------------------------

    def member(self, place: Place, *, name: str = "") -> Member:
        """Add a member, not connected yet; on a page with a member of that conversation, under a name."""
        if place.how in NATIVE:
            return self._on_page(place, name)
        is_guide = self._is_guide or place.how == "guide"
        member = self._kind(
            place,
            port=self.stage.next_port,
            rng=self._rng(),
            dialect=Guide if is_guide else Ours,
            resumes=not is_guide,
        )
        # The guide's own server is judged by what it ought to do.
        member.receiver.resumes = self._is_guide or not is_guide
        member.audit = self.audit
        self.members.append(member)
        return member

    def page(self, place: Place) -> Page:
        """The native socket of a user, shared by the user's members."""
        key = place.user, place.how
        if key not in self.pages:
            rng = self._rng()
            is_first = rng.random() < 0.5
            self.pages[key] = Page(place, port=self.stage.next_port, rng=rng, says_token_first=is_first)
            self.pages[key].audit = self.audit
        return self.pages[key]

    def _on_page(self, place: Place, name: str) -> Subscriber:
        page = self.page(place)
        beside = () if page.members else place.beside
        member = Subscriber(page, place, rng=self._rng(), name=name)
        quiet = [Subscriber(page, place._replace(conversation=c), rng=self._rng()) for c in beside]
        for each in (member, *quiet):
            page.expect(each)
        self.members += [member, *quiet]
        return member

    def _rng(self) -> random.Random:
        return random.Random(self.rng.getrandbits(64))

    @property
    def sockets(self) -> list[Returning]:
        """All sockets: those of members, and those of pages."""
        own = [member for member in self.members if not isinstance(member, Subscriber)]
        return [*own, *self.pages.values()]

    async def gather(self, places: Iterable[Place], *, at_once: int = 100) -> list[Member]:
        """Connect these members and wait until they are live; a limited number of handshakes at a time."""
        if self.audit is None and not self._is_guide:
            self.audit = await self.stage.do(Audit.of, self.stage.workers[0].port)
        places = list(places)
        members = [self.member(place) for place in places]
        async with asyncio.timeout(START_SECONDS + len(members) / 50):
            for start in range(0, len(members), at_once):
                for member in members[start : start + at_once]:
                    member.come()
                for member in members[start : start + at_once]:
                    await member.here()
            for page in {self.page(place) for place in places if place.how in NATIVE}:
                await page.here()  # the page's quiet conversations too
        return members

    def start_talking(self, speakers: Iterable[Member], *, rate: float, size: int = 0) -> None:
        """Each speaker sends so many messages a second, at random times of its own."""
        self._speaking += [self._loop.create_task(self._talk(speaker, rate, size)) for speaker in speakers]

    async def _talk(self, speaker: Member, rate: float, size: int) -> None:
        at = self._loop.time() + self.rng.random() / rate
        while True:
            await asyncio.sleep(max(0.0, at - self._loop.time()))
            speaker.say(text(speaker.receiver.user, len(speaker.sends), size))
            at += 1 / rate

    async def stop_talking(self) -> None:
        for task in self._speaking:
            task.cancel()
        if self._speaking:
            await asyncio.wait(self._speaking)
        self._speaking.clear()

    async def leave(self) -> None:
        """Disconnect all members."""
        await self.stop_talking()
        for member in self.members:
            await member.leave()

    @property
    def seats_on_pages(self) -> set[Seat]:
        """The seats of members on native sockets."""
        return {member.receiver.seat for member in self.members if isinstance(member, Subscriber)}

    # --- faults -----------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def fault(self) -> AsyncIterator[None]:
        """Note a fault; it is healed at the end of the block, from which lateness is counted."""
        start = self._loop.time()
        try:
            yield
        finally:
            self.faults.append(Window(start, self._loop.time()))

    # --- the end ----------------------------------------------------------------------------------------

    async def settle(self, *, seconds: float = SETTLE_SECONDS) -> None:
        """Stop speaking, and wait until every message is answered and with every member.

        A slow server that makes progress is waited for: other marks show that it was slow.
        """
        await self.stop_talking()
        began = moved = self._loop.time()
        unanswered = math.inf
        while self._loop.time() < min(moved + seconds, began + LONGEST_SETTLE_SECONDS):
            await asyncio.sleep(0.1)
            before, unanswered = unanswered, sum(member.unanswered for member in self.members)
            if unanswered < before:
                moved = self._loop.time()
            if any(not m.is_finished and (m.unanswered or not m.is_here) for m in self.members):
                continue
            if await self._is_whole():
                break
        else:
            await self._is_whole()  # time for what is missing to show
        if self._is_guide:
            await asyncio.sleep(min(seconds, QUIET_SECONDS + 1))
        self.ended_at = self._loop.time()
        self.busy = (time.process_time() - self._cpu) / (self.ended_at - self.started_at)

    @property
    def evidence_judged(self) -> Evidence:
        assert self.judged is not None, "only after the load has ended"
        return self.judged

    @property
    def conversations(self) -> list[int]:
        """The conversations of its members."""
        return sorted({member.receiver.conversation for member in self.members})

    async def _is_whole(self) -> bool:
        if not isinstance(self.stage, Stage):
            return True  # the guide's server has no seqs to compare
        self.heads = await self.stage.heads(self.conversations)
        return all(m.is_finished or self._has_everything(m) for m in self.members)

    def _has_everything(self, member: Member) -> bool:
        if member.resumes:
            return member.position >= self.heads.get(member.receiver.conversation, 0)
        # A page of the guide has as much as the others, if it got any message since it connected.
        there = [m for m in self.members if m.receiver.conversation == member.receiver.conversation]
        was_told = member.receiver.connections and member.receiver.connections[-1].frames
        return not was_told or member.newest >= max(m.newest for m in there)

    async def evidence(self) -> Evidence:
        """The evidence with the rows of the tables; for the guide's server, by rank."""
        sends = [send for member in self.members for send in member.sends]
        rows = await self.stage.rows(self.conversations)
        if not self._is_guide:
            rows = named(rows, sends)
            self._note_what_guides_are_told(rows)
        evidence = Evidence(
            sends=sends,
            receivers=[member.receiver for member in self.members],
            rows=rows,
            readable=self.readable,
            edits=self._edits(),
            heads=self.heads,
            sent_away=self.sent_away,
            faults=list(self.faults),
            ended_at=self.ended_at,
        )
        return ranked(evidence) if self._is_guide else evidence

    def _note_what_guides_are_told(self, rows: Sequence[Row]) -> None:
        """Note the seqs that guide pages get: messages, but none deleted since, which may be tombstones."""
        told: dict[int, set[int]] = defaultdict(set)
        for row in rows:
            if row.content:
                told[row.conversation].add(row.seq)
        for member in self.members:
            if not member.receiver.resumes:
                member.receiver.told_only = told[member.receiver.conversation]

    def _edits(self) -> dict[int, set[str]]:
        found: dict[int, set[str]] = defaultdict(set)
        for member in self.members:
            for message_id, content in member.edits:
                found[message_id].add(content)
        return found


@contextlib.asynccontextmanager
async def base_load(
    stage: Ground,
    rng: random.Random,
    *,
    conversations: int = 20,
    members: int = 10,
    speakers: int = 50,
    rate: float = 4.0,
) -> AsyncIterator[Load]:
    """The base load: 20 conversations × 10 members; 50 send 4 messages a second each, on all workers."""
    load = Load(stage, rng)
    tables = await stage.people(conversations=conversations, members=members, together=TWENTY)
    everyone = await load.gather(place for seats in zip(*tables, strict=True) for place in seats)
    load.start_talking(everyone[:speakers], rate=rate)
    try:
        yield load
        if not load.ended_at:
            await load.settle()
    finally:
        await load.leave()
