"""Compares two revisions, measured in turn: the median of the pairs' ratios, and an interval around it.

The two of a pair are measured within seconds, on the same state of the machine, and in every other pair in
the other order, so that neither is always first. The interval is made of ratios that occurred, chosen by rank
alone, so it holds for any distribution: the median lies between the second and the eighth of nine ratios with
a probability of 96 %.
"""

from __future__ import annotations

import math
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from bench.latencies import median
from bench.machine import ROOT

T = TypeVar("T")
CONFIDENCE = 0.95


def in_turn(base: Callable[[], T], head: Callable[[], T], *, pairs: int) -> list[tuple[T, T]]:
    """The (base, head) of each pair; played base first, head first, base first…"""
    found = []
    for number in range(pairs):
        if number % 2:
            second = head()
            found.append((base(), second))
        else:
            first = base()
            found.append((first, head()))
    return found


@dataclass(frozen=True)
class Interval:
    """The bounds of the median, and the probability that it lies between them."""

    low: float
    high: float
    confidence: float


def interval(values: Sequence[float]) -> Interval:
    """The narrowest interval that is sure enough; of fewer than six values all, which is less sure."""
    ordered, count = sorted(values), len(values)
    # The median lies outside the k-th and the k-th last value when fewer than k values are on one side of it.
    outside, k = 0.5**count, 1
    while k < (count + 1) // 2:
        more = outside + math.comb(count, k) * 0.5**count
        if 1 - 2 * more < CONFIDENCE:
            break
        outside, k = more, k + 1
    return Interval(ordered[k - 1], ordered[-k], max(0.0, 1 - 2 * outside))


@dataclass(frozen=True)
class Compared:
    """One figure of two revisions, over all pairs."""

    base: float
    head: float
    #: Head divided by base: the median over the pairs, which is not the ratio of the two medians.
    ratio: float
    interval: Interval


def compared(pairs: Sequence[tuple[float, float]]) -> Compared | None:
    """The ratios of second to first; None where a first is 0."""
    ratios = [head / base for base, head in pairs if base > 0]
    if not ratios or len(ratios) < len(pairs):
        return None
    bases, heads = zip(*pairs, strict=True)
    return Compared(median(bases), median(heads), median(ratios), interval(ratios))


@contextmanager
def checkout(revision: str) -> Iterator[Path]:
    """A checkout of another revision of this repository, removed at the end."""
    with tempfile.TemporaryDirectory(prefix="relais-base-") as directory:
        tree = Path(directory) / "tree"
        _git("worktree", "add", "--quiet", "--detach", str(tree), revision)
        try:
            yield tree
        finally:
            _git("worktree", "remove", "--force", str(tree))


def _git(*arguments: str) -> None:
    # Without hooks: nobody works in that checkout.
    command = ["git", "-c", "core.hooksPath=/dev/null", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"git {arguments[0]} {arguments[1]}: {done.stderr.strip()}")
