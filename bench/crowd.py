"""A crowd of sockets on one server: starts generator processes, sends them orders, and adds up their answers.

One process is enough for most servers; every result shows its share of CPU, and more can be asked for.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from bench.latencies import Latencies
from bench.machine import ROOT, pinned
from bench.speech import Style

#: Nanoseconds until several generators begin together, each having read its order.
TOGETHER_NS = 200_000_000


class CrowdError(RuntimeError):
    """Sockets could not be opened, or a generator process died."""


@dataclass(frozen=True)
class Place:
    """A socket to open: its path, its conversation, and whether it speaks."""

    path: str
    conversation: int = 0
    speaks: bool = False
    #: Texts that the socket sends together as soon as it is open.
    opening: Sequence[str] = ()


@dataclass(frozen=True)
class Opened:
    """The result of opening the sockets."""

    ready: int
    asked: int
    seconds: float
    connect: Latencies
    lost: dict[str, int]
    busy: float

    @property
    def per_second(self) -> float:
        return self.ready / self.seconds if self.seconds else 0.0


@dataclass(frozen=True)
class Loaded:
    """The result of a load, over all generator processes."""

    seconds: float
    received: int
    sent: int
    received_in_all: int
    sent_in_all: int
    delivery: Latencies
    answer: Latencies
    answered: int
    lost: int
    doubled: int
    #: Messages whose seq does not follow the one before.
    faults: int
    #: Sends without an answer; and sends that the server did not take, or answered with an error.
    unanswered: int
    unsent: int
    #: CPU of the busiest generator process, 1.0 being a core: near it, the generator itself is the limit.
    busy: float
    errors: dict[str, int] = field(default_factory=dict)
    #: Sockets that closed during the load, by reason.
    ended: dict[str, int] = field(default_factory=dict)
    #: With `reach`: the time until a message reached its first member, until its last, and how long the
    #: message before was still being delivered.
    first: Latencies = field(default_factory=Latencies)
    last: Latencies = field(default_factory=Latencies)
    behind: Latencies = field(default_factory=Latencies)

    @property
    def deliveries_per_second(self) -> float:
        return self.received / self.seconds if self.seconds else 0.0

    @property
    def sends_per_second(self) -> float:
        return self.sent / self.seconds if self.seconds else 0.0

    @property
    def is_whole(self) -> bool:
        """Whether nothing was lost, doubled or out of order, and no socket closed."""
        return not (self.lost or self.doubled or self.faults or self.ended)


class Crowd:
    """Sockets that are opened once and can be loaded several times."""

    def __init__(
        self, port: int, places: Sequence[Place], *, processes: int = 1, cores: Sequence[int] = ()
    ) -> None:
        speakers = iter(range(len(places)))
        sockets = [[p.path, p.conversation, next(speakers) if p.speaks else -1, *p.opening] for p in places]
        self._generators: list[subprocess.Popen[bytes]] = []
        self._ended: dict[str, int] = {}
        for share in range(processes):
            with pinned(cores):
                generator = subprocess.Popen(
                    [sys.executable, "-m", "bench.generator"],
                    cwd=ROOT,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    start_new_session=True,  # Ctrl-C is not for generators: they end when their input closes
                )
            self._generators.append(generator)
            _tell(generator, {"port": port, "sockets": sockets[share::processes]})
        for generator in self._generators:
            _answer(generator)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close every socket, and the generators."""
        for generator in self._generators:
            assert generator.stdin is not None
            generator.stdin.close()
        for generator in self._generators:
            try:
                generator.wait(20)
            except subprocess.TimeoutExpired:
                generator.kill()
                generator.wait()
            assert generator.stdout is not None
            generator.stdout.close()
        self._generators.clear()

    def connect(
        self,
        *,
        window: int = 32,
        frames: int = 0,
        probe: Style | None = None,
        timeout: float = 120,
        all_of_them: bool = True,
    ) -> Opened:
        """Open the sockets, a limited number at a time; raises CrowdError when some do not open."""
        share = len(self._generators)
        answers = self._all(
            do="connect", window=max(1, window // share), frames=frames, probe=probe, timeout=timeout
        )
        opened = Opened(
            ready=sum(answer["ready"] for answer in answers),
            asked=sum(answer["asked"] for answer in answers),
            seconds=max(answer["seconds"] for answer in answers),
            connect=sum((Latencies(answer["connect"]) for answer in answers), Latencies()),
            lost=_added(answers, "lost"),
            busy=max(answer["cpu"] / answer["took"] for answer in answers),
        )
        if all_of_them and opened.ready < opened.asked:
            raise CrowdError(f"{opened.ready} of {opened.asked} sockets are ready; the others: {opened.lost}")
        return opened

    def load(
        self,
        *,
        mode: Literal["closed", "open"] = "closed",
        style: Style = "plain",
        seconds: float,
        warmup: float = 1.0,
        rate: float = 0,
        drain: float = 10,
        seq: str = "",
        reach: bool = False,
    ) -> Loaded:
        """Put the server under load; `rate` is that of all speakers together.

        `reach` also measures when each message reaches its first and its last member, for one speaker in
        closed loop.
        """
        before = self._ended
        answers = self._all(
            do="load",
            mode=mode,
            style=style,
            seconds=seconds,
            warmup=warmup,
            rate=rate / len(self._generators),
            drain=drain,
            seq=seq,
            reach=reach,
            start_at=time.monotonic_ns() + (TOGETHER_NS if len(self._generators) > 1 else 0),
        )
        self._ended = _added(answers, "lost")
        return added_up(answers, ended=dict(Counter(self._ended) - Counter(before)))

    def _all(self, **order: Any) -> list[dict[str, Any]]:
        for generator in self._generators:
            _tell(generator, order)
        return [_answer(generator) for generator in self._generators]


def added_up(answers: Sequence[dict[str, Any]], *, ended: dict[str, int]) -> Loaded:
    """Add up the answers of the generator processes."""

    def total(name: str) -> int:
        return sum(answer[name] for answer in answers)

    sent: Counter[str] = Counter()
    for answer in answers:
        sent.update({str(where): count for where, count in answer["sent_in"].items()})
    lost = doubled = 0
    for answer in answers:
        for where, counts in answer["counts"].items():
            for count, sockets in counts.items():
                lost += max(0, sent[str(where)] - int(count)) * sockets
                doubled += max(0, int(count) - sent[str(where)]) * sockets
    return Loaded(
        seconds=max(answer["seconds"] for answer in answers),
        received=total("received"),
        sent=total("sent"),
        received_in_all=total("received_in_all"),
        sent_in_all=total("sent_in_all"),
        delivery=sum((Latencies(answer["delivery"]) for answer in answers), Latencies()),
        answer=sum((Latencies(answer["answer"]) for answer in answers), Latencies()),
        answered=total("answered"),
        lost=lost,
        doubled=doubled,
        faults=total("faults"),
        unanswered=total("unanswered"),
        unsent=total("unsent"),
        busy=max(answer["busy"] for answer in answers),
        errors=_added(answers, "errors"),
        ended=ended,
        first=sum((Latencies(answer["first"]) for answer in answers), Latencies()),
        last=sum((Latencies(answer["last"]) for answer in answers), Latencies()),
        behind=sum((Latencies(answer["behind"]) for answer in answers), Latencies()),
    )


def _added(answers: Sequence[dict[str, Any]], name: str) -> dict[str, int]:
    return dict(sum((Counter(answer[name]) for answer in answers), Counter()))


def _tell(generator: subprocess.Popen[bytes], order: dict[str, Any]) -> None:
    assert generator.stdin is not None
    try:
        generator.stdin.write(json.dumps(order).encode() + b"\n")
        generator.stdin.flush()
    except BrokenPipeError as error:
        raise CrowdError("a generator has ended") from error


def _answer(generator: subprocess.Popen[bytes]) -> dict[str, Any]:
    assert generator.stdout is not None
    line = generator.stdout.readline()
    if not line:
        raise CrowdError("a generator has ended; what it wrote is above")
    answer: dict[str, Any] = json.loads(line)
    return answer
