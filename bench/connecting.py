"""The phase in which the generator opens its sockets: a limited number at a time, each until it is ready.

A socket is ready when it has received `frames` frames; with 0, when the handshake is accepted. A server that
sends nothing by itself is probed: one socket speaks until all sockets have heard it, which proves that all
are subscribed.
"""

from __future__ import annotations

import select
import time
from typing import TYPE_CHECKING, Any

from bench.latencies import Latencies
from bench.speech import Style, command

if TYPE_CHECKING:
    from bench.client import Client
    from bench.counting import Saw
    from bench.generator import Generator

#: Seconds of silence after which another probe is sent; with all probes heard, the phase ends.
QUIET_SECONDS = 0.5


class Connecting:
    """Opens all sockets of a generator."""

    #: The loop does not rest in this phase, whose duration is the result.
    pause = 0.0

    def __init__(
        self,
        generator: Generator,
        *,
        window: int = 32,
        frames: int = 0,
        probe: Style | None = None,
        timeout: float = 120,
        patience: float = 15,
    ) -> None:
        self.generator = generator
        self.window, self.frames, self.probe = window, frames, probe
        self._timeout, self._patience = int(timeout * 1e9), int(patience * 1e9)
        self._waiting = list(enumerate(generator.clients))[::-1]
        self._in_flight: set[Client] = set()
        #: The socket that is being read, and the opening sockets that received an error.
        self._reading: Client | None = None
        self._refused: set[Client] = set()
        self._took: list[int] = []
        self._started_at = self._ended_at = self._heard_at = self._checked_at = 0
        self._ready = 0
        self._is_probed = probe is None

    def start(self) -> None:
        self._started_at = self._ended_at = time.monotonic_ns()
        self._fill()

    def listen(self, client: Client) -> Saw:
        self._reading = client
        return self._saw

    def heard_from(self, client: Client) -> None:
        """A socket has made a step, or has closed."""
        if client in self._refused and not client.why:
            self.generator.drop(client, "told an error")
            return
        if client not in self._in_flight or (not client.why and not self._is_ready(client)):
            return
        self._in_flight.discard(client)
        self._ended_at = time.monotonic_ns()
        if not client.why:
            self._ready += 1
            self._took.append(self._ended_at - client.started_at)
        self._fill()

    def tick(self, now: int) -> None:
        """Give up sockets that take too long; probe when all others are open."""
        if now - self._checked_at > 500_000_000:
            self._checked_at = now
            for client in [late for late in self._in_flight if now - late.started_at > self._patience]:
                self.generator.drop(client, "not ready in time")
        if self._waiting or self._in_flight or self._is_probed:
            return
        clients = self.generator.open.values()
        is_quiet = now - self._heard_at > QUIET_SECONDS * 1e9
        if all(client.messages for client in clients):
            self._is_probed = is_quiet
        elif is_quiet and self.probe is not None:
            self._heard_at = now
            # If this generator has no speaker, another one has.
            for speaker in [client for client in clients if client.sender >= 0][:1]:
                speaker.say(command(self.probe, speaker.sender, speaker.number, now, speaker.conversation))
                speaker.number += 1

    def is_over(self, now: int) -> bool:
        done = not self._waiting and not self._in_flight and self._is_probed
        return done or now - self._started_at > self._timeout

    def patience(self, now: int) -> float:
        return 0.05

    def result(self) -> dict[str, Any]:
        return {
            "ready": self._ready if self._is_probed else 0,
            "asked": len(self.generator.clients),
            "seconds": (self._ended_at - self._started_at) / 1e9,
            "connect": Latencies.of(self._took).counts(),
        }

    def _is_ready(self, client: Client) -> bool:
        return client.is_open and client.messages >= self.frames

    def _fill(self) -> None:
        generator = self.generator
        while self._waiting and len(self._in_flight) < self.window:
            number, client = self._waiting.pop()
            source = generator.source_of(number)
            try:
                client.connect(generator.host, generator.port, source=source, now=time.monotonic_ns())
            except OSError as error:
                client.close(error.strerror or "connect")
                generator.lost[client.why] += 1
                continue
            generator.opening[client.socket.fileno()] = client
            generator.epoll.register(client.socket.fileno(), select.EPOLLOUT)
            self._in_flight.add(client)

    def _saw(self, buffer: bytearray, position: int, frames: int, stride: int) -> None:
        """Look for errors, which do not count as ready; the client itself counts the frames."""
        self._heard_at = time.monotonic_ns()
        if buffer.find(b'{"type":"error"', position, position + frames * stride) >= 0 and self._reading:
            self._refused.add(self._reading)
