"""Rates and buckets: a rate says how much a caller may do in a time; a bucket holds one caller to it.

Buckets live in the memory of a process. They work while Redis is away, and n processes allow at most n times
the rate: that stops abuse, and counts nothing exactly.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from realtime.errors import RateLimitedError

_RATE = re.compile(r"(\d+)/(s|min|h)(?::(\d+))?\Z")
_SECONDS = {"s": 1, "min": 60, "h": 3600}
#: Seconds between two sweeps for idle buckets: one of a full table holds up the loop for tens of
#: milliseconds.
SWEEP_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Rate:
    """`count` things in `seconds`, of which `burst` may come at once; a count of 0 is no limit."""

    count: int
    seconds: int
    burst: int

    @classmethod
    def parse(cls, text: str) -> Rate:
        """Read `10/s:30`, `10/min` or `off`."""
        if text == "off":
            return cls(0, 1, 0)
        match = _RATE.match(text)
        if not match or int(match[1]) == 0 or match[3] == "0":
            raise ValueError(
                f"{text!r} is no rate: expected 'off' or 'count/s|min|h:burst', such as '10/s:30'"
            )
        count = int(match[1])
        return cls(count, _SECONDS[match[2]], int(match[3] or count))

    @property
    def interval(self) -> float:
        """The seconds in which the rate allows one thing."""
        return self.seconds / self.count

    def __str__(self) -> str:
        if not self.count:
            return "off"
        unit = next(unit for unit, seconds in _SECONDS.items() if seconds == self.seconds)
        return f"{self.count}/{unit}:{self.burst}"


class Bucket:
    """The bucket of one caller, by the generic cell rate algorithm: its whole state is one time."""

    __slots__ = ("_full_until",)

    def __init__(self) -> None:
        self._full_until = 0.0

    def wait(self, rate: Rate, now: float, count: int = 1) -> float:
        """Take all of `count` or none; returns 0 if they were taken, else the seconds until they can be."""
        if not rate.count:
            return 0.0
        full_until = max(self._full_until, now) + count * rate.interval
        excess = full_until - now - rate.burst * rate.interval
        if excess > 1e-9:
            return excess
        self._full_until = full_until
        return 0.0

    def is_idle(self, now: float) -> bool:
        return self._full_until <= now


class Buckets:
    """A bucket for each key, dropped when it is full again; never more than `max_keys` of them."""

    max_keys: ClassVar[int] = 100_000  # about 20 MB; past it all new keys share one bucket

    def __init__(self, rate: Callable[[], Rate], clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._clock = clock
        self._buckets: dict[object, Bucket] = {}
        self._sweep_at = 1024
        self._next_sweep = 0.0

    def take(self, key: object) -> None:
        """Take one from the bucket of `key`, or raise RateLimitedError with the time to come back."""
        now = self._clock()
        bucket = self._buckets.get(key)
        if bucket is None:
            if len(self._buckets) >= self._sweep_at and now >= self._next_sweep:
                self._sweep(now)
            if len(self._buckets) >= self.max_keys:
                key = None
            bucket = self._buckets.setdefault(key, Bucket())
        wait = bucket.wait(self._rate(), now)
        if wait:
            raise RateLimitedError(retry_after_ms=max(1, round(wait * 1000)))

    def clear(self) -> None:
        """Drop all buckets."""
        self._buckets.clear()

    def _sweep(self, now: float) -> None:
        known = list(self._buckets.items())  # in one operation: requests come on several threads
        self._buckets = {key: bucket for key, bucket in known if not bucket.is_idle(now)}
        # Never above what the table may hold: otherwise a caller who fills it once keeps it full for ever.
        self._sweep_at = min(self.max_keys, max(1024, 2 * len(self._buckets)))
        self._next_sweep = now + SWEEP_SECONDS
