"""The phase in which the generator speaks: `closed` (each speaker waits for its echo) or `open` (a fixed
rate).

The measured window follows a warm-up. Every message of every socket is counted, outside the window too, so
that "nothing lost, nothing doubled" holds for all messages sent.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Any, Literal

from bench.hearing import Hearing
from bench.latencies import Latencies
from bench.speech import Style, command, marker

if TYPE_CHECKING:
    from bench.client import Client
    from bench.generator import Generator

#: Seconds after which a speaker goes on without its echo, so that a server that loses some is measured too.
ECHO_PATIENCE_NS = 5_000_000_000
#: Seconds of silence after which everything has arrived.
QUIET_NS = 500_000_000
#: Deliveries whose delay is read; of more, one in so many is read.
SAMPLES_PER_SECOND = 20_000
#: Sockets whose every frame is read.
MAX_WATCHED = 4
#: The longest rest in seconds after a turn of the loop.
MAX_PAUSE = 0.002


class Load(Hearing):
    """One load on all open sockets of a generator."""

    def __init__(
        self,
        generator: Generator,
        *,
        mode: Literal["closed", "open"],
        style: Style,
        seconds: float,
        warmup: float = 1,
        rate: float = 0,
        drain: float = 10,
        seq: str = "",
        reach: bool = False,
        start_at: int = 0,
    ) -> None:
        members = len(generator.open) if reach else 0
        super().__init__(style, generator.clients[0], seq=seq.encode(), members=members)
        self.generator = generator
        self.mode, self.style = mode, style
        self._seconds, self._warmup, self._drain = (int(value * 1e9) for value in (seconds, warmup, drain))
        self._interval = 1e9 / rate if rate else 0.0
        self._echoes, self._echo_time = 0, 0
        #: Seconds that the generator rests after each turn.
        self.pause = 0.0
        self._speakers: list[Client] = []
        self.sent = self.unsent = self.unanswered = 0
        self.sent_in: Counter[int] = Counter()
        self._marks: list[tuple[int, int, int, float]] = []
        self._turn, self._start_at, self._has_begun = 0, start_at, False
        self._quiet_since = self._received_then = self._looked_at = 0

    # --- the course of a load -------------------------------------------------------------------------

    def start(self) -> None:
        clients = list(self.generator.open.values())
        for client in clients:
            client.messages = client.message_count = client.awaiting_since = 0
            client.watch = client.next_seq = None
        # Spread over all sockets: neighbours were connected together, and may have more than that in common.
        watched = max(1, min(MAX_WATCHED, len(clients) // 50))
        for client in clients[:: max(1, len(clients) // watched)][:watched]:
            client.watch = {}
        self._speakers = [client for client in clients if client.sender >= 0]
        for client in self._speakers:
            client.echo_marker = marker(client.sender)
        # Several generators begin together: a message sent before would not be counted by the others.
        now = max(time.monotonic_ns(), self._start_at)
        self._quiet_since = self._looked_at = now
        self.opens_at = now + self._warmup
        self.closes_at = self.opens_at + self._seconds
        self._due = float(now)

    def patience(self, now: int) -> float:
        if self.mode == "open" and now < self.closes_at:
            return min(0.05, max(0.0, (self._due - now) / 1e9))
        return 0.02

    def tick(self, now: int) -> None:
        """After each turn of the loop, send what is due, and give up what is overdue."""
        if self.mode == "closed" and not self._has_begun and now >= self._looked_at:
            self._has_begun = True
            for client in self._speakers:
                self._say(client, time.monotonic_ns())
        if len(self._marks) < 2 and now >= (self.closes_at if self._marks else self.opens_at):
            self._marks.append((now, self.received, self.sent, self.generator.cpu_seconds()))
        if self.mode == "open" and self._speakers:
            while self._due <= now < self.closes_at:
                # Stamped with the time it was due: a late generator must not flatter the server.
                self._say(self._speakers[self._turn % len(self._speakers)], int(self._due))
                self._turn += 1
                self._due += self._interval
        if now - self._looked_at > QUIET_NS // 5:
            self._pace((now - self._looked_at) / 1e9)
            self._looked_at = now
            if self.received != self._received_then:
                self._received_then, self._quiet_since = self.received, now
            if self.mode == "closed":
                self._give_up_echoes(now)

    def is_over(self, now: int) -> bool:
        if now < self.closes_at or len(self._marks) < 2:
            return False
        waits = any(client.awaiting_since for client in self._speakers)
        return now - self.closes_at > self._drain or (not waits and now - self._quiet_since > QUIET_NS)

    def _pace(self, seconds: float) -> None:
        """Sample more rarely when more arrives, and rest where that does not change the result.

        During a rest several frames of a socket arrive, which are then read at once. It is a twentieth of the
        delay that speakers see anyway, so it moves a result by no more than that.
        """
        rate = (self.received - self._received_then) / seconds
        self.every = max(1, round(rate / SAMPLES_PER_SECOND))
        seen = self._echo_time / self._echoes / 1e9 if self._echoes else 0.0
        self.pause = min(MAX_PAUSE, seen / 20) if rate > SAMPLES_PER_SECOND else 0.0
        self._echoes = self._echo_time = 0

    def _say(self, client: Client, now: int) -> None:
        if not client.is_open:
            return
        if not client.say(command(self.style, client.sender, client.number, now, client.conversation)):
            self.unsent += 1
            return
        client.number += 1
        self.sent += 1
        self.sent_in[client.conversation] += 1
        if self.mode == "closed":
            client.awaiting_since = now

    def _give_up_echoes(self, now: int) -> None:
        for client in self._speakers:
            if client.awaiting_since and now - client.awaiting_since > ECHO_PATIENCE_NS:
                self.unanswered += 1
                client.awaiting_since = 0
                if now < self.closes_at:
                    self._say(client, now)

    def echo(self, client: Client, said: int) -> None:
        """A speaker's message has come back, or was acknowledged."""
        self.keep(self.answered, said)
        now = time.monotonic_ns()
        self._echoes += 1
        self._echo_time += now - said
        client.awaiting_since = 0
        if self.mode == "closed" and now < self.closes_at:
            self._say(client, now)

    def said_since(self, said: int) -> int:
        [speaker] = self._speakers
        return speaker.awaiting_since if speaker.awaiting_since > said else time.monotonic_ns()

    # --- what came of it ------------------------------------------------------------------------------

    def result(self) -> dict[str, Any]:
        (began, received, sent, cpu), (ended, received_then, sent_then, cpu_then) = self._marks
        seconds = (ended - began) / 1e9
        counts: dict[int, list[int]] = {}
        for client in self.generator.open.values():
            count = client.message_count if self.has_answers else client.messages
            counts.setdefault(client.conversation, []).append(count)
        return {
            "seconds": seconds,
            "received": received_then - received,
            "sent": sent_then - sent,
            "received_in_all": self.received,
            "sent_in_all": self.sent,
            "delivery": Latencies.of(self.delivered).counts(),
            "answer": Latencies.of(self.answered).counts(),
            "answered": len(self.answered),
            "first": Latencies.of(self.first).counts(),
            "last": Latencies.of(self.last).counts(),
            "behind": Latencies.of(self.behind).counts(),
            "errors": dict(self.errors),
            "unsent": self.unsent,
            "unanswered": self.unanswered,
            "faults": self.faults,
            "busy": (cpu_then - cpu) / seconds,
            "sent_in": dict(self.sent_in),
            "counts": {where: dict(Counter(each)) for where, each in counts.items()},
        }
