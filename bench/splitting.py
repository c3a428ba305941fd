"""Splits the delay of a lone message into parts, measured by the generator and by the server itself.

For each message the generator notes when it reached its first member and its last one, and how long the
message before was still being delivered when it was sent: its speaker stands somewhere in the order of
writing, and speaks again as soon as it has received its own message. The server measures, in
`relais_delivery_seconds`, the time from the commit until the last member was written to; its metrics are
read before and after, while nothing is measured. All are means, because means add up:

    said ── behind ── store ──── commit ── wait ── first member ──────── writing ──────── last member
    └──────────────────────────────────────── last ───────────────────────────────────────────────┘
                                 └──────────── told, by the server's metrics ─────────────────────┘

The time of the kernel and the generator is in `store`, except for the generator's reading of one member after
the other, which is in `writing`; if the generator reads more slowly than the server writes, `wait` seems
shorter.
"""

from __future__ import annotations

import re
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass

TOLD, ACK = "relais_delivery_seconds", "relais_chat_ack_seconds"


@dataclass(frozen=True)
class Split:
    """The parts of the mean delivery in milliseconds, which add up to it."""

    #: The writing of the message before.
    behind: float
    store: float
    wait: float
    #: Until the mean member is written to: about half of the time until the last one is.
    writing: float


def split(*, mean: float, first: float, last: float, behind: float, told: float) -> Split:
    """The parts of `mean`, from the generator's times (see above) and the server's own (`told`)."""
    store = last - told - behind
    wait = max(0.0, told - (last - first))
    return Split(behind, store, wait, mean - behind - store - wait)


def scrape(port: int) -> dict[str, float]:
    """The metrics without labels of a Relais server."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as page:
        return numbers_in(page.read().decode())


def numbers_in(page: str) -> dict[str, float]:
    """The metrics without labels of a page in Prometheus' text format."""
    return {name: float(value) for name, value in re.findall(r"^(\w+) (\S+)$", page, re.MULTILINE)}


def mean_since(before: Mapping[str, float], after: Mapping[str, float], histogram: str) -> float:
    """The mean of a histogram of seconds between two scrapes, in milliseconds; 0 without samples."""
    count = after[f"{histogram}_count"] - before[f"{histogram}_count"]
    return (after[f"{histogram}_sum"] - before[f"{histogram}_sum"]) / count * 1e3 if count else 0.0
