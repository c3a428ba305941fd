"""Latencies and their percentiles, by nearest rank, so that each percentile is a value that occurred."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that at least so many percent of all values do not exceed; 0 without values."""
    if not values:
        return 0.0
    rank = max(1, math.ceil(percent / 100 * len(values)))
    return sorted(values)[rank - 1]


def median(values: Sequence[float]) -> float:
    """The middle value; of an even number, the mean of the middle two."""
    ordered = sorted(values)
    middle = len(ordered) // 2
    if not ordered:
        return 0.0
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def rounded(nanoseconds: int) -> int:
    """Rounded to three significant digits: an error below 0.5 %; a million samples become a thousand."""
    digits = len(str(nanoseconds))
    return nanoseconds if digits <= 3 else round(nanoseconds, 3 - digits)


class Latencies:
    """A distribution that can be sent between processes and added up: nanoseconds in, milliseconds out."""

    def __init__(self, counts: Mapping[str, int] | None = None) -> None:
        self._counts: Counter[int] = Counter({int(key): count for key, count in (counts or {}).items()})

    @classmethod
    def of(cls, nanoseconds: Iterable[int]) -> Latencies:
        """The distribution of these samples."""
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
        """The counts by value, for JSON; the constructor takes them."""
        return dict(self._counts)

    def percentiles(self, percents: Sequence[float]) -> list[float]:
        """The milliseconds at each percent; the percents must rise."""
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
        """The mean in milliseconds; 0 without samples."""
        return sum(value * count for value, count in self._counts.items()) / max(1, len(self)) / 1e6

    def percentile(self, percent: float) -> float:
        """The milliseconds that so many percent of the samples do not exceed."""
        return self.percentiles([percent])[0]
