"""Scenarios: a row of the table of faults, its marks, and what one run of it finds."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from proof.audit import CONTRACT
from proof.figures import ack_seconds, delivery_seconds, milliseconds
from proof.guide import GuideStage
from proof.history import Evidence
from proof.load import Load, base_load
from proof.oracle import INVARIANTS, counts, judge
from proof.seats import Over
from proof.stage import Ground, Stage
from proof.verdict import Violation

#: Violations of an invariant shown in full; the rest is counted.
SHOWN = 4
#: Seconds of load before the first fault, which show what is usual.
CALM_BEFORE_SECONDS = 3.0
Target = Literal["ours", "guide"]


@dataclass(frozen=True)
class Mark:
    """A limit that a figure must keep."""

    name: str
    kind: Literal["at most", "at least", "exactly"]
    limit: Any
    unit: str = ""
    #: The limit in the short size, for a figure that depends on the size.
    short: Any = None

    def allows(self, figure: Any) -> bool:
        if isinstance(figure, str) or self.kind == "exactly":
            return bool(figure == self.limit)
        return bool(figure <= self.limit if self.kind == "at most" else figure >= self.limit)

    def __str__(self) -> str:
        relation = "" if self.kind == "exactly" else f"{self.kind} "
        return f"{self.name} {relation}{self.limit} {self.unit}".rstrip()


def at_most(name: str, limit: float, unit: str = "") -> Mark:
    return Mark(name, "at most", limit, unit)


def at_least(name: str, limit: float, unit: str = "", *, short: float | None = None) -> Mark:
    return Mark(name, "at least", limit, unit, short)


def exactly(name: str, limit: Any, unit: str = "") -> Mark:
    return Mark(name, "exactly", limit, unit)


#: The mark of every scenario that judges a history: I1 to I8, none broken.
KEPT = exactly("I1–I8", "kept")


@dataclass(frozen=True)
class Scenario:
    """One row of the table."""

    row: str
    does: str
    #: The shorter play in the short selection; empty for the whole one.
    short: str
    marks: tuple[Mark, ...]
    play: Callable[[Run], Awaitable[None]]
    in_short: bool
    targets: tuple[Target, ...]
    #: The sockets that it can be played over.
    over: tuple[Over, ...] = ("guide",)


SCENARIOS: dict[str, Scenario] = {}


def scenario(
    row: str,
    does: str,
    *marks: Mark,
    short: str = "",
    in_short: bool = True,
    targets: tuple[Target, ...] = ("ours",),
    over: tuple[Over, ...] = ("guide",),
) -> Callable[[Callable[[Run], Awaitable[None]]], Callable[[Run], Awaitable[None]]]:
    """Make a function the scenario of a row.

    `in_short`: in the selection that every change must pass. `over`: the sockets that it can be played over.
    """

    def register(play: Callable[[Run], Awaitable[None]]) -> Callable[[Run], Awaitable[None]]:
        assert row not in SCENARIOS, f"{row} is there twice"
        SCENARIOS[row] = Scenario(row, does, short, marks, play, in_short, targets, over)
        return play

    return register


@dataclass
class Run:
    """One play of a scenario: chooses sizes, keeps figures, and notes what was broken."""

    scenario: Scenario
    seed: int
    short: bool = False
    target: Target = "ours"
    over: Over = "guide"
    minutes: float | None = None
    figures: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rng = random.Random(f"{self.scenario.row} {self.seed}")
        self._broken: list[Violation] = []

    @property
    def does(self) -> str:
        """The description of this play, with its size."""
        played = f"{self.minutes:g} minutes" if self.minutes is not None else self.scenario.short
        is_smaller = played and (self.short or self.minutes is not None)
        does = f"over `/ws/`: {self.scenario.does}" if self.over == "native" else self.scenario.does
        return f"{does} (played: {played})" if is_smaller else does

    @property
    def marks(self) -> list[Mark]:
        """The marks of this play, with its size."""
        return [
            mark if not self.short or mark.short is None else replace(mark, limit=mark.short)
            for mark in self.scenario.marks
        ]

    # --- what a scenario asks for -----------------------------------------------------------------------

    def size(self, full: int, short: int) -> int:
        """A number of the row in this play's size."""
        return short if self.short else full

    def stage(self, **options: Any) -> Stage:
        """Two workers, with what they need."""
        kind = GuideStage if self.target == "guide" else Stage
        return kind(self.rng, over=self.over, **options)  # type: ignore[return-value]  # the guide's has as much as its rows need

    def base_load(self, stage: Ground, **options: Any) -> contextlib.AbstractAsyncContextManager[Load]:
        return base_load(stage, self.rng, **options)

    @contextlib.asynccontextmanager
    async def base(self, **options: Any) -> AsyncIterator[tuple[Stage, Load]]:
        """The base load on two workers; it is judged at the end of the block."""
        async with self.stage(**options) as stage:
            async with self.base_load(stage) as load:
                await self.calm(CALM_BEFORE_SECONDS)
                yield stage, load
            await self.judge(load)
            self.note_tracebacks(stage)

    async def calm(self, seconds: float) -> None:
        """Let the load go on for a while, without a fault."""
        await asyncio.sleep(seconds)

    async def judge(self, load: Load) -> Evidence:
        """Judge I1 to I8 by the evidence of a load."""
        load.judged = evidence = await load.evidence()
        found = judge(evidence)
        if load.audit is not None:
            found += load.audit.violations()
        self._broken += found
        self.figures[KEPT.name] = "kept" if not self._broken else f"broken: {counts(self._broken)}"
        heard = sum(len(c.frames) for r in evidence.receivers for c in r.connections)
        acks, delays = ack_seconds(evidence.sends), list(delivery_seconds(evidence))
        self.notes.append(
            f"{len(evidence.sends):,} sends, {len(evidence.rows):,} rows, {heard:,} deliveries; "
            f"acks p50 {milliseconds(acks, 0.5)}, p99 {milliseconds(acks, 0.99)}, "
            f"deliveries p50 {milliseconds(delays, 0.5)}, p99 {milliseconds(delays, 0.99)} ms, "
            "faults included; "
            f"the clients used {load.busy:.0%} of a core"
        )
        if found and self.over == "native":
            seats = load.seats_on_pages
            on_pages = sum(violation.seat in seats for violation in found)
            self.notes.append(f"{on_pages:,} of {len(found):,} violations on the native socket")
        for invariant in (*INVARIANTS, CONTRACT):
            those = [str(violation) for violation in self._broken if violation.invariant == invariant]
            self.notes += those[:SHOWN]
            if len(those) > SHOWN:
                self.notes.append(f"{invariant}: … and {len(those) - SHOWN} more")
        return evidence

    def note_tracebacks(self, stage: Ground) -> None:
        if found := stage.tracebacks():
            self.notes.append(f"{len(found)} tracebacks in the workers' logs; the last: {found[-1]}")

    def figure(self, name: str, value: Any) -> None:
        """Note the figure of a mark; of several values, the worst counts."""
        mark = next(mark for mark in self.marks if mark.name == name)
        found = [self.figures.get(name, value), value]
        # A value that is not allowed wins first, because comparisons with nan are always False.
        found = [figure for figure in found if not mark.allows(figure)] or found
        worst: Callable[[list[Any]], Any] = max if mark.kind == "at most" else min
        self.figures[name] = found[0] if mark.kind == "exactly" else worst(found)

    # --- what came out ----------------------------------------------------------------------------------

    def failures(self) -> list[str]:
        """The marks that were not reached, or not measured."""
        found = []
        for mark in self.marks:
            if mark.name not in self.figures:
                found.append(f"{mark}: not measured")
            elif not mark.allows(self.figures[mark.name]):
                found.append(f"{mark}: {said(self.figures[mark.name], mark.unit)}")
        return found


def said(figure: Any, unit: str = "") -> str:
    """A figure as text."""
    if isinstance(figure, str):
        return figure
    text = f"{figure:.3g}" if isinstance(figure, float) and abs(figure) < 1000 else f"{figure:.0f}"
    return f"{text} {unit}".rstrip()
