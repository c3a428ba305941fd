"""Instruments: numbers that a process keeps about itself, cheap enough for the path of every message.

Counting is an addition to a Python number. Prometheus' format is made of these numbers when it asks
(`realtime/metrics/exposition.py`), never while messages pass. Each app, and each package of the core,
declares its own in its `metrics.py`.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, Literal

#: Series of one instrument. Further ones are counted under "other": no client can fill the memory.
MAX_SERIES = 100
#: Buckets of latencies, from unnoticeable to annoying. A head check finds the event of a
#: lost bell within 5 s.
LATENCY_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)

Labels = tuple[str, ...]
#: One value for each series; for a histogram its sum and then its buckets, not cumulated.
Series = dict[Labels, list[float]]
#: Ways to show the gauges of several workers: the sum, the largest, one series each, or only the answering
#: worker's.
Combine = Literal["sum", "max", "worker", "own"]

_lock = threading.Lock()


class Registry:
    """The instruments of a process, by name."""

    def __init__(self) -> None:
        self.instruments: dict[str, Instrument] = {}

    def snapshot(self) -> dict[str, Series]:
        """The present values of all instruments."""
        return {name: instrument.series() for name, instrument in self.instruments.items()}


REGISTRY = Registry()


class Instrument:
    """The common base of counters, gauges and histograms."""

    kind: ClassVar[Literal["counter", "gauge", "histogram"]]

    def __init__(self, name: str, help_text: str, *labels: str, registry: Registry = REGISTRY) -> None:
        if name in registry.instruments:
            raise ValueError(f"there are two instruments called {name}")
        registry.instruments[name] = self
        self.name = name
        self.help_text = help_text
        self.labels = labels

    def series(self) -> Series:
        """The present value of each series."""
        raise NotImplementedError


class _Valued(Instrument):
    """An instrument with one number per series: counted here, or read from a function when shown."""

    def __init__(self, name: str, help_text: str, *labels: str, registry: Registry = REGISTRY) -> None:
        super().__init__(name, help_text, *labels, registry=registry)
        #: The number of an instrument without labels; `COUNTER.value += 1` is the cheapest way to count.
        self.value: float = 0
        self._values: dict[Labels, float] = {}
        self._read: Callable[[], Mapping[Labels, float]] | None = None

    def add(self, *labels: str, n: float = 1) -> None:
        """Count in the series of these labels; from any thread."""
        with _lock:
            if not self.labels:
                self.value += n
                return
            if labels not in self._values and len(self._values) >= MAX_SERIES:
                labels = ("other",) * len(self.labels)
            self._values[labels] = self._values.get(labels, 0) + n

    def reads(self, read: Callable[[], float | Mapping[Labels, float]]) -> None:
        """Show the value that a function returns; it is called on the loop, for each scrape."""

        def by_labels() -> Mapping[Labels, float]:
            said = read()
            return said if isinstance(said, Mapping) else {(): said}

        self._read = by_labels

    def series(self) -> Series:
        if self._read is not None:
            values = self._read()
        else:
            values = dict(self._values) if self.labels else {(): self.value}
        return {labels: [float(value)] for labels, value in values.items()}


class Counter(_Valued):
    """An instrument that counts how often something happened."""

    kind = "counter"


class Gauge(_Valued):
    """An instrument that shows how many of something there are now."""

    kind = "gauge"

    def __init__(
        self,
        name: str,
        help_text: str,
        *labels: str,
        combine: Combine = "sum",
        registry: Registry = REGISTRY,
    ) -> None:
        super().__init__(name, help_text, *labels, registry=registry)
        self.combine = combine


class Histogram(Instrument):
    """An instrument that counts sizes or durations in buckets."""

    kind = "histogram"

    def __init__(
        self, name: str, help_text: str, buckets: Sequence[float], *, registry: Registry = REGISTRY
    ) -> None:
        super().__init__(name, help_text, registry=registry)
        self.buckets = tuple(buckets)
        self._sum = 0.0
        self._counts = [0] * (len(self.buckets) + 1)

    def observe(self, value: float) -> None:
        """Count one value; on the loop only."""
        self._counts[bisect_left(self.buckets, value)] += 1
        self._sum += value

    def series(self) -> Series:
        return {(): [self._sum, *self._counts]}
