"""Durations, and what is said of them: percentiles by nearest rank, so that each is a value that occurred."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that at least so many percent of all do not exceed; 0 of nothing."""
    if not values:
        return 0.0
    rank = max(1, math.ceil(percent / 100 * len(values)))
    return sorted(values)[rank - 1]


def median(values: Sequence[float]) -> float:
    """The middle one; between two, their mean."""
    ordered = sorted(values)
    middle = len(ordered) // 2
    if not ordered:
        return 0.0
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def rounded(nanoseconds: int) -> int:
    """Three significant digits: an error under half a percent, and a million samples become a thousand."""
    digits = len(str(nanoseconds))
    return nanoseconds if digits <= 3 else round(nanoseconds, 3 - digits)


class Latencies:
    """A distribution that can be sent between processes and added up: nanoseconds in, milliseconds out."""

    def __init__(self, counts: Mapping[str, int] | None = None) -> None:
        self._counts: Counter[int] = Counter({int(key): count for key, count in (counts or {}).items()})

    @classmethod
    def of(cls, nanoseconds: Iterable[int]) -> Latencies:
        """The distribution of what was measured."""
        made = cls()
        made._counts.update(rounded(max(0, value)) for value in nanoseconds)
        return made

    def __len__(self) -> int:
        return self._counts.total()

    def __add__(self, other: Latencies) -> Latencies:
        both = Latencies()
        both._counts.update(self._counts)
        both._counts.update(other._counts)
        return both

    def counts(self) -> dict[int, int]:
        """For JSON, and for the way back."""
        return dict(self._counts)

    def percentiles(self, percents: Sequence[float]) -> list[float]:
        """Milliseconds at each percent, which must be in rising order."""
        values = sorted(self._counts.items())
        total, seen, found = len(self), 0, []
        position = iter(values)
        value = 0
        for percent in percents:
            rank = max(1, math.ceil(percent / 100 * total))
            while seen < rank:
                pair = next(position, None)
                if pair is None:
                    break
                value, count = pair
                seen += count
            found.append(value / 1e6)
        return found

    def mean(self) -> float:
        """Milliseconds; 0 of nothing."""
        return sum(value * count for value, count in self._counts.items()) / max(1, len(self)) / 1e6

    def percentile(self, percent: float) -> float:
        """Milliseconds that so many percent do not exceed."""
        return self.percentiles([percent])[0]
