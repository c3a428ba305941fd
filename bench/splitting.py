"""Where the time of a lone message goes, found from outside and from what the server counts anyway.

Of each message the generator notes when it reached its first member and its last one, and how long the one
before it was still being told when it was said: its speaker, somewhere in the order of writing, speaks again
as soon as it has heard itself. The server counts, in `relais_delivery_seconds`, how long it took from the
commit until the last member was written to; its page of metrics is read before and after, while nothing is
measured. Means, because they add up:

    said ── behind ── store ──── commit ── wait ── first member ──────── writing ──────── last member
    └──────────────────────────────────────── last ───────────────────────────────────────────────┘
                                 └──────────── told, by the server's metrics ─────────────────────┘

What the kernel and the generator take is in `store`, except for the generator's reading of one member after
the other, which is in `writing`; where it reads more slowly than the server writes, `wait` seems shorter.
"""

from __future__ import annotations

import re
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass

TOLD, ACK = "relais_delivery_seconds", "relais_chat_ack_seconds"


@dataclass(frozen=True)
class Split:
    """Milliseconds of a mean delivery; together they are all of it."""

    #: The writing of the message before.
    behind: float
    store: float
    wait: float
    #: Until the mean member: about half of what the last one waits.
    writing: float


def split(*, mean: float, first: float, last: float, behind: float, told: float) -> Split:
    """The parts of `mean`, of what the generator noted (see above) and the server counted (`told`)."""
    store = last - told - behind
    wait = max(0.0, told - (last - first))
    return Split(behind, store, wait, mean - behind - store - wait)


def scrape(port: int) -> dict[str, float]:
    """The unlabelled numbers of a server of ours."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as page:
        return numbers_in(page.read().decode())


def numbers_in(page: str) -> dict[str, float]:
    """Those of a page in Prometheus' text format that have no labels."""
    return {name: float(value) for name, value in re.findall(r"^(\w+) (\S+)$", page, re.MULTILINE)}


def mean_since(before: Mapping[str, float], after: Mapping[str, float], histogram: str) -> float:
    """Milliseconds: the mean of what a histogram of seconds counted between two scrapes; 0 of nothing."""
    count = after[f"{histogram}_count"] - before[f"{histogram}_count"]
    return (after[f"{histogram}_sum"] - before[f"{histogram}_sum"]) / count * 1e3 if count else 0.0
